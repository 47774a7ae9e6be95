import os
import signal
import threading
import time
from typing import Any

import pytest

from s3_manifest.storage.store import Conflict
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled, terminable
from s3_manifest_cli.client.transfer.concurrency import MemoryBudget, map_concurrently
from s3_manifest_cli.errors import Refused


def test_each_item_has_an_outcome():
    outcomes = list(map_concurrently(lambda item: item * 2, range(100), Cancellation(), threads=4))
    assert sorted(outcomes) == [(item, item * 2, None) for item in range(100)]


def test_no_items_give_no_outcomes():
    assert list(map_concurrently(lambda item: item, [], Cancellation())) == []


@pytest.mark.parametrize("error", [Conflict("key", "no"), Refused("no"), OSError("no")])
def test_one_failure_never_stops_the_rest(error):
    def work(item):
        if item % 10 == 3:
            raise error
        return item

    outcomes = list(map_concurrently(work, range(100), Cancellation(), threads=4))
    assert len(outcomes) == 100
    assert {outcome.item for outcome in outcomes if outcome.error} == set(range(3, 100, 10))
    assert {outcome.error for outcome in outcomes if outcome.error} == {error}


def test_an_unexpected_error_stops_all_work_and_is_raised():
    done = []

    def work(item):
        if item == 5:
            raise ZeroDivisionError
        cancellation.sleep(0 if item < 5 else 30)
        done.append(item)

    cancellation = Cancellation()
    with pytest.raises(ZeroDivisionError):
        list(map_concurrently(work, range(10_000), cancellation, threads=2))
    assert cancellation.is_requested
    assert set(done) <= set(range(5))


def test_the_number_of_threads_is_limited():
    meeting = threading.Barrier(4)
    running = []
    most = []

    def work(item):
        running.append(item)
        most.append(len(running))
        if item < 4:
            meeting.wait(10)
        time.sleep(0.001)
        running.remove(item)

    list(map_concurrently(work, range(50), Cancellation(), threads=4))
    assert max(most) == 4


def test_an_outcome_is_yielded_while_other_items_are_running():
    second = threading.Event()
    outcomes = map_concurrently(lambda item: second.wait(10) if item else True, [0, 1], Cancellation(), threads=2)
    assert next(outcomes).item == 0
    second.set()
    assert next(outcomes) == (1, True, None)


def test_items_are_read_lazily():
    read = []

    def items():
        for item in range(1000):
            read.append(item)
            yield item

    cancellation = Cancellation()
    outcomes: Any = map_concurrently(
        lambda item: cancellation.sleep(30 if item else 0), items(), cancellation, threads=3
    )
    assert next(outcomes).item == 0
    outcomes.close()
    assert cancellation.is_requested
    assert len(read) <= 4


def test_leaving_the_iterator_waits_for_running_items():
    done = []
    cancellation = Cancellation()
    before = set(threading.enumerate())

    def work(item):
        try:
            cancellation.sleep(0.01 if item == 0 else 30)
        finally:
            done.append(item)

    for outcome in map_concurrently(work, range(100), cancellation, threads=4):
        assert outcome.item == 0
        break
    assert sorted(done) == [0, 1, 2, 3, 4][: len(done)]
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_run_and_stopped_items_have_no_outcome(name):
    cancellation = Cancellation()
    outcomes = []
    started = threading.Event()

    def work(item):
        started.set()
        cancellation.sleep(30)

    def kill():
        started.wait(10)
        os.kill(os.getpid(), getattr(signal, name))

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(KeyboardInterrupt), terminable():
        outcomes.extend(map_concurrently(work, range(10), cancellation, threads=2))
    killing.join()
    assert outcomes == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_budget_is_never_exceeded_and_a_larger_item_runs_alone():
    budget, held, most = MemoryBudget(100, Cancellation()), [], []

    def work(size):
        with budget.reserved(size):
            held.append(min(size, 100))
            most.append(sum(held))
            time.sleep(0.001)
            held.remove(min(size, 100))

    outcomes = list(map_concurrently(work, [60, 30, 10, 500, 70, 0, 40] * 10, Cancellation(), threads=8))
    assert [outcome for outcome in outcomes if outcome.error] == []
    assert max(most) == 100
    assert budget.reserve(100) == 100


def test_a_cancellation_wakes_waiting_threads():
    cancellation = Cancellation()
    budget = MemoryBudget(10, cancellation)
    budget.reserve(10)
    threading.Timer(0.05, cancellation.cancel).start()
    with pytest.raises(Cancelled):
        budget.reserve(1)
    with pytest.raises(Cancelled):
        cancellation.check()
    called = []
    cancellation.on_cancel(lambda: called.append(True))
    assert called == [True]
