"""The reconcile function when S3 refuses, responses are lost, or time runs out: late is allowed, wrong is not."""

import json

import pytest
from botocore.exceptions import ReadTimeoutError
from handlers.lambda_events import Context, s3_event

import reconcile_handler

HEAD_OF_16 = "_manifests/styles/16/manifest.json"

pytestmark = pytest.mark.usefixtures("impatience")


@pytest.fixture
def known(account, reconcile):
    """Two collections that are up to date."""
    for key in ("styles/16/a.png", "styles/16/b.png", "styles/17/c.png"):
        account.put(key)
    reconcile({"1": s3_event("styles/16/a.png", "styles/17/c.png")})
    account.requests.clear()
    return account


def newer_schema(head: bytes) -> bytes:
    return json.dumps(json.loads(head) | {"schema": 2}).encode()


def unknown_field(head: bytes) -> bytes:
    return json.dumps(json.loads(head) | {"shards": []}).encode()


def files_and_pages(head: bytes) -> bytes:
    return json.dumps(json.loads(head) | {"pages": []}).encode()


def neither_files_nor_pages(head: bytes) -> bytes:
    return json.dumps({name: value for name, value in json.loads(head).items() if name != "files"}).encode()


def another_collections(head: bytes) -> bytes:
    return head.replace(b"styles/16/", b"styles/99/").replace(b'"style_id":"16"', b'"style_id":"99"')


def cut_off(head: bytes) -> bytes:
    return head[:-10]


SPOILERS = [
    newer_schema,
    unknown_field,
    files_and_pages,
    neither_files_nor_pages,
    another_collections,
    cut_off,
    bytes.swapcase,
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_an_unreadable_head_stays_unchanged_and_other_collections_are_committed(known, reconcile, spoil):
    spoiled = spoil(known.read(HEAD_OF_16))
    known.put(HEAD_OF_16, spoiled)
    known.put("styles/16/new.png")
    known.put("styles/17/new.png")
    failed = reconcile(
        {"1": s3_event("styles/16/new.png"), "2": s3_event("styles/17/new.png"), "3": s3_event("styles/16/a.png")}
    )
    assert sorted(failed) == ["1", "3"]
    assert known.read(HEAD_OF_16) == spoiled
    assert sorted(known.files("styles/17/")) == ["c.png", "new.png"]


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_a_key_that_s3_refuses_fails_its_message_and_keeps_its_entry(known, reconcile, status):
    before = known.files("styles/16/")["a.png"]
    known.put("styles/16/new.png")
    known.refuse("HEAD", "styles/16/a.png", status)
    assert reconcile({"1": s3_event("styles/16/a.png"), "2": s3_event("styles/16/new.png")}) == ["1"]
    assert known.files("styles/16/")["a.png"] == before
    assert "new.png" in known.files("styles/16/")


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (503, "SlowDown"), (404, "NoSuchBucket")])
def test_a_manifest_that_s3_does_not_return_is_not_recreated(known, reconcile, status, code):
    before = known.read(HEAD_OF_16)
    known.refuse("GET", HEAD_OF_16, status, code)
    failed = reconcile({"1": s3_event("styles/16/a.png"), "2": s3_event("styles/17/c.png")})
    assert failed == ["1"]
    assert HEAD_OF_16 not in {request.key for request in known.sent("PUT")}
    assert known.read(HEAD_OF_16) == before


def test_a_timeout_does_not_remove_the_entry(known, reconcile):
    def fault(request):
        if (request.method, request.key) == ("HEAD", "styles/16/a.png"):
            raise ReadTimeoutError(endpoint_url="https://s3.invalid")

    known.faults.append(fault)
    assert reconcile({"1": s3_event("styles/16/a.png"), "2": s3_event("styles/16/b.png")}) == ["1"]
    assert sorted(known.files("styles/16/")) == ["a.png", "b.png"]


