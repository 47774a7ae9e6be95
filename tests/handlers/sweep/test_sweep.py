"""The sweep function: the messages of its queue, its repairs, and its logs and metrics."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import BUCKET, Context, s3_event, sqs_event
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

import sweep_handler
from s3_manifest.manifest.jobs import Progress, Sweep, SweepAll, decode_job, encode_job
from s3_manifest.storage import heads

PREFIX = "styles/16/"
HEAD = f"_manifests/{PREFIX}manifest.json"
STYLE = Sweep(kind="style", id="16")

pytestmark = pytest.mark.usefixtures("impatience")


@pytest.fixture
def known(account, reconcile):
    """A collection with a complete manifest of ten files."""
    names = [f"{number:03}.png" for number in range(10)]
    for name in names:
        account.put(PREFIX + name, name.encode())
    reconcile({"1": s3_event(f"{PREFIX}000.png")})
    assert account.manifest(PREFIX)["complete"] is True
    account.requests.clear()
    return account


@pytest.fixture
def enqueue(account):
    """Sends a job to the sweep queue."""

    def enqueue(job):
        account.sqs.send_message(QueueUrl=account.sweep_queue_url, MessageBody=encode_job(job))

    return enqueue


def etags(account, prefix=PREFIX):
    return {name: entry["etag"] for name, entry in account.files(prefix).items()}


def lines(log, message):
    return [line for line in log() if line["message"] == message]


def drift_something(account):
    """Adds, removes and replaces a file without events."""
    account.put(f"{PREFIX}new.png")
    account.delete(f"{PREFIX}003.png")
    account.put(f"{PREFIX}005.png", b"other")
    return [f"{PREFIX}{name}" for name in ("003.png", "005.png", "new.png")]


def test_a_sweep_verifies_a_correct_manifest_and_reports_no_drift(known, sweep, log, metrics):
    before, began = known.manifest(PREFIX), datetime.now(UTC)
    metrics()
    assert sweep({"m": STYLE}) == []
    assert known.queued() == []
    after = known.manifest(PREFIX)
    assert datetime.fromisoformat(after["last_verified_at"]) >= began - timedelta(milliseconds=1)
    assert (after["files"], after["revision"]) == (before["files"], before["revision"])
    assert lines(log, "drift") == []
    (line,) = lines(log, "swept")
    assert (line["collection"], line["progress"]["listed"]) == (PREFIX, 10)
    assert metrics() == {
        "Commits": [1],
        "UnchangedCommits": [1],
        "Conflicts": [0],
        "Drift": [0],
        "DriftMissing": [0],
        "DriftUnexpected": [0],
        "DriftAltered": [0],
        "Sweeps": [1],
    }


def test_a_difference_is_observed_a_minute_later_and_then_repaired_logged_and_counted(
    known, sweep, log, metrics, pass_seconds
):
    keys = drift_something(known)
    before = known.read(HEAD)
    assert sweep({"m": STYLE}) == []
    assert known.read(HEAD) == before
    assert metrics()["Drift"] == [0]
    assert lines(log, "drift") == lines(log, "swept") == []
    assert len(lines(log, "sweep continues")) == 1
    pass_seconds(50)
    assert known.queued() == []
    pass_seconds(15)
    (body,) = known.queued()
    assert sweep({"m": body}) == []
    assert known.queued() == []
    assert etags(known) == known.truth(PREFIX)
    (line,) = lines(log, "drift")
    assert (line["level"], line["collection"]) == ("WARNING", PREFIX)
    assert (line["missing"], line["unexpected"], line["altered"]) == (1, 1, 1)
    assert line["keys"] == keys
    counted = metrics()
    assert [counted[f"Drift{what}"] for what in ("", "Missing", "Unexpected", "Altered")] == [[3], [1], [1], [1]]
    assert (counted["Sweeps"], counted["Commits"]) == ([1], [2])
    causes = {
        item["cause"] for item in json.loads(known.read(known.below(f"_manifests/{PREFIX}changes/")[-1]))["added"]
    }
    assert causes == {"sweep"}


def test_a_difference_with_an_event_within_the_minute_is_no_drift(
    known, sweep, reconcile, log, metrics, sweep_on, pass_seconds
):
    keys = drift_something(known)
    assert sweep({"m": STYLE}) == []
    assert reconcile({"late": s3_event(*keys)}) == []
    metrics()
    assert sweep_on() == []
    pass_seconds(61)
    assert len(sweep_on()) == 1
    assert etags(known) == known.truth(PREFIX)
    assert lines(log, "drift") == []
    assert metrics()["Drift"] == [0]


def test_a_key_changed_again_before_the_second_observation_ends_in_its_last_state(known, sweep, sweep_on, pass_seconds):
    drift_something(known)
    assert sweep({"m": STYLE}) == []
    known.delete(f"{PREFIX}new.png")
    known.put(f"{PREFIX}003.png", b"back")
    known.put(f"{PREFIX}005.png", b"once more")
    pass_seconds(61)
    sweep_on()
    assert etags(known) == known.truth(PREFIX)


def test_filling_in_a_manifest_is_no_drift(account, reconcile, sweep, sweep_on, log, metrics, pass_seconds):
    account.fill(PREFIX, 1030)
    reconcile({"1": s3_event(f"{PREFIX}image_00001.png")})
    assert account.manifest(PREFIX)["complete"] is False
    metrics()
    pass_seconds(6)
    assert len(sweep_on()) == 1
    assert account.manifest(PREFIX)["complete"] is True
    assert lines(log, "drift") == []
    counted = metrics()
    assert counted["Drift"] == [0]
    assert counted["Sweeps"] == [1]


def test_a_title_that_drifted_is_corrected(known, sweep, sweep_on, pass_seconds):
    known.put(f"{PREFIX}collection.json", b'{"title": "Dynamic"}')
    assert sweep({"m": STYLE}) == []
    pass_seconds(61)
    sweep_on()
    assert known.manifest(PREFIX)["style_title"] == "Dynamic"
    known.delete(f"{PREFIX}collection.json")
    assert sweep({"m": STYLE}) == []
    pass_seconds(61)
    sweep_on()
    assert (known.manifest(PREFIX)["style_title"], known.manifest(PREFIX)["sidecars"]) == (None, [])


def test_a_sweep_of_all_queues_every_collection_with_objects_or_a_manifest(
    known, sweep, reconcile, sweep_on, pass_seconds
):
    for prefix in ("styles/17/", "styles/größe +/", "system_actors/training_data/0007/"):
        known.put(f"{prefix}a.png")
    known.put("styles/beside.png")
    known.put("logs/16/a.png")
    known.put("styles/18/gone.png")
    reconcile({"1": s3_event("styles/18/gone.png")})
    known.delete("styles/18/gone.png")
    assert sweep({"m": SweepAll()}) == []
    bodies = known.queued()
    jobs = list(map(decode_job, bodies))
    assert [(job.kind, job.id) for job in jobs] == [
        ("actor", "0007"),
        ("style", "16"),
        ("style", "17"),
        ("style", "18"),
        ("style", "größe +"),
    ]
    for number, body in enumerate(bodies):
        assert sweep({str(number): body}) == []
    pass_seconds(61)
    sweep_on()
    for prefix in ("styles/17/", "styles/18/", "styles/größe +/", "system_actors/training_data/0007/"):
        manifest = known.manifest(prefix)
        assert manifest["complete"] is True
        assert etags(known, prefix) == known.truth(prefix)


def test_a_sweep_of_all_that_runs_out_of_time_continues_where_it_stopped(account, sweep):
    for number in range(230):
        account.put_at_once(f"styles/{number:03}/a.png")

    def hurried():
        context = Context(100.0, function_name="sweep")
        clock = iter([100_000])
        context.get_remaining_time_in_millis = lambda: next(clock, 40_000)
        return context

    collections, jobs = [], [SweepAll()]
    rounds = 0
    while jobs:
        rounds += 1
        assert sweep({"m": jobs.pop()}, hurried()) == []
        for job in account.jobs():
            (jobs if isinstance(job, SweepAll) else collections).append(job)
    assert [job.id for job in collections] == [f"{number:03}" for number in range(230)]
    assert rounds > 2


def test_a_large_paged_collection_is_swept_over_several_messages(
    account, reconcile, sweep, enqueue, sweep_on, small_pages
):
    for number in range(60):
        account.put_at_once(f"{PREFIX}{number:03}.png")
    reconcile({"1": s3_event(f"{PREFIX}000.png")})
    assert account.manifest(PREFIX)["pages"]
    for number in range(0, 60, 4):
        account.delete(f"{PREFIX}{number:03}.png")
        account.put(f"{PREFIX}{number:03}x.png")
        account.put(f"{PREFIX}{number + 1:03}.png", b"other")

    def hurried():
        context = Context(100.0, function_name="sweep")
        clock = iter([100_000, 90_000, 80_000])
        context.get_remaining_time_in_millis = lambda: next(clock, 40_000)
        return context

    enqueue(STYLE)
    assert len(sweep_on(hurried)) > 2
    assert etags(account) == account.truth(PREFIX)
    assert account.manifest(PREFIX)["last_verified_at"]


def test_a_continuation_message_is_never_too_large_for_the_queue(account, reconcile, sweep, sweep_on, enqueue):
    """Many long keys are drift, and each character takes six bytes in the message."""
    account.put(f"{PREFIX}first.png")
    reconcile({"1": s3_event(f"{PREFIX}first.png")})
    for number in range(450):
        account.put_at_once(f"{PREFIX}{'ü' * 450}{number:04}.png")
    enqueue(STYLE)
    bodies = sweep_on()
    assert len(bodies) > 2
    assert max(len(body.encode()) for body in bodies) < 256 * 1024
    assert etags(account) == account.truth(PREFIX)


@pytest.mark.parametrize("spoil", [b"", b"{}", b'{"schema": 2}', b"[" * 1000])
def test_a_broken_head_stays_unchanged_until_a_rebuild(known, sweep, sweep_on, log, spoil):
    known.put(HEAD, spoil)
    assert sweep({"m": STYLE}) == ["m"]
    assert known.read(HEAD) == spoil
    (line,) = lines(log, "failed")
    assert HEAD in line["reason"]
    assert (line["message_id"], line["attempt"]) == ("m", 1)

    assert sweep({"m": Sweep(kind="style", id="16", rebuild=True)}) == []
    sweep_on()
    (copy,) = known.below(f"_manifests/{PREFIX}set-aside/")
    assert known.read(copy) == spoil
    manifest = known.manifest(PREFIX)
    assert (manifest["complete"], manifest["revision"]) == (True, 2)  # continues after the previous revision
    assert etags(known) == known.truth(PREFIX)
    assert lines(log, "drift") == []


def test_a_rebuild_of_a_readable_manifest_is_a_sweep(known, sweep, sweep_on):
    before = known.manifest(PREFIX)
    assert sweep({"m": Sweep(kind="style", id="16", rebuild=True)}) == []
    sweep_on()
    after = known.manifest(PREFIX)
    assert (after["created_at"], after["revision"], after["files"]) == (
        before["created_at"],
        before["revision"],
        before["files"],
    )
    assert after["last_verified_at"] > before["last_verified_at"]
    assert known.below(f"_manifests/{PREFIX}set-aside/") == []


def test_a_rebuild_of_a_large_collection_completes_and_a_repeat_is_harmless(known, sweep, sweep_on, pass_seconds):
    for number in range(1100):
        known.put_at_once(f"{PREFIX}more{number:05}.png")
    known.put(HEAD, b"broken")
    rebuild = Sweep(kind="style", id="16", rebuild=True)
    assert sweep({"m": rebuild}) == []
    created_at = known.manifest(PREFIX)["created_at"]
    assert sweep({"m": rebuild}, receives=2) == []
    pass_seconds(6)
    sweep_on()
    manifest = known.manifest(PREFIX)
    assert (manifest["created_at"], manifest["complete"]) == (created_at, True)
    assert etags(known) == known.truth(PREFIX)
    assert len(known.below(f"_manifests/{PREFIX}set-aside/")) == 1


def test_a_manifest_that_lost_a_page_is_repaired_and_the_repair_is_logged(
    known, sweep, sweep_on, pass_seconds, reconcile, log, small_pages
):
    for number in range(20, 40):
        known.put(f"{PREFIX}{number:03}.png")
    reconcile({"1": s3_event(*(f"{PREFIX}{number:03}.png" for number in range(20, 40)))})
    lost = known.manifest(PREFIX)["pages"][1]
    known.delete(lost["key"])
    known.put(f"{PREFIX}{lost['first']}", b"other")
    known.delete(f"{PREFIX}000.png")
    assert sweep({"m": STYLE}) == []
    assert lines(log, "repaired")[0]["objects"] == [lost["key"]]
    pass_seconds(61)
    sweep_on()
    assert etags(known) == known.truth(PREFIX)
    assert known.manifest(PREFIX)["complete"]


MALFORMED = [
    "",
    "garbage",
    "null",
    "[]",
    "{}",
    "{" * 10_000,
    '{"job": "sweep"}',
    '{"job": "sweep", "kind": "style"}',
    '{"job": "sweep", "kind": "style", "id": 16}',
    '{"job": "sweep", "kind": "style", "id": "16", "surplus": 1}',
    '{"job": "sweep", "kind": "style", "id": "16", "rebuild": "perhaps"}',
    '{"job": "sweep", "kind": "style", "id": "16", "created_at": "now"}',
    '{"job": "sweep", "kind": "style", "id": "16", "progress": {}}',
    '{"job": "sweep", "kind": "style", "id": "16", "progress": {"created_at": "now", "started_at": 7}}',
    '{"job": "reconcile", "kind": "style", "id": "16"}',
    '{"kind": "style", "id": "16"}',
    '{"job": "sweep_all", "after": 7}',
    json.dumps(s3_event("styles/16/a.png")),
    json.dumps({"job": "sweep_all"})[:-1],
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_job_fails_alone_with_the_reason_in_the_log(known, sweep, log, body):
    assert sweep({"bad": body, "good": STYLE}, receives=3) == ["bad"]
    (line,) = lines(log, "failed")
    assert (line["message_id"], line["attempt"], line["level"]) == ("bad", 3, "ERROR")
    assert "not a job of the sweep queue" in line["reason"]
    assert "exception" not in line
    assert len(lines(log, "swept")) == 1


@pytest.mark.parametrize("id_", ["", "a/b", "../x", "/", "x" * 1100])
def test_a_job_for_an_impossible_collection_is_dropped(account, sweep, id_):
    assert sweep({"m": Sweep(kind="style", id=id_), "n": Sweep(kind="voice", id=id_)}) == []
    assert account.below("_manifests/") == ["_manifests/subscription.json"]


def test_a_sweep_of_a_collection_without_objects_creates_no_manifest(account, sweep):
    assert sweep({"m": STYLE}) == []
    account.put(PREFIX, b"")
    assert sweep({"m": STYLE}) == []
    assert account.below("_manifests/") == ["_manifests/subscription.json"]


def test_an_unexpected_exception_is_logged_as_a_crash_and_fails_only_its_message(
    known, sweep, log, metrics, monkeypatch
):
    def crash(environment, collection):
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("s3_manifest.sweep.sweep.collect_garbage", crash)
    assert sweep({"crash": STYLE, "fine": Sweep(kind="style", id="99")}) == ["crash"]
    (line,) = lines(log, "crashed")
    assert (line["message_id"], line["level"], line["exception_name"]) == ("crash", "ERROR", "RuntimeError")
    assert "nobody foresaw this" in line["exception"]
    metrics()


@pytest.mark.parametrize(("method", "key"), [("GET", HEAD), ("GET", ""), ("HEAD", f"{PREFIX}new.png"), ("PUT", HEAD)])
@pytest.mark.parametrize("status", [403, 500])
def test_a_sweep_fails_while_s3_refuses_a_request_and_succeeds_afterwards(
    known, sweep, log, pass_seconds, method, key, status
):
    drift_something(known)
    assert sweep({"m": STYLE}) == []
    pass_seconds(61)
    (body,) = known.queued()
    known.refuse(method, key, status)
    context = Context(function_name="sweep")
    seconds_left = iter(range(60, 0, -1))
    context.get_remaining_time_in_millis = lambda: next(seconds_left, 0) * 1000
    assert sweep({"m": body}, context) == ["m"]
    (line,) = lines(log, "failed")
    assert str(status) in line["reason"] or "time ran out" in line["reason"]
    known.faults.clear()
    assert sweep({"m": body}, receives=2) == []
    assert etags(known) == known.truth(PREFIX)
    assert known.manifest(PREFIX)["last_verified_at"]


def test_drift_is_reported_even_if_the_sweep_fails(known, sweep, log, metrics, pass_seconds):
    keys = drift_something(known)
    known.put(f"{PREFIX}secret.png")
    assert sweep({"m": STYLE}) == []
    pass_seconds(61)
    (body,) = known.queued()
    known.refuse("HEAD", f"{PREFIX}secret.png", 400)
    metrics()
    assert sweep({"m": body}) == ["m"]
    assert f"{PREFIX}secret.png" in lines(log, "failed")[0]["reason"]
    assert set(etags(known)) == set(known.truth(PREFIX)) - {"secret.png"}
    # No later sweep finds the drift that this one repaired.
    (line,) = lines(log, "drift")
    assert set(keys) <= set(line["keys"])
    assert (line["missing"], line["unexpected"], line["altered"]) == (1, 1, 1)
    counted = metrics()
    assert (sum(counted["Drift"]), sum(counted.get("Sweeps", [0]))) == (3, 0)


def test_a_message_fails_if_its_continuation_cannot_be_queued(known, sweep, log):
    drift_something(known)
    known.sqs.delete_queue(QueueUrl=known.sweep_queue_url)
    assert sweep({"m": STYLE, "all": SweepAll()}) == ["m", "all"]
    assert all("not queued" in line["reason"] for line in lines(log, "failed"))


def test_a_sweep_ends_if_the_manifest_was_recreated(known, sweep, log):
    progress = Progress(created_at="2001-01-01T00:00:00.000Z", started_at="2001-01-01T00:00:00.000Z")
    before = known.read(HEAD)
    assert sweep({"m": Sweep(kind="style", id="16", progress=progress)}) == []
    assert known.read(HEAD) == before
    assert len(lines(log, "swept")) == 1


def age(account, key, days):
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET].keys[key].last_modified = datetime.now(UTC).replace(
        tzinfo=None
    ) - timedelta(days=days)


def test_a_sweep_deletes_garbage_and_expired_records_and_nothing_else(
    known, sweep, reconcile, get, log, monkeypatch, small_pages
):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 4)
    for number in range(11):
        known.put(f"{PREFIX}{number:03}.png", bytes([number]))
        reconcile({"1": s3_event(f"{PREFIX}{number:03}.png")})
    head = known.manifest(PREFIX)
    assert head["pages"]
    garbage = [
        f"_manifests/{PREFIX}pages/{'a' * 32}-0.json",
        f"_manifests/{PREFIX}changes/000000000003-{'b' * 32}-{'c' * 32}.json",
    ]
    young = [key.replace("a" * 32, "d" * 32).replace("b" * 32, "e" * 32) for key in garbage]
    for key in (*garbage, *young):
        known.put(key, b"garbage")
    records = [key for key in known.below(f"_manifests/{PREFIX}changes/") if key not in {*garbage, *young}]
    for key in garbage:
        age(known, key, 2)
    for key in records[:3]:
        age(known, key, 31)
    for key in records[3:5]:
        age(known, key, 29)
    assert sweep({"m": STYLE}) == []
    remaining = known.below(f"_manifests/{PREFIX}")
    assert not set(remaining) & {*garbage, *records[:3]}
    assert {*young, *records[3:], *(page["key"] for page in head["pages"])} <= set(remaining)
    assert sum(line["collected"] for line in lines(log, "swept")) >= 5
    assert [get("/api/manifests/style/16", revision=n).status for n in range(1, 12)] == [410] * 3 + [200] * 8
    assert {request.method for request in known.requests} <= {"GET", "HEAD", "PUT", "POST"}


def test_a_sweep_writes_and_deletes_only_below_the_manifest_root(known, sweep, sweep_on, pass_seconds):
    drift_something(known)
    before = known.truth(PREFIX)
    sweep({"m": STYLE})
    pass_seconds(61)
    sweep_on()
    assert known.truth(PREFIX) == before
    assert all(request.key.startswith("_manifests/") for request in known.sent("PUT"))
    assert known.sent("DELETE") == []


def test_a_message_without_attributes_is_swept(known):
    event = sqs_event({"m": encode_job(STYLE)})
    del event["Records"][0]["attributes"]
    assert failed_ids(sweep_handler.handler(event, Context(300.0, function_name="sweep"))) == []


def test_the_sample_message_is_a_sweep(account, sweep):
    event = json.loads((Path(__file__).parents[3] / "events" / "sqs-sweep.json").read_text())
    account.put(f"{PREFIX}a.png")
    assert failed_ids(sweep_handler.handler(event, Context(300.0, function_name="sweep"))) == []
    assert account.manifest(PREFIX)["total_files"] == 1
