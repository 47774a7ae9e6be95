import os
import signal
import threading
import time

import pytest

from s3_manifest.storage.store import Conflict
from s3_manifest_cli.client.transfer.budget import Budget
from s3_manifest_cli.client.transfer.cancellation import Stop, Stopped, terminable
from s3_manifest_cli.client.transfer.concurrency import at_once
from s3_manifest_cli.errors import Refused


def test_there_is_an_outcome_for_each_item():
    outcomes = list(at_once(lambda item: item * 2, range(100), Stop(), threads=4))
    assert sorted(outcomes) == [(item, item * 2, None) for item in range(100)]


def test_of_nothing_there_is_none():
    assert list(at_once(lambda item: item, [], Stop())) == []


@pytest.mark.parametrize("error", [Conflict("key", "no"), Refused("no"), OSError("no")])
def test_one_failure_never_stops_the_rest(error):
    def work(item):
        if item % 10 == 3:
            raise error
        return item

    outcomes = list(at_once(work, range(100), Stop(), threads=4))
    assert len(outcomes) == 100
    assert {one.item for one in outcomes if one.error} == set(range(3, 100, 10))
    assert {one.error for one in outcomes if one.error} == {error}


def test_an_error_that_nobody_knows_stops_all_and_travels():
    done = []

    def work(item):
        if item == 5:
            raise ZeroDivisionError
        stop.sleep(0 if item < 5 else 30)
        done.append(item)

    stop = Stop()
    with pytest.raises(ZeroDivisionError):
        list(at_once(work, range(10_000), stop, threads=2))
    assert stop.asked
    assert set(done) <= set(range(5))


def test_so_many_are_done_at_once_and_no_more():
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

    list(at_once(work, range(50), Stop(), threads=4))
    assert max(most) == 4


def test_outcomes_come_while_others_are_under_way():
    second = threading.Event()
    outcomes = at_once(lambda item: second.wait(10) if item else True, [0, 1], Stop(), threads=2)
    assert next(outcomes).item == 0
    second.set()
    assert next(outcomes) == (1, True, None)


def test_items_are_read_only_as_far_as_they_are_needed():
    read = []

    def items():
        for item in range(1000):
            read.append(item)
            yield item

    stop = Stop()
    outcomes = at_once(lambda item: stop.sleep(30 if item else 0), items(), stop, threads=3)
    assert next(outcomes).item == 0
    outcomes.close()
    assert stop.asked
    assert len(read) <= 4


def test_who_leaves_waits_for_what_is_under_way():
    done = []
    stop = Stop()
    before = set(threading.enumerate())

    def work(item):
        try:
            stop.sleep(0.01 if item == 0 else 30)
        finally:
            done.append(item)

    for outcome in at_once(work, range(100), stop, threads=4):
        assert outcome.item == 0
        break
    assert sorted(done) == [0, 1, 2, 3, 4][: len(done)]
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_run_and_what_was_stopped_has_no_outcome(name):
    stop = Stop()
    outcomes = []
    begun = threading.Event()

    def work(item):
        begun.set()
        stop.sleep(30)

    def kill():
        begun.wait(10)
        os.kill(os.getpid(), getattr(signal, name))

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(KeyboardInterrupt), terminable():
        outcomes.extend(at_once(work, range(10), stop, threads=2))
    killing.join()
    assert outcomes == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_budget_is_never_exceeded_and_what_is_larger_than_all_of_it_goes_alone():
    budget, held, most = Budget(100, Stop()), [], []

    def work(size):
        with budget.taken(size):
            held.append(min(size, 100))
            most.append(sum(held))
            time.sleep(0.001)
            held.remove(min(size, 100))

    outcomes = list(at_once(work, [60, 30, 10, 500, 70, 0, 40] * 10, Stop(), threads=8))
    assert [one for one in outcomes if one.error] == []
    assert max(most) == 100
    assert budget.take(100) == 100


def test_a_stop_wakes_who_waits():
    stop = Stop()
    budget = Budget(10, stop)
    budget.take(10)
    threading.Timer(0.05, stop.ask).start()
    with pytest.raises(Stopped):
        budget.take(1)
    with pytest.raises(Stopped):
        stop.check()
    told = []
    stop.when_asked(lambda: told.append(True))
    assert told == [True]
