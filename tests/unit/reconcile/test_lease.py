import json
from dataclasses import replace

import pytest
from unit.environments import Harness, seconds
from unit.values import STYLE

from s3_manifest.reconcile.lease import MIN_KEYS, YIELD_SECONDS, lease
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Conflict, OutcomeUnknown, ReadFailed, WriteRefused

KEY = f"{STYLE.folder}turn.json"
MANY = MIN_KEYS


def holder(harness):
    return json.loads(harness.store.objects[KEY][1])["holder"] if KEY in harness.store.objects else None


def held_by_somebody(harness):
    harness.store.upload(KEY, b'{"holder":"somebody","id":"1"}')


def test_a_worker_with_few_keys_acquires_no_lease():
    harness = Harness()
    with lease(harness.environment, STYLE, MIN_KEYS - 1):
        pass
    assert harness.store.requests == []


def test_a_lease_is_held_while_the_block_runs():
    harness = Harness()
    with lease(harness.environment, STYLE, MANY):
        assert holder(harness)
    assert KEY in harness.store.objects
    assert holder(harness) is None
    assert harness.sleeps == []


def test_a_lease_is_released_when_the_block_fails():
    harness = Harness()
    with pytest.raises(Conflict), lease(harness.environment, STYLE, MANY):
        raise Conflict("k", "lost")
    assert holder(harness) is None


def test_a_released_lease_is_acquired_without_waiting():
    harness = Harness()
    for _ in range(3):
        with lease(harness.environment, STYLE, MANY):
            assert holder(harness)
    assert harness.sleeps == []


def test_a_worker_waits_for_the_lease_of_another():
    harness = Harness()
    held_by_somebody(harness)
    pauses = []

    def sleep(pause):
        pauses.append(pause)
        if len(pauses) == 3:
            harness.store.upload(KEY, b'{"holder":null,"id":"2"}')

    with lease(replace(harness.environment, sleep=sleep), STYLE, MANY):
        assert len(pauses) == 3
        assert holder(harness) != "somebody"


def test_a_lease_that_is_never_released_expires_after_some_seconds():
    harness = Harness()
    held_by_somebody(harness)
    harness.seconds_left = seconds(*range(200, 0, -1))
    with lease(harness.environment, STYLE, MANY):
        assert 4 < sum(harness.sleeps) < 8
        assert holder(harness) != "somebody"
    assert holder(harness) is None


def test_the_former_holder_does_not_release_the_lease_of_its_successor():
    harness = Harness()
    with lease(harness.environment, STYLE, MANY):
        held_by_somebody(harness)
    assert holder(harness) == "somebody"


def test_a_wait_ends_when_time_runs_short_and_the_block_runs_without_a_lease():
    harness = Harness()
    held_by_somebody(harness)
    harness.seconds_left = seconds(12, 11, 9)
    done = []
    with lease(harness.environment, STYLE, MANY):
        done.append(holder(harness))
    assert done == ["somebody"]
    assert len(harness.sleeps) == 2
    assert holder(harness) == "somebody"


@pytest.mark.parametrize("method", ["get", "put"])
@pytest.mark.parametrize("error", [ReadFailed("k", "503"), WriteRefused("k", "403"), OutcomeUnknown("k", "lost")])
def test_an_error_of_the_lease_does_not_stop_the_block(monkeypatch, method, error):
    harness = Harness()
    harness.seconds_left = seconds(*[900] * 20, 1)

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(MemoryStore, method, fails)
    done = []
    with lease(harness.environment, STYLE, MANY):
        done.append("work")
    assert done == ["work"]


def test_an_error_in_releasing_the_lease_is_ignored(monkeypatch):
    harness = Harness()

    def fails(*_, **__):
        raise WriteRefused("k", "403")

    with lease(harness.environment, STYLE, MANY):
        monkeypatch.setattr(MemoryStore, "put", fails)
    assert holder(harness)


@pytest.mark.usefixtures("busy")
def test_a_worker_yields_once_for_a_lease_that_was_just_released():
    harness = Harness()
    with lease(harness.environment, STYLE, MANY):
        pass
    with lease(harness.environment, STYLE, MANY):
        assert holder(harness)
    assert harness.sleeps == [YIELD_SECONDS]


@pytest.mark.usefixtures("busy")
def test_a_waiting_worker_never_pauses_longer_than_others_yield():
    harness = Harness(random=lambda: 1.0)
    held_by_somebody(harness)
    harness.seconds_left = seconds(13, 12, 11, 9)
    with lease(harness.environment, STYLE, MANY):
        pass
    assert max(harness.sleeps) < YIELD_SECONDS


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("reason", ["retries", "waited"])
def test_a_worker_that_waited_or_retries_acquires_a_released_lease_without_yielding(reason):
    harness = Harness()
    with lease(harness.environment, STYLE, MANY):
        pass
    free = harness.store.objects[KEY][1]
    if reason == "waited":
        held_by_somebody(harness)

    def sleep(pause):
        harness.sleeps.append(pause)
        harness.store.upload(KEY, free)

    with lease(replace(harness.environment, sleep=sleep), STYLE, MANY, retrying=reason == "retries"):
        assert holder(harness)
    assert YIELD_SECONDS not in harness.sleeps
    assert len(harness.sleeps) == (reason == "waited")


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("body", [b'{"holder":null,"id":"1"}', b'{"holder":null', b'{"holder":null,"at":7}'])
def test_a_lease_written_by_an_older_version_is_acquired_without_waiting(body):
    harness = Harness()
    harness.store.upload(KEY, body)
    with lease(harness.environment, STYLE, MANY):
        assert holder(harness)
    assert harness.sleeps == []
