"""The reconcile and the sweep function: a collection with objects older than its first event."""

import json

import pytest
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import BUCKET, SOMEBODYS_ATTRIBUTE, Context, s3_event, sqs_record

import reconcile_handler
from s3_manifest.manifest.jobs import Sweep, decode_job, encode_job

RECORD = "_manifests/subscription.json"


def test_the_first_event_of_a_collection_lists_all_existing_objects(account, reconcile, pass_seconds):
    names = account.fill("styles/16/", 30)
    account.antedate("styles/16/image_00007.png")
    account.put("styles/160/another.png")
    assert reconcile({"1": s3_event("styles/16/image_00007.png")}) == []
    manifest = account.manifest("styles/16/")
    assert [entry["filename"] for entry in manifest["files"]] == names
    assert (manifest["complete"], manifest["total_files"], manifest["revision"]) == (True, 30, 1)
    sources = {entry["filename"]: entry["source"] for entry in manifest["files"]}
    assert (sources["image_00007.png"], sources["image_00008.png"]) == ("s3_scan", "s3_event")
    pass_seconds(60)
    assert account.received() == []
    assert account.queued() == []


def test_a_collection_too_large_for_one_listing_is_incomplete_until_its_sweep_is_done(
    account, reconcile, sweep, sweep_on, pass_seconds
):
    names = account.fill("styles/16/", 1050)
    assert reconcile({"1": s3_event("styles/16/image_00001.png")}) == []
    manifest = account.manifest("styles/16/")
    assert (manifest["complete"], manifest["last_verified_at"], manifest["total_files"]) == (False, None, 1)
    # The job is delayed until the head is written.
    assert account.queued() == []

    pass_seconds(6)
    (body,) = account.queued()
    assert decode_job(body) == Sweep(kind="style", id="16", created_at=manifest["created_at"])

    assert sweep({"m": body}) == []
    assert account.queued() == []
    manifest = account.manifest("styles/16/")
    assert [entry["filename"] for entry in manifest["files"]] == names
    assert (manifest["complete"], manifest["total_files"]) == (True, 1050)
    assert manifest["last_verified_at"] >= manifest["created_at"]

    # A repeated delivery changes nothing.
    assert sweep({"m": body}, receives=2) == []
    assert sweep_on() == []
    again = account.manifest("styles/16/")
    assert (again["files"], again["revision"]) == (manifest["files"], manifest["revision"])


def test_a_first_sweep_stops_at_half_time_and_queues_its_continuation(account, reconcile, sweep_on, pass_seconds):
    names = account.fill("styles/16/", 1050)
    reconcile({"1": s3_event("styles/16/image_00001.png")})
    pass_seconds(6)

    def hurried():
        """After its start, more than half of its time has passed."""
        context = Context(100.0, function_name="sweep")
        clock = iter([100_000])
        context.get_remaining_time_in_millis = lambda: next(clock, 40_000)
        return context

    jobs = [decode_job(body) for body in sweep_on(hurried)]
    assert len(jobs) > 2
    assert [job.progress for job in jobs].count(None) == 1
    listed = [job.progress.listed for job in jobs[1:]]
    assert listed == sorted(listed)
    manifest = account.manifest("styles/16/")
    assert [entry["filename"] for entry in manifest["files"]] == names
    assert (manifest["complete"], manifest["total_files"]) == (True, 1050)


def test_a_refused_object_at_first_sight_leaves_the_manifest_incomplete(account, reconcile, sweep, log, pass_seconds):
    names = account.fill("styles/16/", 3)
    account.refuse("HEAD", f"styles/16/{names[2]}", 403)
    assert reconcile({"1": s3_event(f"styles/16/{names[0]}")}) == []
    manifest = account.manifest("styles/16/")
    assert ([entry["filename"] for entry in manifest["files"]], manifest["complete"]) == (names[:2], False)
    pass_seconds(6)
    (body,) = account.queued()
    assert sweep({"m": body}) == ["m"]
    manifest = account.manifest("styles/16/")
    assert (manifest["complete"], manifest["last_verified_at"]) == (False, None)
    (line,) = [line for line in log() if line["message"] == "failed"]
    assert f"styles/16/{names[2]}" in line["reason"]
    assert "403" in line["reason"]

    account.faults.clear()
    assert sweep({"m": body}, receives=2) == []
    manifest = account.manifest("styles/16/")
    assert ([entry["filename"] for entry in manifest["files"]], manifest["complete"]) == (names, True)
    assert manifest["last_verified_at"]


def test_a_sweep_of_a_removed_kind_is_dropped(account, sweep):
    body = json.dumps({"job": "sweep", "kind": "voice", "id": "1", "created_at": "2026-01-01T00:00:00.000Z"})
    assert sweep({"m": body}) == []
    assert account.requests == []


def test_a_job_in_the_change_queue_and_a_notification_in_the_sweep_queue_fail(account, reconcile, sweep, log):
    job = encode_job(Sweep(kind="style", id="16", created_at="2026-01-01T00:00:00.000Z"))
    assert reconcile({"plain": job}) == ["plain"]
    record = sqs_record(job, "marked", SOMEBODYS_ATTRIBUTE)
    assert failed_ids(reconcile_handler.handler({"Records": [record]}, Context())) == ["marked"]
    assert sweep({"notification": json.dumps(s3_event("styles/16/a"))}) == ["notification"]
    assert account.requests == []
    assert [line["message_id"] for line in log() if line["message"] == "failed"] == ["plain", "marked", "notification"]


def test_the_subscription_record_is_read_until_it_has_the_prefix_and_then_not_again(account, reconcile, new_process):
    account.delete(RECORD)
    account.put("styles/16/a.png")
    reads = []
    for since in (None, None, "2020-01-01T00:00:00.000Z", "2040-01-01T00:00:00.000Z"):
        if since:
            account.subscribe(since)
        account.requests.clear()
        assert reconcile({"1": s3_event("styles/16/a.png")}) == []
        reads.append([request.key for request in account.sent("GET")].count(RECORD))
    assert reads == [1, 1, 1, 0]
    assert account.files("styles/16/")["a.png"]["source"] == "s3_event"
    new_process()
    account.requests.clear()
    account.put("styles/16/b.png")
    assert reconcile({"1": s3_event("styles/16/b.png")}) == []
    assert [request.key for request in account.sent("GET")].count(RECORD) == 1
    assert account.files("styles/16/")["b.png"]["source"] == "s3_scan"


@pytest.mark.parametrize("body", [b"{", b'{"schema": 2, "prefixes": {}}'])
def test_messages_fail_while_the_subscription_record_is_unreadable(account, reconcile, body, log):
    account.put(RECORD, body)
    account.put("styles/16/a.png")
    assert reconcile({"1": s3_event("styles/16/a.png")}) == ["1"]
    assert f"s3://{BUCKET}/{RECORD}: " in str(log())
    assert account.below("_manifests/") == [RECORD]
    account.subscribe("2020-01-01T00:00:00.000Z")
    assert reconcile({"1": s3_event("styles/16/a.png")}) == []
    assert account.files("styles/16/")["a.png"]["source"] == "s3_event"
