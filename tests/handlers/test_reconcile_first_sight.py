"""The reconcile function: a collection that held objects before anybody told of it."""

import json

import pytest
from moto.sqs import models

import reconcile_handler
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import BACKFILL_ATTRIBUTE, Context, s3_event, sqs_event_of, sqs_record


@pytest.fixture
def pass_seconds(monkeypatch):
    """Lets time pass in the queue."""
    clock = models.unix_time_millis

    def pass_seconds(seconds):
        monkeypatch.setattr(models, "unix_time_millis", lambda: clock() + seconds * 1000)

    return pass_seconds


def take(event, seconds_left=60.0):
    return failed_ids(reconcile_handler.handler(event, Context(seconds_left)))


def test_first_sight_lists_what_is_there_and_is_complete(account, reconcile, pass_seconds):
    names = account.fill("styles/16/", 30)
    account.put("styles/160/another.png")
    assert reconcile({"1": s3_event("styles/16/image_00007.png")}) == []
    manifest = account.manifest("styles/16/")
    assert [entry["filename"] for entry in manifest["files"]] == names
    assert (manifest["complete"], manifest["total_files"], manifest["revision"]) == (True, 30, 1)
    sources = {entry["filename"]: entry["source"] for entry in manifest["files"]}
    assert (sources["image_00007.png"], sources["image_00008.png"]) == ("s3_event", "s3_scan")
    pass_seconds(60)
    assert account.received() == []


def test_a_collection_too_large_for_one_look_says_so_until_its_backfill_is_done(account, reconcile, pass_seconds):
    names = account.fill("styles/16/", 1050)
    assert reconcile({"1": s3_event("styles/16/image_00001.png")}) == []
    manifest = account.manifest("styles/16/")
    assert (manifest["complete"], manifest["total_files"]) == (False, 1)
    # It is for the head that is being written: a moment later.
    assert account.received() == []

    pass_seconds(6)
    received = account.received()
    (message,) = received
    assert message["MessageAttributes"]["s3-manifest"]["DataType"] == "String"

    assert take(sqs_event_of(received)) == []
    manifest = account.manifest("styles/16/")
    assert [entry["filename"] for entry in manifest["files"]] == names
    assert (manifest["complete"], manifest["total_files"]) == (True, 1050)

    # Delivered again, it has nothing to do.
    before = account.read("_manifests/styles/16/manifest.json")
    assert take(sqs_event_of(received)) == []
    assert account.read("_manifests/styles/16/manifest.json") == before
    assert [entry["MessageId"] for entry in account.received()] == [message["MessageId"]]


def test_a_backfill_gives_way_at_half_time_and_asks_for_its_continuation(account, reconcile, pass_seconds):
    account.fill("styles/16/", 1050)
    reconcile({"1": s3_event("styles/16/image_00001.png")})
    pass_seconds(6)
    received = account.received()
    context = Context()
    clock = iter([100_000])
    context.get_remaining_time_in_millis = lambda: next(clock, 40_000)
    assert failed_ids(reconcile_handler.handler(sqs_event_of(received), context)) == []
    manifest = account.manifest("styles/16/")
    assert (manifest["complete"], manifest["total_files"]) == (False, 1000)
    pass_seconds(12)
    first, continuation = sorted(account.received(), key=lambda message: len(message["Body"]))
    assert json.loads(continuation["Body"]) == json.loads(first["Body"]) | {"after": "styles/16/image_00999.png"}

    assert take(sqs_event_of([continuation])) == []
    manifest = account.manifest("styles/16/")
    assert (manifest["complete"], manifest["total_files"]) == (True, 1050)


def test_a_refused_object_at_first_sight_leaves_the_manifest_incomplete(account, reconcile, pass_seconds):
    names = account.fill("styles/16/", 3)
    account.refuse("HEAD", f"styles/16/{names[2]}", 403)
    assert reconcile({"1": s3_event(f"styles/16/{names[0]}")}) == []
    manifest = account.manifest("styles/16/")
    assert ([entry["filename"] for entry in manifest["files"]], manifest["complete"]) == (names[:2], False)
    pass_seconds(6)
    received = account.received()
    assert len(take(sqs_event_of(received))) == 1
    assert account.manifest("styles/16/")["complete"] is False

    account.faults.clear()
    assert take(sqs_event_of(received)) == []
    manifest = account.manifest("styles/16/")
    assert ([entry["filename"] for entry in manifest["files"]], manifest["complete"]) == (names, True)


def test_a_backfill_of_a_kind_that_is_no_more_is_done(account):
    body = json.dumps({"kind": "voice", "id": "1", "created_at": "2026-01-01T00:00:00.000Z"})
    assert take({"Records": [sqs_record(body, attributes=BACKFILL_ATTRIBUTE)]}) == []
    assert account.requests == []


def test_a_backfill_request_is_told_by_its_attribute_alone(account, log):
    body = json.dumps({"kind": "style", "id": "16", "created_at": "2026-01-01T00:00:00.000Z"})
    assert take({"Records": [sqs_record(body, "plain")]}) == ["plain"]
    assert take({"Records": [sqs_record(json.dumps(s3_event("styles/16/a")), "marked", BACKFILL_ATTRIBUTE)]}) == [
        "marked"
    ]
    assert account.requests == []
    assert [line["message_id"] for line in log() if line["message"] == "failed"] == ["plain", "marked"]
