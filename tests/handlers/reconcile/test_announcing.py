"""The functions announce each revision at least once, even after a crash before an announcement."""

import json

import pytest
from handlers.account import answer, rejected_event
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import Context, s3_event, sns_event

import reconcile_handler
import sweep_handler
from s3_manifest.aws import runtime
from s3_manifest.manifest.jobs import Sweep

PREFIX = "styles/16/"
pytestmark = pytest.mark.usefixtures("impatience")


@pytest.fixture(params=["default", "pictures"])
def bus(request, account, monkeypatch, new_process):
    """The bus that the functions announce on, by name or by ARN."""
    name = request.param
    if name != "default":
        name = account.events.create_event_bus(Name=name)["EventBusArn"]
    monkeypatch.setenv("EVENT_BUS", name)
    new_process()
    return name


@pytest.fixture
def announced(account, bus):
    """Returns the details of the events sent to the bus since the previous call."""

    def announced():
        events = account.announced.copy()
        account.announced.clear()
        assert all(
            (event["Source"], event["DetailType"], event["EventBusName"]) == ("s3-manifest", "Manifest Changed", bus)
            for event in events
        )
        return [json.loads(event["Detail"]) for event in events]

    return announced


@pytest.fixture
def bus_faults(account):
    """EventBridge rejects every request until this is cleared."""
    account.event_faults.append(lambda: answer(400, "AccessDeniedException"))
    return account.event_faults


def test_each_revision_is_announced_once_and_a_commit_without_changes_is_not(account, reconcile, announced):
    account.put(f"{PREFIX}a.png", b"12345")
    account.put(f"{PREFIX}b.png")
    reconcile({"1": s3_event(f"{PREFIX}a.png")})
    manifest = account.manifest(PREFIX)
    (announcement,) = announced()
    assert announcement == {
        "kind": "style",
        "id": "16",
        "s3_bucket": manifest["s3_bucket"],
        "s3_prefix": PREFIX,
        "revision": 1,
        "commit": manifest["commit"],
        "committed_at": manifest["last_synced"],
        "complete": True,
        "total_files": 2,
        "total_size_bytes": 9,
        "added": 2,
        "modified": 0,
        "removed": 0,
        "keys": {"added": [f"{PREFIX}a.png", f"{PREFIX}b.png"], "modified": [], "removed": []},
        "repeated": False,
    }
    reconcile({"2": s3_event(f"{PREFIX}a.png")})
    assert announced() == []
    account.put(f"{PREFIX}a.png", b"other")
    account.delete(f"{PREFIX}b.png")
    reconcile({"3": s3_event(f"{PREFIX}a.png"), "4": s3_event(f"{PREFIX}b.png")})
    (announcement,) = announced()
    assert (announcement["revision"], announcement["added"], announcement["modified"], announcement["removed"]) == (
        2,
        0,
        1,
        1,
    )
    assert announcement["keys"] == {"added": [], "modified": [f"{PREFIX}a.png"], "removed": [f"{PREFIX}b.png"]}


def test_each_collection_of_a_batch_is_announced_separately(account, reconcile, announced):
    keys = [f"styles/{number}/a.png" for number in range(7)]
    for key in keys:
        account.put(key)
    reconcile({"1": s3_event(*keys)})
    assert sorted(announcement["id"] for announcement in announced()) == [str(number) for number in range(7)]


def test_a_failed_announcement_fails_the_messages_and_is_repeated_at_their_next_delivery(
    account, reconcile, announced, bus_faults, log, bus
):
    account.put(f"{PREFIX}a.png")
    account.put("styles/17/a.png")
    messages = {"1": s3_event(f"{PREFIX}a.png"), "2": s3_event("styles/17/a.png"), "3": "{"}
    assert sorted(reconcile(messages)) == ["1", "2", "3"]
    assert account.manifest(PREFIX)["revision"] == 1  # committed, though not announced
    assert announced() == []
    reasons = [line["reason"] for line in log() if line["message"] == "failed"]
    assert sum(f"not announced on event bus {bus}" in reason for reason in reasons) == 2
    assert [line for line in log() if line["message"] == "crashed"] == []
    # The second delivery fails too; the third succeeds.
    assert sorted(reconcile(messages, receives=2)) == ["1", "2", "3"]
    bus_faults.clear()
    assert reconcile(messages, receives=3) == ["3"]
    announcements = sorted(announced(), key=lambda announcement: announcement["id"])
    assert [
        (announcement["id"], announcement["revision"], announcement["repeated"], announcement["total_files"])
        for announcement in announcements
    ] == [
        ("16", 1, True, 1),
        ("17", 1, True, 1),
    ]
    assert announcements[0]["keys"] == {"added": [], "modified": [], "removed": []}


def test_a_message_fails_if_eventbridge_rejects_the_event(account, reconcile, bus, log):
    account.event_faults.append(rejected_event)
    account.put(f"{PREFIX}a.png")
    assert reconcile({"1": s3_event(f"{PREFIX}a.png")}) == ["1"]
    (line,) = [line for line in log() if line["message"] == "failed"]
    assert "InternalFailure: try again" in line["reason"]