def test_a_failed_message_succeeds_once_s3_answers_again(known, reconcile):
    known.refuse("HEAD", "styles/16/a.png", 403)
    known.delete("styles/16/a.png")
    removed = s3_event("styles/16/a.png", event="ObjectRemoved:Delete")
    assert reconcile({"1": removed}) == ["1"]
    known.faults.clear()
    assert reconcile({"1": removed}) == []
    assert sorted(known.files("styles/16/")) == ["b.png"]


def test_with_little_time_left_all_messages_fail_and_nothing_is_written(known, reconcile):
    before = known.read(HEAD_OF_16)
    known.put("styles/16/new.png")
    messages = {"1": s3_event("styles/16/new.png"), "2": s3_event("styles/17/c.png"), "3": s3_event("styles/18/x")}
    assert sorted(reconcile(messages, Context(seconds_left=5.0))) == ["1", "2", "3"]
    assert known.sent("PUT") == []
    assert known.read(HEAD_OF_16) == before
    assert reconcile(messages) == []
    assert "new.png" in known.files("styles/16/")


def test_a_concurrent_commit_is_not_lost(known, reconcile):
    known.put("styles/16/ours.png")
    known.put("styles/16/theirs.png")
    known.put("styles/16/theirs-too.png")
    others = [s3_event("styles/16/theirs.png"), s3_event("styles/16/theirs-too.png")]

    def interrupt(request):
        if request.method == "PUT" and others:
            event = others.pop()
            reconcile_handler.handler(event, Context())

    known.faults.append(interrupt)
    assert reconcile({"1": s3_event("styles/16/ours.png")}) == []
    assert others == []
    assert sorted(known.files("styles/16/")) == ["a.png", "b.png", "ours.png", "theirs-too.png", "theirs.png"]


def test_keys_observed_before_a_conflict_are_observed_again(known, reconcile):
    known.put("styles/16/ghost.png")
    removals = [s3_event("styles/16/ghost.png", event="ObjectRemoved:Delete")]

    def interrupt(request):
        if request.method == "PUT" and removals:
            known.delete("styles/16/ghost.png")
            reconcile_handler.handler(removals.pop(), Context())

    known.faults.append(interrupt)
    assert reconcile({"1": s3_event("styles/16/ghost.png")}) == []
    assert sorted(known.files("styles/16/")) == ["a.png", "b.png"]


def test_a_write_whose_response_was_lost_succeeds(known, reconcile):
    known.put("styles/16/new.png")
    known.refuse("PUT", HEAD_OF_16, 500, "InternalError")
    lose = known.faults.pop()
    lost = []

    def once(request):
        if not lost and (broken := lose(request)):
            lost.append(request)
            return broken
        return None

    known.faults.append(once)
    assert reconcile({"1": s3_event("styles/16/new.png")}) == []
    assert len(lost) == 1
    manifest = known.manifest("styles/16/")
    assert ("new.png" in known.files("styles/16/"), manifest["revision"]) == (True, 2)


def test_a_refused_write_fails_its_collections_messages_and_no_others(known, reconcile):
    known.put("styles/17/new.png")
    known.refuse("PUT", HEAD_OF_16, 403)
    failed = reconcile({"1": s3_event("styles/16/a.png"), "2": s3_event("styles/17/new.png")})
    assert failed == ["1"]
    assert "new.png" in known.files("styles/17/")


def test_only_manifests_and_change_records_are_written(known, reconcile):
    known.put("styles/16/collection.json", b'{"title": "x"}')
    reconcile({"1": s3_event("styles/16/collection.json", "styles/16/a.png", "styles/18/x.png")})
    assert {request.method for request in known.requests} == {"GET", "HEAD", "PUT"}
    written = {request.key for request in known.sent("PUT")}
    records = {*known.below("_manifests/styles/16/changes/")[-1:], *known.below("_manifests/styles/18/changes/")}
    assert len(records) == 2
    assert written == {HEAD_OF_16, "_manifests/styles/18/manifest.json"} | records
