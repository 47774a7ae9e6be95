"""The drain: when it receives, what it receives, and what it deletes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.parsers import ResponseParserError
from handlers.lambda_events import s3_event
from unit.environments import Harness, seconds
from unit.values import PREFIX, STYLE

from s3_manifest.aws import messaging
from s3_manifest.reconcile import drain
from s3_manifest.reconcile.drain import ChangeQueue, QueueFailed, reconcile_and_drain
from s3_manifest.reconcile.events import decode_body
from s3_manifest.reconcile.reconcile import BatchResult, Message


def message(number: int, receives: int = 1) -> Message:
    body = json.dumps(s3_event(f"{PREFIX}{number:04d}.png"))
    return Message(f"m{number}", body, receives, f"receipt{number}")


def messages(count: int, first: int = 0) -> list[Message]:
    return [message(number) for number in range(first, first + count)]


@dataclass
class Queue:
    """A queue that returns its messages ten at a time and records each request."""

    waiting: list[Message] = field(default_factory=list)
    calls: int = 0
    deleted: list[str] = field(default_factory=list)
    fail_receive: Callable[[int], bool] = lambda _: False
    fail_delete: bool = False
    on_delete: Callable[[], None] = lambda: None

    def receive(self) -> Sequence[Message]:
        self.calls += 1
        if self.fail_receive(self.calls):
            raise QueueFailed("no messages received: 503")
        received, self.waiting = self.waiting[:10], self.waiting[10:]
        return received

    def delete(self, batch: Sequence[Message]) -> None:
        assert 0 < len(batch) <= 10
        self.on_delete()
        if self.fail_delete:
            raise QueueFailed("10 messages not deleted: 503")
        self.deleted += [item.receipt for item in batch]

    def run(self, harness: Harness, batch: Sequence[Message]) -> BatchResult:
        return reconcile_and_drain(harness.environment, ChangeQueue(self.receive, self.delete), batch)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_a_batch_that_is_not_full_is_not_drained(harness):
    queue = Queue(messages(5, first=9))
    report = queue.run(harness, messages(9))
    assert (queue.calls, report.drained, len(queue.waiting)) == (0, 0, 5)


def test_a_full_batch_and_the_rest_of_the_queue_are_one_commit(harness):
    harness.upload(*(f"{number:04d}.png" for number in range(57)))
    harness.commit([])  # not the first commit, which would list the prefix
    queue = Queue(messages(47, first=10))
    report = queue.run(harness, messages(10))
    assert report.drained == 47
    assert report.received == 57
    assert [outcome.commits for outcome in report.commit_results] == [1]
    assert len(harness.entries()) == 57
    assert queue.deleted == [f"receipt{number}" for number in range(10, 57)]


@pytest.mark.parametrize(
    ("waiting", "calls"),
    # Rounds of 2, 4, 8, 16 … calls; the round in which a call returns fewer than ten is the last.
    [(0, 2), (9, 2), (10, 2), (20, 6), (60, 14), (140, 30)],
)
def test_a_short_queue_costs_few_calls(harness, waiting, calls):
    queue = Queue(messages(waiting, first=10))
    report = queue.run(harness, messages(10))
    assert (report.drained, queue.calls) == (waiting, calls)


def test_a_drain_stops_at_a_thousand_messages(harness):
    queue = Queue(messages(1500, first=10))
    report = queue.run(harness, messages(10))
    assert report.drained == drain.MAX_MESSAGES
    assert len(queue.waiting) == 500


def test_a_drain_stops_at_the_maximum_of_bytes(harness, monkeypatch):
    monkeypatch.setattr(drain, "MAX_BYTES", sum(len(item.body) for item in messages(20, first=10)))
    queue = Queue(messages(500, first=10))
    assert queue.run(harness, messages(10)).drained == 20


def test_a_drain_uses_only_a_share_of_the_time(harness):
    harness.seconds_left = seconds(60.0, 59.0, 47.9)
    queue = Queue(messages(500, first=10))
    assert queue.run(harness, messages(10)).drained == 60  # two rounds


@pytest.mark.parametrize(("receives", "drained"), [(1, 5), (2, 5), (3, 0), (5, 0)])
def test_a_batch_with_a_message_that_failed_twice_is_not_drained(harness, receives, drained):
    batch = [*messages(9), message(9, receives=receives)]
    assert Queue(messages(5, first=10)).run(harness, batch).drained == drained


def test_a_drained_message_suspected_of_ending_invocations_is_processed_last(harness):
    harness.commit([])  # not the first commit, which would observe all objects
    harness.upload("0010.png", "0011.png")
    done_at_delete = []
    suspect = message(11, receives=drain.SUSPECT_RECEIVES)
    queue = Queue([suspect, message(10)])
    queue.on_delete = lambda: done_at_delete.append(
        (f"{PREFIX}0011.png" in harness.store.head_keys, list(queue.deleted))
    )
    report = queue.run(harness, messages(10))
    assert done_at_delete == [(False, []), (True, ["receipt10"])]
    assert queue.deleted == ["receipt10", "receipt11"]
    assert (report.drained, report.received, report.attempts["m11"], report.failed) == (2, 12, 3, {})


def test_drained_messages_are_deleted_after_the_commit(harness):
    harness.upload("0010.png")
    names_at_delete = []
    queue = Queue(messages(1, first=10), on_delete=lambda: names_at_delete.append(harness.filenames()))
    queue.run(harness, messages(10))
    assert names_at_delete == [["0010.png"]]


def test_a_drained_message_that_failed_stays_in_the_queue(harness):
    harness.upload("0010.png", "0011.png")
    harness.store.unreadable.add(f"{PREFIX}0011.png")
    queue = Queue([*messages(2, first=10), Message("broken", "{", 1, "receipt of broken")])
    report = queue.run(harness, messages(10))
    assert queue.deleted == ["receipt10"]
    assert set(report.failed) == {"m11", "broken"}


def test_drained_messages_stay_in_the_queue_when_time_runs_out(harness):
    harness.seconds_left = seconds(60.0, 1.0)
    queue = Queue(messages(5, first=10))
    report = queue.run(harness, messages(10))
    assert queue.deleted == []
    assert len(report.failed) == 15


def test_a_failed_receive_keeps_the_messages_of_other_receives(harness):
    harness.upload(*(f"{number:04d}.png" for number in range(30)))
    queue = Queue(messages(30, first=10), fail_receive=lambda call: call == 1)
    report = queue.run(harness, messages(10))
    assert (report.drained, report.failed) == (10, {})
    assert report.queue_errors == ["no messages received: 503"]
    assert queue.deleted == [f"receipt{number}" for number in range(10, 20)]


def test_a_failed_delete_does_not_fail_its_messages(harness):
    harness.upload("0010.png")
    queue = Queue(messages(1, first=10), fail_delete=True)
    report = queue.run(harness, messages(10))
    assert (report.failed, report.queue_errors) == ({}, ["10 messages not deleted: 503"])
    assert harness.filenames() == ["0010.png"]


def test_the_deliveries_of_all_messages_are_reported(harness):
    queue = Queue([message(10, receives=2)])
    report = queue.run(harness, messages(10))
    assert (report.attempts["m10"], report.attempts["m0"], report.retries) == (2, 1, 1)


def test_a_redelivered_message_announces_again_though_it_was_drained(harness):
    harness.upload("0010.png")
    harness.commit([f"{PREFIX}0010.png"])
    harness.announcements.clear()
    Queue([message(10, receives=2)]).run(harness, messages(10))
    assert [repeated for _, repeated in harness.announcements] == [True]


@pytest.mark.parametrize("fault", [ResponseParserError("it breaks off"), KeyError("Messages"), RuntimeError("expired")])
def test_every_error_of_botocore_is_raised_as_queue_failed(fault):
    class Client:
        def receive_message(self, **_: Any):
            raise fault

        def delete_message_batch(self, **_: Any):
            raise fault

    with pytest.raises(QueueFailed, match="no messages received"):
        messaging.receive(Client(), "the queue")
    with pytest.raises(QueueFailed, match="1 messages not deleted"):
        messaging.delete(Client(), "the queue", messages(1))


def test_the_messages_of_these_tests_are_valid_s3_notifications():
    (change,) = decode_body(message(1).body)
    assert STYLE.filename(change.key) == "0001.png"
