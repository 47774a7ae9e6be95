"""What a conditional write must do: each case is given a bucket, and fails on one that does not do it."""

import pytest
from contract.buckets import Bucket

from s3_manifest.storage.store import Conflict

WRONG = "0" * 32


def write(bucket: Bucket, body: bytes, replaces: str | None) -> str:
    return bucket.store.put("k", body, replaces=replaces, metadata={})


def refused(bucket: Bucket, replaces: str | None) -> None:
    before = bucket.store.get("k")
    with pytest.raises(Conflict) as conflict:
        write(bucket, b"refused", replaces)
    assert conflict.value.key == "k"
    assert bucket.store.get("k") == before


def creating_twice_is_a_conflict(bucket: Bucket) -> None:
    write(bucket, b"one", None)
    refused(bucket, None)


def creating_what_somebody_else_uploaded_is_a_conflict(bucket: Bucket) -> None:
    bucket.upload("k", b"theirs")
    refused(bucket, None)


def replacing_with_a_wrong_etag_is_a_conflict(bucket: Bucket) -> None:
    write(bucket, b"one", None)
    refused(bucket, WRONG)


def replacing_what_was_replaced_is_a_conflict(bucket: Bucket) -> None:
    first = write(bucket, b"one", None)
    write(bucket, b"two", first)
    refused(bucket, first)


def replacing_what_was_deleted_is_a_conflict(bucket: Bucket) -> None:
    etag = write(bucket, b"one", None)
    bucket.delete("k")
    refused(bucket, etag)


def replacing_what_never_was_is_a_conflict(bucket: Bucket) -> None:
    refused(bucket, WRONG)


def creating_anew_what_somebody_else_created_meanwhile_is_a_conflict(bucket: Bucket) -> None:
    write(bucket, b"one", None)
    bucket.delete("k")
    bucket.upload("k", b"theirs")
    refused(bucket, None)


CASES = (
    creating_twice_is_a_conflict,
    creating_what_somebody_else_uploaded_is_a_conflict,
    replacing_with_a_wrong_etag_is_a_conflict,
    replacing_what_was_replaced_is_a_conflict,
    replacing_what_was_deleted_is_a_conflict,
    replacing_what_never_was_is_a_conflict,
    creating_anew_what_somebody_else_created_meanwhile_is_a_conflict,
)
