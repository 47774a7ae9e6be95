"""The reconcile function: every form of its messages, and which of them it reports as failed."""

import json
from typing import Any

import pytest
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import BUCKET, Context, s3_event, s3_test_event, sns_envelope, sns_event, sqs_event

import reconcile_handler

IRRELEVANT_MESSAGES = {
    "test event": s3_test_event(),
    "no records": {"Records": []},
    "another bucket": s3_event("styles/16/a.png", bucket="somebody-elses"),
    "outside of every collection": s3_event("logs/16/a.png"),
    "beside the ids": s3_event("styles/readme.txt"),
    "a manifest": s3_event("_manifests/styles/16/manifest.json"),
    "in a folder like the root's": s3_event("_manifests/styles/16/a.png"),
}


def test_a_batch_updates_the_manifests_of_all_its_collections(account, reconcile):
    for key in ("styles/16/a.png", "styles/16/b.png", "styles/17/c.png", "system_actors/training_data/0007/d.png"):
        account.put(key)
    failed = reconcile(
        {
            "1": s3_event("styles/16/a.png"),
            "2": s3_event("styles/17/c.png", "system_actors/training_data/0007/d.png"),
            "3": s3_event("styles/16/b.png"),
        }
    )
    assert failed == []
    assert sorted(account.files("styles/16/")) == ["a.png", "b.png"]
    assert sorted(account.files("styles/17/")) == ["c.png"]
    actor = account.manifest("system_actors/training_data/0007/")
    assert (actor["kind"], actor["actor_id"], actor["total_files"]) == ("actor", "0007", 1)
    assert actor["files"][0]["filename"] == "d.png"
    assert [request.key for request in account.sent("PUT")].count("_manifests/styles/16/manifest.json") == 1


def test_a_malformed_message_fails_alone(account, reconcile, log):
    account.put("styles/16/a.png")
    failed = reconcile({"good": s3_event("styles/16/a.png"), "broken": '{"Records": [{"s3', "test": s3_test_event()})
    assert failed == ["broken"]
    assert sorted(account.files("styles/16/")) == ["a.png"]
    assert [line["message_id"] for line in log() if line["message"] == "failed"] == ["broken"]


@pytest.mark.parametrize("message", IRRELEVANT_MESSAGES.values(), ids=IRRELEVANT_MESSAGES)
def test_an_irrelevant_message_is_dropped_with_a_log_line_and_no_request(account, reconcile, log, message):
    assert reconcile({"dropped": message}) == []
    assert account.requests == []
    assert [(line["message"], line["message_id"]) for line in log()] == [("dropped", "dropped")]


