"""This suite detects S3-compatible servers that break conditions, and never runs forever."""

import itertools

import pytest
from contract import counters
from contract.buckets import in_s3
from contract.condition_cases import CASES
from contract.small_s3 import SmallS3

from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Conflict

_names = itertools.count()


@pytest.fixture
def bucket_of():
    """Creates a bucket on a server with these faults."""
    with SmallS3() as server:

        def bucket_of(*faults):
            server.faults = faults
            return in_s3(f"bucket-{next(_names)}", server.endpoint)

        yield bucket_of


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_server_that_keeps_conditions_passes(bucket_of, case):
    case(bucket_of())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_server_that_ignores_the_conditions_of_writes_fails(bucket_of, case):
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        case(bucket_of("writes_ignored"))


@pytest.mark.parametrize("fault", ["quoted_refused", "always_refused"])
def test_a_counter_on_a_server_that_refuses_valid_conditions_ends_with_the_reason(bucket_of, fault):
    bucket = bucket_of(fault)
    bucket.upload(counters.KEY, b"0")
    with pytest.raises(AssertionError, match="refuses If-Match with the ETag that it gave"):
        counters.in_threads(bucket.store, threads=2, times=2)
    assert counters.count(bucket.store) == 0


def test_a_counter_on_a_server_that_ignores_conditions_ends_and_has_lost_increments(bucket_of):
    bucket = bucket_of("writes_ignored")
    counters.start(bucket.store)
    counters.in_threads(bucket.store, threads=8, times=10)
    assert counters.count(bucket.store) < 8 * 10


def test_a_counter_on_a_server_that_keeps_conditions_loses_none(bucket_of):
    bucket = bucket_of()
    counters.start(bucket.store)
    assert counters.in_threads(bucket.store, threads=8, times=10) > 0
    assert counters.count(bucket.store) == 8 * 10


def test_a_server_that_ignores_the_condition_of_a_deletion_is_detected(bucket_of):
    bucket = bucket_of("deletes_ignored")
    bucket.upload("k", b"one")
    etag = bucket.etag("k")
    bucket.upload("k", b"two")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        _assert_keeps_a_newer_object(bucket.store, etag)


def test_a_server_that_keeps_the_condition_of_a_deletion_passes(bucket_of):
    bucket = bucket_of()
    bucket.upload("k", b"one")
    etag = bucket.etag("k")
    bucket.upload("k", b"two")
    _assert_keeps_a_newer_object(bucket.store, etag)
    assert bucket.store.get("k").body == b"two"


def _assert_keeps_a_newer_object(store: S3Store, etag: str) -> None:
    with pytest.raises(Conflict):
        store.delete_if_match("k", etag)
