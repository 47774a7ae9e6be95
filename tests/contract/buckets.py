"""A bucket for the contract's tests: the store under test, and direct access to the same bucket."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from moto import mock_aws

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Store

NAME = "contract-bucket"


@dataclass(frozen=True)
class Bucket:
    """``upload`` and ``delete`` act as another client, unconditionally."""

    store: Store
    upload: Callable[..., None]
    delete: Callable[[str], None]

    def etag(self, key: str) -> str:
        return self.store.head(key).etag


def in_memory() -> Bucket:
    store = MemoryStore()

    def upload(key: str, body: bytes, **facts: Any) -> None:
        store.upload(key, body, **facts)

    return Bucket(store, upload, store.remove)


def in_s3(name: str, endpoint: str | None = None) -> Bucket:
    """Creates a bucket of that name."""
    client = s3_client(endpoint)
    client.create_bucket(Bucket=name)

    def upload(
        key: str,
        body: bytes,
        content_type: str = "image/jpeg",
        storage_class: str = "STANDARD",
        metadata: Mapping[str, str] | None = None,
        **more: str,
    ) -> None:
        client.put_object(
            Bucket=name,
            Key=key,
            Body=body,
            ContentType=content_type,
            StorageClass=storage_class,
            Metadata=metadata or {},
            **more,
        )

    def delete(key: str) -> None:
        client.delete_object(Bucket=name, Key=key)

    return Bucket(S3Store(name, client, s3_client(endpoint, retries=False)), upload, delete)


@contextlib.contextmanager
def in_moto() -> Iterator[Bucket]:
    # A session for each test would load botocore's models of S3 each time, which takes most of a test's time.
    # The shared session keeps the first credentials it gets, so moto must not set its own.
    with mock_aws(config={"core": {"reset_boto3_session": False, "mock_credentials": False}}):
        yield in_s3(NAME)


def careless(bucket: Bucket) -> Bucket:
    """The same bucket on a server that silently ignores the conditions of a write.

    Some S3-compatible servers do; here the conditions are removed from the request.
    """
    assert isinstance(bucket.store, S3Store)
    writes = bucket.store._writes

    def lose_conditions(params: dict[str, Any], **_: Any) -> None:
        for name in ("If-Match", "If-None-Match"):
            params["headers"].pop(name, None)

    writes.meta.events.register("before-call.s3.PutObject", lose_conditions)
    return replace(bucket, store=S3Store(bucket.store.bucket, bucket.store._reads, writes))
