"""An examination of a bucket alone, as on a self-hosted S3 server, where CloudFormation cannot describe a stack."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import boto3
from platformdirs import user_cache_path

from s3_manifest.manifest.collections import (
    DEFAULT_COLLECTIONS,
    DEFAULT_ROOT,
    Collection,
    Collections,
    parse_collections,
)
from s3_manifest.manifest.model import timestamp
from s3_manifest.storage.s3 import S3Store
from s3_manifest_cli.client.doctor import conditions, drift
from s3_manifest_cli.client.doctor.checks import lifecycle, manifests
from s3_manifest_cli.client.doctor.clients import Clients, asked
from s3_manifest_cli.client.doctor.examine import Limits, guarded
from s3_manifest_cli.client.doctor.model import Examination, Finding, error, notice, ok
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import S3Manifests

CHECK = "bucket"


class Place(NamedTuple):
    """A bucket, and where its manifests are."""

    bucket: str
    kinds: Collections

    def sweep(self, collection: Collection | None = None, *, rebuild: bool = False) -> str:  # noqa: ARG002  # as Deployed has it
        """The command that asks for the sweep of a collection, or of all; it needs the stack."""
        which = f"{collection.kind}/{collection.id}" if collection else "--all"
        return f"s3-manifest rescan {which} --stack NAME"


def doctor_bucket(
    bucket: str,
    *,
    kinds: Collections | None = None,
    collections: Sequence[str] = (),
    session: boto3.Session | None = None,
    endpoint: str | None = None,
    limits: Limits | None = None,
    progress: Callable[[str], None] = lambda _doing: None,
) -> Examination:
    """Examines a bucket, and the S3 server that it is on, without a stack.

    Whether it is there, its lifecycle rules and versioning, whether the server keeps conditions, and whether the
    manifests that are there say what is in S3. It reads, but for a small object below the manifest root, which it
    removes. ``collections`` as ``doctor`` has them. Raises ``Invalid``, ``NotFound``, ``Unavailable``.
    """
    session, limits = session or boto3.Session(), limits or Limits()
    clients = Clients(session, endpoint)
    place = Place(bucket, kinds or parse_collections(DEFAULT_COLLECTIONS, DEFAULT_ROOT))
    store = S3Store(bucket, clients.s3, clients.s3_writes)
    cache = user_cache_path("s3-manifest")
    deployment = Deployment(S3Manifests(store, place.kinds), place.kinds, session, endpoint, bucket, bucket, cache)
    chosen = [deployment.collection(name) for name in collections]
    progress("asking for the bucket's settings")
    findings = guarded(CHECK, bucket, partial(_there, clients, bucket))
    if all(one.severity == "ok" for one in findings):
        findings += guarded(lifecycle.CHECK, bucket, partial(_kept, clients, place))
        progress("making conditional requests")
        findings += conditions.probe(clients, bucket, place.kinds.root)
        progress("comparing manifests with what is in S3")
        findings += guarded(manifests.CHECK, bucket, partial(_compare, store, place, chosen, limits))
        told = "notifications, queues, functions, roles and alarms belong to a stack, and were not examined"
        findings.append(notice("stack", bucket, told, "s3-manifest doctor --stack NAME, if there is one"))
    return Examination(stack="", bucket=bucket, examined_at=timestamp(datetime.now(UTC)), findings=tuple(findings))


def _there(clients: Clients, bucket: str) -> list[Finding]:
    if asked(clients.s3.head_bucket, absent=("404",), Bucket=bucket) is None:
        return [error(CHECK, bucket, "there is no such bucket", "check --bucket, --endpoint-url and --profile")]
    # A role that may not list is answered 403 for what is not there, and takes it for a failure.
    asked(clients.s3.list_objects_v2, Bucket=bucket, MaxKeys=1)
    return [ok(CHECK, bucket, "it is there, and can be listed")]


def _kept(clients: Clients, place: Place) -> list[Finding]:
    found = asked(clients.s3.get_bucket_versioning, Bucket=place.bucket)
    bucket = lifecycle.Bucket(
        name=place.bucket,
        root=place.kinds.root,
        expiry_is_told=dict.fromkeys(place.kinds.subscriptions(), True),
        history_days=0,
        is_own=False,
        versioning=found.get("Status", ""),
    )
    absent = ("NoSuchLifecycleConfiguration",)
    rules = asked(clients.s3.get_bucket_lifecycle_configuration, absent=absent, Bucket=place.bucket) or {}
    return [*lifecycle.judge(rules, bucket), *lifecycle.judge_versioning(bucket)]


def _compare(store: S3Store, place: Place, chosen: Sequence[Collection], limits: Limits) -> list[Finding]:
    where = drift.Place(store, place.kinds, time.monotonic() + limits.comparing)
    collections = chosen or [one for one in drift.every(where) if not one.id.startswith(drift.PROBE)]
    looked = drift.look(where, collections, limits.again)
    # Without a stack nobody knows whether a collection is to have a manifest, unless the user names it.
    bare = [one for one in looked if not (chosen or one.facts or one.unreadable or one.unanswered)]
    examined = [one for one in looked if one not in bare]
    return manifests.judge(place, examined, len(collections) - len(bare), datetime.now(UTC), None)
