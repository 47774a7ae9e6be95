"""The cases of conditional writes: each takes a bucket, and fails if its server ignores the condition."""

import pytest
from contract.buckets import Bucket

from s3_manifest.storage.store import Conflict

WRONG = "0" * 32


def write(bucket: Bucket, body: bytes, replaces: str | None) -> str:
    return bucket.store.put("k", body, replaces=replaces, metadata={})


def assert_conflict(bucket: Bucket, replaces: str | None) -> None:
    before = bucket.store.get("k")
    with pytest.raises(Conflict) as conflict:
        write(bucket, b"refused", replaces)
    assert conflict.value.key == "k"
    assert bucket.store.get("k") == before


def creating_twice_is_a_conflict(bucket: Bucket) -> None:
    write(bucket, b"one", None)
    assert_conflict(bucket, None)


def creating_an_object_that_another_client_uploaded_is_a_conflict(bucket: Bucket) -> None:
    bucket.upload("k", b"theirs")
    assert_conflict(bucket, None)


def replacing_with_a_wrong_etag_is_a_conflict(bucket: Bucket) -> None:
    write(bucket, b"one", None)
    assert_conflict(bucket, WRONG)


def replacing_with_an_outdated_etag_is_a_conflict(bucket: Bucket) -> None:
    first = write(bucket, b"one", None)
    write(bucket, b"two", first)
    assert_conflict(bucket, first)


def replacing_a_deleted_object_is_a_conflict(bucket: Bucket) -> None:
    etag = write(bucket, b"one", None)
    bucket.delete("k")
    assert_conflict(bucket, etag)


def replacing_a_missing_object_is_a_conflict(bucket: Bucket) -> None:
    assert_conflict(bucket, WRONG)


def recreating_an_object_that_another_client_recreated_is_a_conflict(bucket: Bucket) -> None:
    write(bucket, b"one", None)
    bucket.delete("k")
    bucket.upload("k", b"theirs")
    assert_conflict(bucket, None)


CASES = (
    creating_twice_is_a_conflict,
    creating_an_object_that_another_client_uploaded_is_a_conflict,
    replacing_with_a_wrong_etag_is_a_conflict,
    replacing_with_an_outdated_etag_is_a_conflict,
    replacing_a_deleted_object_is_a_conflict,
    replacing_a_missing_object_is_a_conflict,
    recreating_an_object_that_another_client_recreated_is_a_conflict,
)