def test_irrelevant_messages_leave_the_manifest_unchanged(account, reconcile):
    account.put("styles/16/a.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    before = account.read("_manifests/styles/16/manifest.json")
    assert reconcile(IRRELEVANT_MESSAGES) == []
    assert account.read("_manifests/styles/16/manifest.json") == before
    (record,) = account.below("_manifests/styles/16/changes/")
    assert sorted(request.key for request in account.sent("PUT")) == [record, "_manifests/styles/16/manifest.json"]


def test_one_line_is_logged_for_each_record_that_is_dropped(account, reconcile, log):
    account.put("styles/16/a.png")
    records = s3_event("logs/a")["Records"] + s3_event("styles/16/a.png", "_manifests/x")["Records"]
    assert reconcile({"mixed": {"Records": records}}) == []
    dropped = [line["reason"] for line in log() if line["message"] == "dropped"]
    assert [reason for reason in dropped if "logs/a" in reason or "_manifests/x" in reason] == dropped
    assert len(dropped) == 2
    assert sorted(account.files("styles/16/")) == ["a.png"]


def test_s3_may_invoke_the_function_directly(account):
    account.put("styles/16/a.png")
    assert failed_ids(reconcile_handler.handler(s3_event("styles/16/a.png"), Context())) == []
    assert sorted(account.files("styles/16/")) == ["a.png"]


def test_sns_may_invoke_the_function(account):
    account.put("styles/16/a.png")
    event = sns_event(json.dumps(s3_event("styles/16/a.png")))
    assert failed_ids(reconcile_handler.handler(event, Context())) == []
    assert sorted(account.files("styles/16/")) == ["a.png"]


def test_events_may_come_through_sns_into_the_queue(account, reconcile):
    account.put("styles/16/a.png")
    assert reconcile({"1": sns_envelope(json.dumps(s3_event("styles/16/a.png")))}) == []
    assert sorted(account.files("styles/16/")) == ["a.png"]


@pytest.mark.parametrize(
    "event",
    [
        {"hello": "world"},
        {},
        {"Records": [{"eventSource": "aws:s3"}]},
        sns_event("not JSON"),
        sns_event(json.dumps(sns_envelope("not JSON"))),
    ],
    ids=["no notification", "empty", "no key", "SNS, no JSON", "SNS within SNS, no JSON"],
)
def test_an_invalid_direct_invocation_raises(account, event):
    with pytest.raises(reconcile_handler.ReconcileFailed, match=r"JSON|notification"):
        reconcile_handler.handler(event, Context())
    assert account.requests == []


def test_a_direct_invocation_raises_if_s3_refuses(account):
    account.put("styles/16/a.png")
    account.refuse("HEAD", "styles/16/a.png", 403)
    with pytest.raises(reconcile_handler.ReconcileFailed, match=r"styles/16/a\.png"):
        reconcile_handler.handler(s3_event("styles/16/a.png"), Context())


@pytest.mark.parametrize(
    "event",
    [
        s3_test_event(),
        {"Records": []},
        s3_event("logs/a"),
        sqs_event({"1": s3_test_event()}),
        sqs_event({"1": "broken"}),
        sqs_event({"1": ""}),
        sns_event(json.dumps(s3_test_event())),
    ],
)
def test_the_answer_is_never_null_or_empty(account, event: dict[str, Any]):
    assert failed_ids(reconcile_handler.handler(event, Context())) in ([], ["1"])


def test_a_late_delete_event_does_not_remove_an_existing_object(account, reconcile):
    account.put("styles/16/a.png")
    for event in ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:Delete"):
        assert reconcile({"1": s3_event("styles/16/a.png", event=event)}) == []
        assert sorted(account.files("styles/16/")) == ["a.png"]


def test_a_late_create_event_does_not_add_a_deleted_object(account, reconcile):
    account.put("styles/16/a.png")
    account.put("styles/16/b.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    account.delete("styles/16/a.png")
    assert reconcile({"2": s3_event("styles/16/a.png")}) == []
    assert sorted(account.files("styles/16/")) == ["b.png"]


def test_duplicate_and_reordered_events_end_in_the_state_of_the_bucket(account, reconcile):
    account.put("styles/16/gone.png")
    account.put("styles/16/kept.png", b"old")
    reconcile({"0": s3_event("styles/16/gone.png")})
    account.delete("styles/16/gone.png")
    etag = account.put("styles/16/kept.png", b"newer")
    events = [
        s3_event("styles/16/gone.png", event="ObjectRemoved:Delete"),
        s3_event("styles/16/kept.png"),
        s3_event("styles/16/gone.png"),
        s3_event("styles/16/kept.png", event="ObjectRemoved:Delete"),
        s3_event("styles/16/kept.png", "styles/16/gone.png"),
    ]
    assert reconcile({str(number): event for number, event in enumerate(events * 2)}) == []
    once = account.manifest("styles/16/")
    assert [(entry["filename"], entry["etag"]) for entry in once["files"]] == [("kept.png", etag)]
    for number, event in enumerate(reversed(events)):
        assert reconcile({str(number): event}) == []
    again = account.manifest("styles/16/")
    assert (again["files"], again["revision"]) == (once["files"], once["revision"])
    assert again["commit"] != once["commit"]


def test_a_message_about_two_collections_fails_if_one_of_them_does(account, reconcile):
    account.put("styles/16/a.png")
    account.put("styles/17/b.png")
    account.refuse("HEAD", "styles/17/b.png", 403)
    assert reconcile({"both": s3_event("styles/16/a.png", "styles/17/b.png"), "one": s3_event("styles/16/a.png")}) == [
        "both"
    ]
    assert sorted(account.files("styles/16/")) == ["a.png"]


def test_the_manifest_names_the_bucket_in_the_settings(account, reconcile):
    account.put("styles/16/a.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    manifest = account.manifest("styles/16/")
    assert manifest["s3_bucket"] == BUCKET
    assert manifest["files"][0]["s3_url"] == f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/styles/16/a.png"
