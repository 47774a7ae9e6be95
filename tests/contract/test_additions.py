import pytest
from contract.answers import Answer

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Absent, WriteRefused


def test_an_added_object_exists_and_adding_it_again_changes_nothing(bucket):
    for _ in range(2):
        bucket.store.add("pages/1", b"[]")
        assert bucket.store.get("pages/1").body == b"[]"
        assert bucket.store.head("pages/1").content_type == "application/json"


@pytest.mark.parametrize("keys", [[], ["a"], ["a", "b ü%+/", "not there"]])
def test_objects_are_deleted_and_no_others(bucket, keys):
    for key in ("a", "b ü%+/", "c"):
        bucket.upload(key, b"")
    for _ in range(2):
        bucket.store.delete(keys)
        assert set(bucket.store.list("").keys) == {"a", "b ü%+/", "c"} - set(keys)


def test_a_thousand_objects_are_deleted_in_a_single_request(bucket):
    keys = [f"k{number:04d}" for number in range(1000)]
    for key in keys:
        bucket.store.add(key, b"{}")
    bucket.store.delete(keys)
    assert bucket.store.list("").keys == ()
    assert bucket.store.head(keys[-1]) == Absent(keys[-1])


def test_a_refused_deletion_of_an_object_is_an_error(server):
    refusal = b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    server.answers = [Answer(200, refusal)]
    client = s3_client(server.endpoint)
    with pytest.raises(WriteRefused, match="b: S3 refused to delete it: AccessDenied"):
        S3Store("bucket", client, client).delete(["a", "b"])
