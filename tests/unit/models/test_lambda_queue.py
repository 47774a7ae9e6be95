"""The model of SQS and Lambda behind the figures of freshness and cost, in virtual time."""

import random
from itertools import pairwise

import pytest

from benchmarks import freshness
from benchmarks.lambda_queue import (
    ENVIRONMENT_SECONDS,
    IDLE_POLLERS,
    INVOKE_SECONDS,
    WITH_WINDOW,
    BatchOutcome,
    LambdaQueue,
    Source,
)
from benchmarks.sqs_queue import LONG_POLL_SECONDS, Event, SqsQueue
from benchmarks.virtual_time import VirtualTime

pytestmark = pytest.mark.usefixtures("busy")

IMMEDIATE = Source(window=0, batch=10, concurrency=2, timeout=60)


@pytest.fixture(autouse=True)
def _seed_random():
    random.seed(1)


def run(source, sends, handle=None):
    """Sends one message after each pause; the queue, and the time and keys of each batch."""
    time, batches = VirtualTime(), []

    def invoke(batch, invocation):
        batches.append((time.now, [message.event.key for message in batch]))
        return (
            handle(time, batch, invocation) if handle else BatchOutcome((), [time.now - m.event.sent_at for m in batch])
        )

    queue = LambdaQueue(time, source, invoke)

    def send():
        for number, pause in enumerate(sends):
            time.sleep(pause)
            queue.send(Event(time.now, str(number), "etag"))
        time.sleep(100)
        queue.close()

    time.spawn(send)
    time.run()
    return queue, batches


def test_without_a_window_a_lone_message_reaches_the_function_within_a_fifth_of_a_second():
    queue, batches = run(IMMEDIATE, [30])
    assert batches[0][0] - 30 < 0.2
    assert len(queue.delays) == 1


def test_with_a_window_a_lone_message_waits_for_twenty_seconds():
    _, batches = run(WITH_WINDOW, [30])
    assert LONG_POLL_SECONDS < batches[0][0] - 30 < LONG_POLL_SECONDS + 0.5


def test_with_a_window_and_much_traffic_a_message_waits_for_little_more_than_the_window():
    queue, _ = run(WITH_WINDOW, [0.01] * 2000)
    steady = queue.delays[: len(queue.delays) // 2]
    assert max(steady) < WITH_WINDOW.window + 0.5


def test_waiting_messages_are_delivered_ten_at_a_time():
    _, batches = run(IMMEDIATE, [5] + [0] * 99)
    assert max(len(keys) for _, keys in batches) == 10


def test_no_more_functions_run_concurrently_than_configured():
    running, most = [0], [0]

    def handle(time, batch, _invocation):
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(1)
        running[0] -= 1
        return BatchOutcome((), [0.0] * len(batch))

    run(IMMEDIATE, [0] * 100, handle)
    assert most[0] == IMMEDIATE.concurrency


def test_a_failed_message_is_delivered_again_after_the_visibility_timeout_at_most_five_times():
    times = []

    def handle(time, batch, _invocation):
        times.append(time.now)
        return BatchOutcome([message.id for message in batch], ())

    queue, _ = run(IMMEDIATE, [1], handle)
    assert len(times) == len(queue.queue.dead) * 5 == 5
    pauses = [after - before for before, after in pairwise(times)]
    assert all(IMMEDIATE.visibility <= pause < IMMEDIATE.visibility + 1 for pause in pauses)


def test_messages_that_a_function_received_itself_are_delivered_again_unless_it_deletes_them():
    received = []

    def handle(time, batch, invocation):
        while not received and invocation.queue.visible:
            received.extend(invocation.queue.receive(10))
        return BatchOutcome((), [0.0] * len(batch))

    queue, batches = run(IMMEDIATE, [0] * 40, handle)
    delivered = [key for _, keys in batches for key in keys]
    assert {message.event.key for message in received} < set(delivered)
    assert queue.queue.is_done


def test_five_idle_pollers_are_billed_although_two_functions_may_run():
    queue, _ = run(IMMEDIATE, [3600])
    assert queue.usage.sqs_requests == pytest.approx(IDLE_POLLERS * 3700 / LONG_POLL_SECONDS, rel=0.03)


def test_a_cold_start_is_billed_and_delays_the_batch():
    queue, batches = run(IMMEDIATE, [3 * ENVIRONMENT_SECONDS])
    assert batches[0][0] - 3 * ENVIRONMENT_SECONDS > 1
    assert queue.usage.busy_seconds >= 1


def test_a_short_poll_may_return_fewer_messages_than_exist_and_a_long_poll_returns_all():
    time, counts = VirtualTime(), []
    queue = SqsQueue(time, 60)

    def poll():
        for _ in range(8):
            queue.send(Event(0, "k", None))
        time.sleep(5)
        short = queue.receive(10)
        counts.append((len(short), len(queue.receive(10, wait=20))))
        queue.delete([str(number) for number in range(8)])
        queue.close()

    time.spawn(poll)
    time.run()
    ((short, long),) = counts
    assert short < 8
    assert short + long == 8


def test_two_workers_keep_up_with_ten_changes_a_second_of_one_collection(monkeypatch):
    """Without yielding, a worker that lost a commit kept losing for ten seconds."""
    monkeypatch.setattr(freshness, "MIN_EVENTS", 300)
    cell = freshness.run(10, 1, IMMEDIATE, files=50)
    assert cell.p99 < 1.5
    assert cell.slowest < 4


def test_workers_waiting_for_the_lease_keep_up_with_a_hundred_changes_a_second(monkeypatch):
    monkeypatch.setattr(freshness, "MAX_EVENTS", 1500)
    cell = freshness.run(100, 1, IMMEDIATE, files=50)
    assert cell.p99 < 3
    assert cell.requests <= 1.3


def test_the_delay_of_a_warm_function_is_counted():
    _, batches = run(IMMEDIATE, [30])
    assert batches[0][0] - 30 > INVOKE_SECONDS
