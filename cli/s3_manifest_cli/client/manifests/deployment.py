"""A deployment, and how it is reached: through S3, or through its HTTP API."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import boto3
from botocore.exceptions import BotoCoreError, NoRegionError

from s3_manifest.aws import messaging
from s3_manifest.aws.clients import s3_client, sqs_client
from s3_manifest.manifest.collections import (
    DEFAULT_COLLECTIONS,
    DEFAULT_ROOT,
    Collection,
    Collections,
    IdTooLong,
    InvalidCollections,
    parse_collections,
)
from s3_manifest.query.actors import KIND, is_number
from s3_manifest.storage.aws_faults import AWS_FAULTS, fault_of
from s3_manifest_cli.client.access.aws_session import credentials_of, session_of
from s3_manifest_cli.client.access.explaining_store import ExplainingStore
from s3_manifest_cli.client.access.explanations import unavailable
from s3_manifest_cli.client.access.http_api import HttpApi
from s3_manifest_cli.client.local import state_files
from s3_manifest_cli.client.manifests.absent import Connection
from s3_manifest_cli.client.manifests.direct import S3Manifests
from s3_manifest_cli.client.manifests.http import HttpManifests
from s3_manifest_cli.client.manifests.manifests import Manifests
from s3_manifest_cli.errors import Invalid, NotFound


class Deployment(NamedTuple):
    """One deployment, as this machine reaches it.

    ``bucket`` is None where only the HTTP API was named: the manifests then tell it. ``name`` tells deployments
    apart, and ``cache`` is the folder for what is kept of them here.
    """

    manifests: Manifests
    collections: Collections
    session: boto3.Session
    endpoint: str | None
    bucket: str | None
    name: str
    cache: Path

    def collection(self, named: str) -> Collection:
        """The collection that is called ``KIND/ID``, or ``s3://BUCKET/PREFIX/``; an actor by its number too.

        There may be nothing in it. Raises ``Invalid``, ``NotFound``, ``Refused``, ``Unavailable``.
        """
        if named.startswith("s3://"):
            return self._at(named)
        kind, slash, collection_id = named.partition("/")
        if kind == KIND and is_number(collection_id):
            return self.manifests.actor(collection_id)
        if slash and (found := self.collections.named(kind, collection_id)):
            return found
        if slash:
            try:
                self.collections.check_id(kind, collection_id)
            except IdTooLong as error:
                raise Invalid(str(error)) from error
        kinds = " or ".join(f"{pattern.kind}/…" for pattern in self.collections.patterns)
        raise Invalid(f"{named!r} is not a collection: write KIND/ID, such as {kinds}, or s3://BUCKET/PREFIX/")

    def _at(self, url: str) -> Collection:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if self.bucket and bucket != self.bucket:
            raise Invalid(f"{url} is in another bucket than this deployment's, {self.bucket}")
        prefix = prefix.rstrip("/") + "/"
        found = self.collections.of(f"{prefix}file")
        if found is None or found.prefix != prefix:
            prefixes = ", ".join(pattern.prefix(f"{{{pattern.kind}_id}}") for pattern in self.collections.patterns)
            raise Invalid(f"{url} is not the prefix of a collection; those are {prefixes} (--collections)")
        return found


def connect(
    *,
    bucket: str | None = None,
    api_url: str | None = None,
    token: str | None = None,
    stack: str | None = None,
    collections: str | None = None,
    manifest_root: str | None = None,
    sweep_queue_url: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
    region: str | None = None,
    cache: Path | None = None,
) -> Deployment:
    """The deployment that is named: by the ``stack``'s name, by its ``bucket``, or by its ``api_url``.

    With a bucket manifests are read straight from S3; else, with an ``api_url``, over HTTP, signed or with the
    bearer ``token``. What is not given is taken from the environment (``S3_MANIFEST_STACK``, ``S3_MANIFEST_BUCKET``,
    ``S3_MANIFEST_API_URL``, ``S3_MANIFEST_API_TOKEN``, ``S3_MANIFEST_COLLECTIONS``, ``S3_MANIFEST_ROOT``,
    ``S3_MANIFEST_SWEEP_QUEUE_URL``, ``S3_MANIFEST_CACHE``), or from what the stack says of itself; credentials, region
    and endpoint are boto3's own.
    No request is made, but for a stack's description. Raises ``Invalid``, ``NotFound``, ``Unavailable``.
    """
    given = os.environ.get
    session = session_of(profile, region)
    endpoint = endpoint_url or given("AWS_ENDPOINT_URL_S3") or given("AWS_ENDPOINT_URL")
    explicit = bucket or api_url
    stack = stack or (None if explicit else given("S3_MANIFEST_STACK"))
    says = described(session, stack, endpoint_url) if stack else {}
    if not explicit:
        bucket = says.get("BucketName") or given("S3_MANIFEST_BUCKET")
        api_url = None if bucket else given("S3_MANIFEST_API_URL")
    kinds = configured_collections(collections or says.get("Collections"), manifest_root or says.get("ManifestRoot"))
    folder = cache or state_files.state_folder()
    options = {
        "--collections": collections,
        "--manifest-root": manifest_root,
        "--endpoint-url": endpoint,
        "--profile": profile,
        "--region": region,
    }
    if bucket:
        queue_url = sweep_queue_url or says.get("SweepQueueUrl") or given("S3_MANIFEST_SWEEP_QUEUE_URL")
        enqueue = None
        credentials_of(session)
        with _as_named():
            if queue_url:
                queue = sqs_client(endpoint_url or given("AWS_ENDPOINT_URL_SQS") or endpoint, session=session)
                enqueue = partial(messaging.send_jobs, queue, queue_url, delay_seconds=0)
            reads = s3_client(endpoint, session=session)
        # Nothing is written through this store, and a client that does not retry takes as long to make as any.
        named = {"--stack": stack} if stack else {"--bucket": bucket, "--sweep-queue-url": queue_url}
        reached = Connection(bucket, _given(named | options), can_rescan=enqueue is not None)
        store = ExplainingStore(bucket, reads, writes=reads)
        manifests: Manifests = S3Manifests(store, kinds, enqueue, reached)
        return Deployment(manifests, kinds, session, endpoint, bucket, f"{endpoint or 's3'} {bucket}", folder)
    if api_url:
        api = HttpApi(api_url, session, token or given("S3_MANIFEST_API_TOKEN"))
        reached = Connection(None, _given({"--api-url": api_url} | options), can_rescan=True)
        return Deployment(HttpManifests(api, kinds, reached), kinds, session, endpoint, None, api_url, folder)
    raise Invalid("which deployment? Give --bucket, --stack or --api-url, or set S3_MANIFEST_BUCKET")


def _given(options: Mapping[str, str | None]) -> dict[str, str]:
    return {option: value for option, value in options.items() if value}


def described(session: boto3.Session, stack: str, endpoint_url: str | None = None) -> Mapping[str, str]:
    """The outputs and parameters of a deployed stack. Raises ``NotFound``, ``Unavailable``."""
    credentials_of(session)
    try:
        with _as_named():
            client = session.client("cloudformation", endpoint_url=endpoint_url)
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except AWS_FAULTS as error:
        fault = fault_of(error)
        if fault.code == "ValidationError":
            raise NotFound(
                f"There is no stack {stack} in this account and region.",
                remedy="List yours with 'aws cloudformation list-stacks', and check --profile and --region.",
            ) from error
        raise unavailable(fault, f"stack {stack}: not read", "cloudformation:DescribeStacks on it") from error
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", ())}
    return parameters | {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}


@contextmanager
def _as_named() -> Iterator[None]:
    """An endpoint or a region that cannot be one is ``Invalid``; one that is missing is ``Unavailable``."""
    try:
        yield
    except NoRegionError as error:
        raise unavailable(fault_of(error), "") from error
    except (BotoCoreError, ValueError) as error:
        raise Invalid(
            f"{str(error).rstrip('.')}.", remedy="Check --region and --endpoint-url, and the variables of AWS."
        ) from error


def configured_collections(text: str | None, root: str | None) -> Collections:
    """The kinds of collections that the option or the environment names, else the defaults. Raises ``Invalid``."""
    text = text or os.environ.get("S3_MANIFEST_COLLECTIONS") or DEFAULT_COLLECTIONS
    root = root or os.environ.get("S3_MANIFEST_ROOT") or DEFAULT_ROOT
    try:
        return parse_collections(text, root)
    except InvalidCollections as error:
        raise Invalid(str(error)) from error
