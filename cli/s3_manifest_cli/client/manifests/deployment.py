"""Connects to a deployment, through S3 or through its HTTP API."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

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
from s3_manifest.storage.aws_errors import AWS_ERRORS, parse_fault
from s3_manifest_cli.client.access.aws_session import credentials_of, session_of
from s3_manifest_cli.client.access.explanations import unavailable
from s3_manifest_cli.client.access.http_api import HttpApi
from s3_manifest_cli.client.access.s3_errors import ExplainingStore
from s3_manifest_cli.client.local import state_files
from s3_manifest_cli.client.manifests import cache
from s3_manifest_cli.client.manifests.direct import S3Manifests
from s3_manifest_cli.client.manifests.http import HttpManifests
from s3_manifest_cli.client.manifests.manifests import Connection, Index, Manifests
from s3_manifest_cli.errors import Invalid, NotFound

_LISTED_SECONDS = 60


class ListedEtags(NamedTuple):
    """The ETags of manifests that were just listed. Each counts once, within a minute after ``listed_at`` (monotonic).

    A program that reads a manifest again may have changed it since.
    """

    etags: dict[Collection, str]
    listed_at: float

    def take(self, collection: Collection) -> str | None:
        """The ETag of the current manifest; None if it is not known, or was taken."""
        etag = self.etags.pop(collection, None)
        return etag if time.monotonic() < self.listed_at + _LISTED_SECONDS else None


class Deployment(NamedTuple):
    """A deployment and the connection to it.

    ``bucket`` is the deployment's own, None if only the HTTP API is known: manifests name their bucket. ``name``
    distinguishes deployments in the folder ``cache``. ``listed`` spares the first request for each unchanged manifest.
    """

    manifests: Manifests
    collections: Collections
    session: boto3.Session
    endpoint: str | None
    bucket: str | None
    name: str
    cache: Path
    listed: ListedEtags = ListedEtags({}, 0.0)

    def current_index(self, collection: Collection) -> Index:
        """The collection's current index, fetched only if it changed. Raises ``NotFound``, ``Unavailable``."""
        path = self.cache / f"manifest-{state_files.stable_name(*self.state_of(collection))}.json"
        listed, cached = self.listed.take(collection), cache.load(path, self.manifests.admit)
        if cached and cached.etag == listed:
            return cached
        index = self.manifests.index(collection, cached)
        if index is not cached:
            cache.save(path, index)
        return index

    def state_of(self, collection: Collection) -> tuple[str, str]:
        """What distinguishes the collection from all others in the client's own files."""
        is_own = collection.bucket == (self.bucket or "")
        return self.name if is_own else f"{self.name} {collection.bucket}", collection.head_key

    def collection(self, name: str) -> Collection:
        """The collection ``KIND/ID`` or ``s3://BUCKET/PREFIX/``, which may be empty; for an actor also by number.

        Raises ``Invalid``, ``NotFound``, ``Refused``, ``Unavailable``.
        """
        if name.startswith("s3://"):
            return self._collection_at(name)
        kind, slash, collection_id = name.partition("/")
        if kind == KIND and is_number(collection_id):
            return self.manifests.actor(collection_id)
        if slash:
            if collection := self.collections.lookup(kind, collection_id):
                return collection
            try:
                self.collections.check_id(kind, collection_id)
            except IdTooLong as error:
                raise Invalid(str(error)) from error
        kinds = " or ".join(f"{pattern.kind}/…" for pattern in self.collections.patterns)
        raise Invalid(
            f"{name!r} is not a collection.", remedy=f"Write KIND/ID, such as {kinds}, or s3://BUCKET/PREFIX/."
        )

    def _collection_at(self, url: str) -> Collection:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        # Over HTTP, the bucket of a pattern that names none is unknown.
        buckets = self.collections.buckets
        if bucket not in buckets and "" not in buckets:
            own = f"bucket {buckets[0]}" if len(buckets) == 1 else f"buckets {' and '.join(buckets)}"
            raise Invalid(f"{url} is not in this deployment's {own}.", remedy=f"Pass --bucket {bucket}.")
        prefix = prefix.rstrip("/") + "/"
        places = (self.collections.collection_of(place, f"{prefix}file") for place in (bucket, ""))
        collection = next((place for place in places if place), None)
        if collection is None or collection.prefix != prefix:
            prefixes = ", ".join(
                pattern.prefix(f"{{{pattern.kind}_id}}")
                for pattern in self.collections.patterns
                if pattern.bucket in {bucket, ""}
            )
            raise Invalid(
                f"{url} is not the prefix of a collection.", remedy=f"Prefixes are {prefixes} (--collections)."
            )
        if not collection.bucket:
            self._check_bucket(collection, bucket, url)
        return collection

    def _check_bucket(self, collection: Collection, bucket: str, url: str) -> None:
        """Raises ``Invalid`` if the collection, whose bucket only its manifest knows, is in another bucket."""
        with suppress(NotFound):
            actual = self.manifests.facts(collection).s3_bucket
            if actual != bucket:
                name = f"{collection.kind}/{collection.id}"
                raise Invalid(
                    f"{url} is not in this deployment: its {name} is in bucket {actual}.",
                    remedy=f"Write s3://{actual}/{collection.prefix}, or {name}.",
                )


