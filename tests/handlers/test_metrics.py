"""The reconcile function's metrics: well-formed lines in CloudWatch's embedded format."""

import json
from datetime import UTC, datetime, timedelta

import pytest

import reconcile_handler
from handlers.lambda_events import Context, s3_event, s3_record, s3_test_event, sqs_record

PREFIX = "styles/16/"
NAMES = {
    "EventsReceived",
    "EventsDropped",
    "EventsFailed",
    "Retries",
    "Commits",
    "UnchangedCommits",
    "Conflicts",
}


def ago(**time):
    return (datetime.now(UTC) - timedelta(**time)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def about(*keys, time):
    return {"Records": [s3_record(key, time=time) for key in keys]}


@pytest.fixture
def known(account, reconcile, metrics):
    """Two collections that are up to date, with metrics reset."""
    for key in ("styles/16/a.png", "styles/17/b.png"):
        account.put(key)
    reconcile({"1": s3_event("styles/16/a.png", "styles/17/b.png")})
    metrics()
    return account


def test_a_batch_counts_its_events_and_its_commits(known, reconcile, metrics):
    known.put("styles/16/new.png")
    reconcile(
        {
            "new": s3_event("styles/16/new.png", "styles/16/a.png"),
            "same": s3_event("styles/17/b.png"),
            "outside": s3_event("logs/x.png", "styles/17/b.png"),
            "test": s3_test_event(),
            "broken": "{",
        }
    )
    counted = metrics()
    assert {name: counted.pop(name) for name in NAMES} == {
        "EventsReceived": [5],
        "EventsDropped": [2],
        "EventsFailed": [1],
        "Retries": [0],
        "Commits": [2],
        "UnchangedCommits": [1],
        "Conflicts": [0],
    }
    assert [(name, len(values)) for name, values in counted.items()] == [("Freshness", 4)]


def test_freshness_is_the_milliseconds_since_the_time_of_each_event(known, reconcile, metrics):
    known.put("styles/16/new.png")
    reconcile(
        {
            "1": about("styles/16/new.png", time=ago(seconds=90)),
            "2": about("styles/16/new.png", time=ago(seconds=3)),
            "3": about("styles/16/a.png", "styles/17/b.png", time=ago(hours=1)),
        }
    )
    freshness = sorted(metrics()["Freshness"])
    for value, expected in zip(freshness, [3_000, 90_000, 3_600_000, 3_600_000], strict=True):
        assert expected <= value < expected + 3_000


@pytest.mark.parametrize(
    "time", ["", "yesterday", "2026-01-01", "2026-01-01T12:00:00", "12:00", "0", "2026-13-01T00:00Z"]
)
def test_an_event_with_an_invalid_time_is_committed_without_freshness(known, reconcile, metrics, time):
    known.put("styles/16/new.png")
    assert reconcile({"odd": about("styles/16/new.png", time=time)}) == []
    assert "new.png" in known.files(PREFIX)
    assert "Freshness" not in metrics()


def test_an_event_without_a_time_is_committed_without_freshness(known, reconcile, metrics):
    known.put("styles/16/new.png")
    event = s3_event("styles/16/new.png")
    del event["Records"][0]["eventTime"]
    assert reconcile({"odd": event}) == []
    assert "new.png" in known.files(PREFIX)
    assert "Freshness" not in metrics()


def test_an_event_that_is_not_committed_has_no_freshness(known, reconcile, metrics):
    known.put("styles/16/new.png")
    known.refuse("HEAD", "styles/16/new.png", 403)
    known.refuse("GET", "_manifests/styles/17/manifest.json", 403)
    failed = reconcile({"1": s3_event("styles/16/new.png"), "2": s3_event("styles/17/b.png"), "3": s3_event("x")})
    assert sorted(failed) == ["1", "2"]
    counted = metrics()
    assert "Freshness" not in counted
    assert (counted["EventsFailed"], counted["EventsDropped"], counted["Commits"]) == ([2], [1], [1])


@pytest.mark.parametrize("count", [1, 99, 100, 101, 200, 250])
def test_the_freshness_of_every_event_in_a_batch_is_reported(known, reconcile, metrics, count):
    time = ago(seconds=5)
    keys = [f"{PREFIX}{number % 7}.png" for number in range(count)]
    assert reconcile({"many": about(*keys, time=time)}) == []
    counted = metrics()
    assert len(counted["Freshness"]) == count
    assert counted["EventsReceived"] == [count]
    assert {name: len(counted[name]) for name in NAMES} == dict.fromkeys(NAMES, 1)


def test_deliveries_after_the_first_are_counted_as_retries(known, reconcile, metrics):
    records = [sqs_record(json.dumps(s3_event("styles/16/a.png")), f"m{n}", receives=n) for n in (1, 2, 5)]
    reconcile_handler.handler({"Records": records}, Context())
    assert metrics()["Retries"] == [2]


def test_conflicts_are_counted(known, reconcile, metrics, impatience):
    known.put("styles/16/new.png")
    others = [s3_event("styles/16/a.png")] * 2

    def interrupt(request):
        if request.method == "PUT" and request.key.endswith("manifest.json") and others:
            reconcile_handler.handler(others.pop(), Context())

    known.faults.append(interrupt)
    assert reconcile({"m": s3_event("styles/16/new.png")}) == []
    counted = metrics()
    assert sum(counted["Conflicts"]) == 2
    assert sum(counted["Commits"]) == 3


def test_each_invocation_starts_with_empty_metrics(known, reconcile, metrics):
    reconcile({"m": s3_event("styles/16/a.png")}, receives=3)
    metrics()
    reconcile({"m": s3_event("styles/17/b.png")})
    counted = metrics()
    assert (counted["EventsReceived"], counted["Retries"], len(counted["Freshness"])) == ([1], [0], 1)


def test_a_batch_of_only_invalid_messages_is_counted(account, reconcile, metrics):
    reconcile({"1": "{", "2": "", "3": s3_test_event()})
    counted = metrics()
    assert set(counted) == NAMES
    assert (counted["EventsReceived"], counted["EventsFailed"], counted["EventsDropped"]) == ([0], [2], [1])


def test_a_direct_invocation_is_counted(known, metrics):
    reconcile_handler.handler(s3_event("styles/16/a.png"), Context())
    assert metrics()["EventsReceived"] == [1]
    with pytest.raises(reconcile_handler.ReconcileFailed):
        reconcile_handler.handler({"hello": "world"}, Context())
    assert metrics()["EventsFailed"] == [1]
