import pytest
from contract.buckets import careless
from contract.condition_cases import CASES

from s3_manifest.storage.store import StoredObject

named = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)


@named
def test_a_write_whose_condition_does_not_hold_is_refused_and_changes_nothing(bucket, case):
    case(bucket)


@named
def test_a_server_that_ignores_conditions_silently_fails_this_suite(ministack_bucket, case):
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        case(careless(ministack_bucket))


def test_a_missing_object_is_created(bucket):
    etag = bucket.store.put("k", b"{}", replaces=None, metadata={})
    assert bucket.store.get("k") == StoredObject(b"{}", etag)


def test_an_object_is_replaced_by_the_etag_of_a_read(bucket):
    first = bucket.store.put("k", b"one", replaces=None, metadata={})
    second = bucket.store.put("k", b"two", replaces=first, metadata={})
    assert second != first
    assert bucket.store.get("k") == StoredObject(b"two", second)


def test_an_object_of_another_writer_is_replaced_by_its_etag(bucket):
    bucket.upload("k", b"theirs")
    bucket.store.put("k", b"ours", replaces=bucket.etag("k"), metadata={})
    assert bucket.store.get("k").body == b"ours"


def test_a_deleted_object_is_created_again(bucket):
    bucket.store.put("k", b"one", replaces=None, metadata={})
    bucket.delete("k")
    bucket.store.put("k", b"two", replaces=None, metadata={})
    assert bucket.store.get("k").body == b"two"


def test_every_read_returns_the_etag_of_the_write(bucket):
    etag = bucket.store.put("k", b"{}", replaces=None, metadata={})
    assert '"' not in etag
    assert etag == bucket.store.get("k").etag == bucket.store.head("k").etag


def test_a_write_stores_json_with_its_metadata(bucket):
    metadata = {"s3-manifest": '{"revision":1,"title":"caf\\u00e9 \\"x\\"  y"}'}
    bucket.store.put("k", b"{}", replaces=None, metadata=metadata)
    present = bucket.store.head("k")
    assert (present.content_type, present.metadata, present.size) == ("application/json", metadata, 2)


def test_a_replacement_has_only_its_own_metadata(bucket):
    etag = bucket.store.put("k", b"one", replaces=None, metadata={"a": "1", "b": "2"})
    bucket.store.put("k", b"two", replaces=etag, metadata={"a": "3"})
    assert bucket.store.head("k").metadata == {"a": "3"}
