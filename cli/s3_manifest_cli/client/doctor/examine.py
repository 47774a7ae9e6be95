"""An examination: all checks of a deployed stack, and the one mend that may be done for the user."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from platformdirs import user_cache_path

from s3_manifest.aws.threads import each
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import timestamp
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import StoreError
from s3_manifest.subscription import event_rule, subscription
from s3_manifest_cli.client.doctor import bucket_checks, conditions, drift, leftovers, round_trip, stack_checks
from s3_manifest_cli.client.doctor.checks import event_routes, manifests, notifications
from s3_manifest_cli.client.doctor.checks.functions import longest_pause
from s3_manifest_cli.client.doctor.clients import Clients, Unanswered, asked
from s3_manifest_cli.client.doctor.deployed import Check, Deployed, find
from s3_manifest_cli.client.doctor.model import Examination, Finding, error, not_checked, notice
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import S3Manifests


class Limits(NamedTuple):
    """How long an examination may take, in seconds: to compare manifests, and for each half of the round trip.

    Manifests that differ from what is in S3 are looked at ``again`` after so long.
    """

    comparing: float = 120.0
    again: float = 5.0
    round_trip: float = 60.0


def doctor(
    stack: str,
    *,
    fix: bool = False,
    go_round: bool = True,
    collections: Sequence[str] = (),
    session: boto3.Session | None = None,
    endpoint: str | None = None,
    limits: Limits | None = None,
    progress: Callable[[str], None] = lambda _doing: None,
) -> Examination:
    """Examines a deployed stack, and says what is wrong with it, and the mend.

    It reads, but for three things: ``fix`` merges our part into the bucket's notification configuration
    where that is wrong; a small object is written below the manifest root, and (``go_round``) one into a
    collection of its own, both removed at the end. ``collections`` (``KIND/ID`` or ``s3://BUCKET/PREFIX/``)
    are those whose manifests are compared with S3, all if none is named. A check that could not be made is
    a finding too, and never ``ok``. May be repeated. Raises ``NotFound``, ``Invalid``, ``Unavailable``.
    """
    session, limits = session or boto3.Session(), limits or Limits()
    clients = Clients(session, endpoint)
    progress("asking CloudFormation what is deployed")
    deployed = find(clients, stack)
    store = S3Store(deployed.bucket, clients.s3, clients.s3_writes)
    there, cache = S3Manifests(store, deployed.kinds), user_cache_path("s3-manifest")
    place = Deployment(there, deployed.kinds, session, endpoint, deployed.bucket, stack, cache)
    chosen = [place.collection(name) for name in collections]
    progress("asking for its settings, queues, functions and permissions")
    findings = _all(clients, deployed, stack_checks.CHECKS)
    fixed: tuple[Finding, ...] = ()
    if gone := _gone(clients, deployed):
        findings.append(gone)
    else:
        of_the_bucket = _all(clients, deployed, bucket_checks.CHECKS)
        if fix and any(one.mend == bucket_checks.wanted(deployed).fix for one in of_the_bucket):
            progress("merging the notification configuration")
            fixed, of_the_bucket = _fixed(clients, deployed, of_the_bucket)
        findings += of_the_bucket
        progress("making conditional requests")
        findings += conditions.probe(clients, deployed.bucket, deployed.root)
        progress("comparing manifests with what is in S3")
        findings += guarded(manifests.CHECK, deployed.bucket, partial(_compare, store, deployed, chosen, limits))
        if go_round:
            progress("making a round trip")
            findings += _round(clients, deployed, findings, limits.round_trip)
    return Examination(stack=stack, examined_at=timestamp(datetime.now(UTC)), findings=tuple(findings), fixed=fixed)


def _all(clients: Clients, deployed: Deployed, wanted: Mapping[str, Check]) -> list[Finding]:
    """What these checks found, in order; they are made at once."""

    def make(item: tuple[str, Check]) -> list[Finding]:
        name, check = item
        return guarded(name, deployed.stack, partial(check, clients, deployed))

    return [finding for findings in each(make, wanted.items()) for finding in findings]


def _gone(clients: Clients, deployed: Deployed) -> Finding | None:
    """That there is no bucket, if so. What else is wrong with it the checks find."""
    try:
        if asked(clients.s3.head_bucket, absent=("404",), Bucket=deployed.bucket) is not None:
            return None
    except Unanswered:
        return None
    found = "there is no such bucket: nothing of it was checked"
    return error("bucket", deployed.bucket, found, "deploy a new stack with another bucket; the manifests went with it")


def _fixed(clients: Clients, deployed: Deployed, before: list[Finding]) -> tuple[tuple[Finding, ...], list[Finding]]:
    """Our part merged into the notification configuration: what that mended, and what is found now."""
    aim = bucket_checks.wanted(deployed)
    # Where somebody else's rule is in the way waiting does not help.
    is_blocked = any(one.severity == "error" and one.mend != aim.fix for one in _told(before))
    change = partial(subscription.subscribed, name=aim.name, queue_arn=aim.queue_arn, prefixes=aim.prefixes)
    sleep = (lambda _seconds: None) if is_blocked else time.sleep
    try:
        if deployed.uses_event_bridge:
            change = partial(subscription.routed, name=aim.name)
            rule, events = event_routes.rule_name(deployed), clients.of("events")
            event_rule.ensure(events, clients.s3, rule, deployed.bucket, aim.prefixes, aim.queue_arn)
        subscription.apply(clients.s3, deployed.bucket, change, sleep, queue_arn=aim.queue_arn)
    except (subscription.NotSubscribed, event_rule.NotTargeted, ClientError, BotoCoreError) as fault:
        mend = "mend what the other findings tell of; allow s3:PutBucketNotification to whoever runs this"
        return (), [*before, error(notifications.CHECK, deployed.bucket, f"--fix failed: {fault}", mend)]
    after = _all(clients, deployed, bucket_checks.CHECKS)
    found = "what changed while the queue was not told of it is noticed by the next sweep"
    missed = notice(notifications.CHECK, deployed.bucket, found, f"ask for it now: {deployed.sweep()}")
    return tuple(one for one in _told(before) if one.mend == aim.fix and one not in after), [*after, missed]


def _told(findings: Iterable[Finding]) -> list[Finding]:
    return [one for one in findings if one.check == notifications.CHECK]


def _compare(store: S3Store, deployed: Deployed, chosen: Sequence[Collection], limits: Limits) -> list[Finding]:
    place = drift.Place(store, deployed.kinds, time.monotonic() + limits.comparing)
    collections, leavings = chosen, list[Collection]()
    if not chosen:
        there = drift.every(place)
        leavings = [one for one in there if one.id.startswith(drift.PROBE)]
        collections = [one for one in there if one not in leavings]
    looked = drift.look(place, collections, limits.again)
    pause = longest_pause(deployed.parameters["SweepSchedule"])
    left = [leftovers.left(deployed, prefix) for one in leavings for prefix in (one.prefix, one.folder)]
    return [*manifests.judge(deployed, looked, len(collections), datetime.now(UTC), pause), *left]


def _round(clients: Clients, deployed: Deployed, findings: list[Finding], seconds: float) -> list[Finding]:
    expired = {one.subject for one in _told(findings) if one.severity == "error"}
    if blocked := sorted(expired & set(deployed.kinds.subscriptions())):
        found = f"nobody tells the queue of changes below {blocked[0]}, so it cannot come to its end"
        return [not_checked(round_trip.CHECK, deployed.bucket, found, "mend that first")]
    return guarded(round_trip.CHECK, deployed.bucket, partial(round_trip.go, clients, deployed, seconds))


def guarded(check: str, subject: str, ask: Callable[[], list[Finding]]) -> list[Finding]:
    """What a check found; that it could not be made is a finding too."""
    try:
        return ask()
    except Unanswered as unanswered:
        return [not_checked(check, subject, str(unanswered), unanswered.mend)]
    except StoreError as fault:
        return [not_checked(check, subject, str(fault))]
