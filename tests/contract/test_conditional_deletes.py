"""Conditional deletes keep an object that another client replaced."""

import pytest
from contract.answers import Answer, error

from s3_manifest.aws import clients
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Absent, Conflict, ListedObject, OutcomeUnknown, WriteRefused

WRONG = "0" * 32
MISSING = ListedObject("missing", 1, WRONG, "2026-03-01T08:00:00.000Z")


@pytest.fixture
def store(server, monkeypatch):
    """A store on that server, without retries."""
    monkeypatch.setitem(clients._TIMEOUTS, "read_timeout", 0.3)
    client = clients.s3_client(server.endpoint, retries=False)
    return S3Store("bucket", client, client)


@pytest.mark.parametrize("key", ["k", "ö/b c+%20.png"])
def test_an_unchanged_object_is_deleted(bucket, key):
    bucket.upload(key, b"one")
    assert bucket.store.delete_if_match(key, bucket.etag(key)) is True
    assert bucket.store.head(key) == Absent(key)


def test_a_repeated_deletion_returns_false(bucket):
    bucket.upload("k", b"one")
    etag = bucket.etag("k")
    bucket.store.delete_if_match("k", etag)
    assert bucket.store.delete_if_match("k", etag) is False


def test_a_newer_object_stays(bucket):
    bucket.upload("k", b"one")
    etag = bucket.etag("k")
    bucket.upload("k", b"two")
    with pytest.raises(Conflict) as conflict:
        bucket.store.delete_if_match("k", etag)
    assert conflict.value.key == "k"
    assert bucket.store.get("k").body == b"two"


def test_in_a_versioned_bucket_the_current_version_counts(ministack_bucket):
    client, name = ministack_bucket.store._reads, ministack_bucket.store.bucket
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    ministack_bucket.upload("k", b"one")
    etag = ministack_bucket.etag("k")
    ministack_bucket.upload("k", b"two")
    with pytest.raises(Conflict):
        ministack_bucket.store.delete_if_match("k", etag)
    assert ministack_bucket.store.delete_if_match("k", ministack_bucket.etag("k")) is True
    assert ministack_bucket.store.head("k") == Absent("k")
    assert ministack_bucket.store.delete_if_match("k", etag) is False
    assert len(client.list_object_versions(Bucket=name)["Versions"]) == 2


def test_listed_objects_are_deleted_and_missing_objects_are_ignored(bucket):
    for key in ("a", "b ü%+/", "c"):
        bucket.upload(key, key.encode())
    listed = bucket.store.list("").objects
    assert list(bucket.store.delete_if_unchanged([*listed[:2], MISSING])) == []
    assert bucket.store.list("").keys == ("c",)
    assert list(bucket.store.delete_if_unchanged([])) == []


@pytest.mark.parametrize("bucket", ["memory", "ministack"], indirect=True)
def test_objects_newer_than_the_listing_stay_and_are_returned(bucket):
    """moto does not read the ETags of a batch deletion."""
    for key in ("a", "b", "c"):
        bucket.upload(key, b"one")
    listed = bucket.store.list("").objects
    bucket.upload("b", b"two")
    assert list(bucket.store.delete_if_unchanged(listed)) == ["b"]
    assert bucket.store.list("").keys == ("b",)
    assert bucket.store.get("b").body == b"two"


@pytest.mark.parametrize("status", [409, 412])
def test_a_condition_that_did_not_hold_is_a_conflict(server, store, status):
    server.answers = [error(status)]
    with pytest.raises(Conflict):
        store.delete_if_match("k", WRONG)


def test_the_deletion_of_a_missing_object_returns_false(server, store):
    server.answers = [error(404, "NoSuchKey")]
    assert store.delete_if_match("k", WRONG) is False


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (error(403), WriteRefused),
        (error(400), WriteRefused),
        (error(404, "NoSuchBucket"), WriteRefused),
        (error(500), OutcomeUnknown),
        (error(503), OutcomeUnknown),
        (Answer(dropped=True), OutcomeUnknown),
    ],
    ids=["403", "400", "no bucket", "500", "503", "dropped"],
)
def test_any_other_failure_of_a_deletion_is_raised(server, store, answer, raised):
    server.answers = [answer]
    with pytest.raises(raised):
        store.delete_if_match("k", WRONG)


@pytest.mark.parametrize(
    ("code", "remaining"), [("PreconditionFailed", ["k"]), ("ConditionalRequestConflict", ["k"]), ("NoSuchKey", [])]
)
def test_each_object_of_a_batch_has_its_own_result(server, store, code, remaining):
    refusal = f"<DeleteResult><Error><Key>k</Key><Code>{code}</Code><Message>no</Message></Error></DeleteResult>"
    server.answers = [Answer(200, refusal.encode())]
    assert list(store.delete_if_unchanged([MISSING])) == remaining


def test_a_refusal_within_a_batch_is_an_error(server, store):
    refusal = b"<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    server.answers = [Answer(200, refusal)]
    with pytest.raises(WriteRefused, match="k: S3 refused to delete it: AccessDenied"):
        store.delete_if_unchanged([MISSING])


def test_the_requests_carry_the_conditions(ministack_bucket):
    sent = []
    client = ministack_bucket.store._reads
    client.meta.events.register("before-send.s3", lambda request, **_: sent.append((request.headers, request.body)))
    ministack_bucket.upload("k", b"one")
    listed = ministack_bucket.store.list("").objects
    sent.clear()
    ministack_bucket.store.delete_if_match("k", listed[0].etag)
    ministack_bucket.store.delete_if_unchanged(listed)
    (single, _), (_, batch) = sent
    assert single["If-Match"] == f'"{listed[0].etag}"'.encode()
    assert listed[0].etag.encode() in batch