def test_a_missing_bus_fails_the_messages(account, reconcile, monkeypatch, new_process):
    monkeypatch.setenv("EVENT_BUS", "no-such-bus")
    new_process()
    account.put(f"{PREFIX}a.png")
    assert reconcile({"1": s3_event(f"{PREFIX}a.png")}) == ["1"]
    assert account.manifest(PREFIX)["total_files"] == 1


def test_a_message_delivered_again_announces_its_revision_again(account, reconcile, announced):
    account.put(f"{PREFIX}a.png")
    reconcile({"1": s3_event(f"{PREFIX}a.png")})
    announced()
    reconcile({"1": s3_event(f"{PREFIX}a.png")}, receives=2)
    (announcement,) = announced()
    assert (announcement["revision"], announcement["repeated"]) == (1, True)
    account.put(f"{PREFIX}b.png")
    reconcile({"1": s3_event(f"{PREFIX}a.png", f"{PREFIX}b.png")}, receives=2)
    (announcement,) = announced()
    assert (announcement["revision"], announcement["repeated"], announcement["added"]) == (2, False, 1)


def test_an_event_without_a_receive_count_is_always_announced(account, reconcile, announced):
    account.put(f"{PREFIX}a.png")
    reconcile({"1": s3_event(f"{PREFIX}a.png")})
    announced()
    reconcile_handler.handler(s3_event(f"{PREFIX}a.png"), Context())
    reconcile_handler.handler(sns_event(json.dumps(s3_event(f"{PREFIX}a.png"))), Context())
    assert [announcement["repeated"] for announcement in announced()] == [True, True]


def test_a_direct_invocation_raises_if_the_announcement_fails(account, bus, bus_faults):
    account.put(f"{PREFIX}a.png")
    with pytest.raises(reconcile_handler.ReconcileFailed, match="not announced"):
        reconcile_handler.handler(s3_event(f"{PREFIX}a.png"), Context())


def test_a_write_whose_response_was_lost_is_announced(account, reconcile, announced):
    account.put(f"{PREFIX}a.png")
    lost = []

    def lose(request):
        if request.method == "PUT" and request.key.endswith("manifest.json") and not lost:
            lost.append(request)
            return answer(500, "InternalError")  # the write happens all the same
        return None

    account.faults.append(lose)
    assert reconcile({"1": s3_event(f"{PREFIX}a.png")}) == []
    assert len(lost) == 1
    assert [announcement["revision"] for announcement in announced()][-1] == 1


def test_keys_too_large_for_an_event_are_left_out_and_counted(account, reconcile, announced):
    account.put(f"{PREFIX}first.png")
    reconcile({"0": s3_event(f"{PREFIX}first.png")})
    announced()
    keys = [f"{PREFIX}{'ü' * 400}{number:03}.png" for number in range(300)]
    for key in keys:
        account.put_at_once(key)
    assert reconcile({"1": s3_event(*keys)}) == []
    (announcement,) = announced()
    assert (announcement["keys"], announcement["added"], announcement["total_files"]) == (None, 300, 301)


def test_a_sweep_announces_its_repairs_and_nothing_without_drift(
    account, reconcile, sweep, sweep_on, pass_seconds, announced
):
    account.put(f"{PREFIX}a.png")
    reconcile({"0": s3_event(f"{PREFIX}a.png")})
    announced()
    assert sweep({"m": Sweep(kind="style", id="16")}) == []
    assert announced() == []
    account.put(f"{PREFIX}b.png")
    assert sweep({"m": Sweep(kind="style", id="16")}) == []
    pass_seconds(61)
    sweep_on()
    (announcement,) = announced()
    assert (announcement["revision"], announcement["keys"]["added"], announcement["repeated"]) == (
        2,
        [f"{PREFIX}b.png"],
        False,
    )


def test_a_sweep_that_cannot_announce_fails_and_announces_when_it_is_delivered_again(
    account, reconcile, sweep, pass_seconds, announced, bus_faults
):
    account.put(f"{PREFIX}a.png")
    reconcile({"0": s3_event(f"{PREFIX}a.png")})
    account.put(f"{PREFIX}b.png")
    assert sweep({"m": Sweep(kind="style", id="16")}) == []
    pass_seconds(61)
    (body,) = account.queued()
    assert sweep({"m": body}) == ["m"]
    bus_faults.clear()
    assert sweep({"m": body}, receives=2) == []
    announcement = announced()
    assert [(item["revision"], item["repeated"]) for item in announcement] == [(2, True)]


def test_a_sweep_delivered_again_announces_again(account, reconcile, sweep, announced):
    account.put(f"{PREFIX}a.png")
    reconcile({"0": s3_event(f"{PREFIX}a.png")})
    announced()
    assert sweep({"m": Sweep(kind="style", id="16")}, receives=2) == []
    assert [(item["revision"], item["repeated"]) for item in announced()] == [(1, True)]


def test_without_an_event_bus_no_eventbridge_client_is_created(account, reconcile, sweep, monkeypatch):
    monkeypatch.setattr(runtime, "events_client", lambda _: pytest.fail("a client was made"))
    account.put(f"{PREFIX}a.png")
    assert reconcile({"0": s3_event(f"{PREFIX}a.png")}, receives=2) == []
    assert failed_ids(sweep_handler.handler({"Records": []}, Context())) == []
    assert sweep({"m": Sweep(kind="style", id="16")}, receives=2) == []