class ConnectOptions(TypedDict, total=False):
    """Names a deployment, by ``stack``, ``bucket`` or ``api_url``, and how to reach it.

    ``token`` is a bearer token for the HTTP API. ``cache`` is the client's cache folder.
    """

    bucket: str | None
    api_url: str | None
    token: str | None
    stack: str | None
    collections: str | None
    manifest_root: str | None
    sweep_queue_url: str | None
    endpoint_url: str | None
    profile: str | None
    region: str | None
    cache: Path | None


def connect(**options: Unpack[ConnectOptions]) -> Deployment:
    """Connects to a deployment. With a bucket, manifests are read from S3, otherwise over HTTP.

    Missing options come from the environment (``S3_MANIFEST_STACK``, ``S3_MANIFEST_BUCKET``, ``S3_MANIFEST_API_URL``,
    ``S3_MANIFEST_API_TOKEN``, ``S3_MANIFEST_COLLECTIONS``, ``S3_MANIFEST_ROOT``, ``S3_MANIFEST_SWEEP_QUEUE_URL``,
    ``S3_MANIFEST_CACHE``) or from the stack; credentials, region and endpoint from boto3's defaults. Without a token,
    HTTP requests are signed. Makes no request, except to describe a stack. Raises ``Invalid``, ``NotFound``,
    ``Unavailable``.
    """
    if unknown := options.keys() - ConnectOptions.__annotations__.keys():
        raise TypeError(f"connect() got unexpected options: {', '.join(sorted(unknown))}")
    env = os.environ.get
    session = session_of(options.get("profile"), options.get("region"))
    endpoint = options.get("endpoint_url") or env("AWS_ENDPOINT_URL_S3") or env("AWS_ENDPOINT_URL")
    bucket, api_url = options.get("bucket"), options.get("api_url")
    is_named = bool(bucket or api_url)
    stack = options.get("stack") or (None if is_named else env("S3_MANIFEST_STACK"))
    settings = _stack_settings(session, stack, options.get("endpoint_url")) if stack else {}
    if not is_named:
        bucket = settings.get("BucketName") or env("S3_MANIFEST_BUCKET")
        api_url = None if bucket else env("S3_MANIFEST_API_URL")
    collections = configured_collections(
        options.get("collections") or settings.get("Collections"),
        options.get("manifest_root") or settings.get("ManifestRoot"),
        bucket or "",
    )
    cache = options.get("cache") or state_files.state_folder()
    given: Mapping[str, Any] = {**options, "endpoint_url": endpoint}
    shared = ("collections", "manifest_root", "endpoint_url", "profile", "region")
    shared_options = {f"--{name.replace('_', '-')}": given.get(name) for name in shared}
    if bucket:
        queue_url = (
            options.get("sweep_queue_url") or settings.get("SweepQueueUrl") or env("S3_MANIFEST_SWEEP_QUEUE_URL")
        )
        enqueue = None
        credentials_of(session)
        with _endpoint_errors():
            if queue_url:
                queue_endpoint = options.get("endpoint_url") or env("AWS_ENDPOINT_URL_SQS") or endpoint
                queue = sqs_client(queue_endpoint, session=session)
                enqueue = partial(messaging.send_jobs, queue, queue_url, delay_seconds=0)
            client = s3_client(endpoint, session=session)
        named_by = {"--stack": stack} if stack else {"--bucket": bucket, "--sweep-queue-url": queue_url}
        connection = Connection(named_by | shared_options, can_rescan=enqueue is not None)
        # Nothing is written through these stores, and a second client without retries takes as long to create.
        stores = {name: ExplainingStore(name, client, writes=client) for name in collections.buckets}
        manifests: Manifests = S3Manifests(stores, collections, enqueue, connection)
        return Deployment(manifests, collections, session, endpoint, bucket, f"{endpoint or 's3'} {bucket}", cache)
    if api_url:
        api = HttpApi(api_url, session, options.get("token") or env("S3_MANIFEST_API_TOKEN"))
        connection = Connection({"--api-url": api_url} | shared_options, can_rescan=True)
        manifests = HttpManifests(api, collections, connection)
        return Deployment(manifests, collections, session, endpoint, None, api_url, cache)
    raise Invalid("No deployment is named.", remedy="Pass --bucket, --stack or --api-url, or set S3_MANIFEST_BUCKET.")


def _stack_settings(session: boto3.Session, stack: str, endpoint_url: str | None) -> Mapping[str, str]:
    """The parameters and outputs of a deployed stack. Raises ``NotFound``, ``Unavailable``."""
    credentials_of(session)
    try:
        with _endpoint_errors():
            client = session.client("cloudformation", endpoint_url=endpoint_url)
        (description,) = client.describe_stacks(StackName=stack)["Stacks"]
    except AWS_ERRORS as error:
        fault = parse_fault(error)
        if fault.code == "ValidationError":
            raise NotFound(
                f"There is no stack {stack} in this account and region.",
                remedy="List yours with 'aws cloudformation list-stacks', and check --profile and --region.",
            ) from error
        raise unavailable(fault, f"stack {stack}: not read", "cloudformation:DescribeStacks on it") from error
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in description.get("Parameters", ())}
    return parameters | {item["OutputKey"]: item["OutputValue"] for item in description.get("Outputs", ())}


@contextmanager
def _endpoint_errors() -> Iterator[None]:
    """Raises ``Invalid`` for a malformed endpoint or region, ``Unavailable`` for a missing region."""
    try:
        yield
    except NoRegionError as error:
        raise unavailable(parse_fault(error), "") from error
    except (BotoCoreError, ValueError) as error:
        raise Invalid(
            f"{str(error).rstrip('.')}.", remedy="Check --region, --endpoint-url and the AWS_… variables."
        ) from error


def configured_collections(text: str | None, root: str | None, bucket: str) -> Collections:
    """The kinds of collections, from these options, the environment, or the defaults. Raises ``Invalid``.

    ``bucket`` is that of the kinds that name none.
    """
    text = text or os.environ.get("S3_MANIFEST_COLLECTIONS") or DEFAULT_COLLECTIONS
    root = root or os.environ.get("S3_MANIFEST_ROOT") or DEFAULT_ROOT
    try:
        return parse_collections(text, root, bucket)
    except InvalidCollections as error:
        raise Invalid(str(error)) from error
