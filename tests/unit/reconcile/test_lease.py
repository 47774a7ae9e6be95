import json
from dataclasses import replace

import pytest
from unit.environments import Hand, seconds
from unit.values import STYLE

from s3_manifest.reconcile.lease import MIN_KEYS, YIELD_SECONDS, lease
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Conflict, OutcomeUnknown, ReadFailed, WriteRefused

KEY = f"{STYLE.folder}turn.json"
MANY = MIN_KEYS


def holder(hand):
    return json.loads(hand.store.objects[KEY][1])["holder"] if KEY in hand.store.objects else None


def held_by_somebody(hand):
    hand.store.upload(KEY, b'{"holder":"somebody","id":"1"}')


def test_a_worker_with_few_keys_acquires_no_lease():
    hand = Hand()
    with lease(hand.environment, STYLE, MIN_KEYS - 1):
        pass
    assert hand.store.requests == []


def test_a_lease_is_held_while_the_block_runs():
    hand = Hand()
    with lease(hand.environment, STYLE, MANY):
        assert holder(hand)
    assert KEY in hand.store.objects
    assert holder(hand) is None
    assert hand.slept == []


def test_a_lease_is_released_when_the_block_fails():
    hand = Hand()
    with pytest.raises(Conflict), lease(hand.environment, STYLE, MANY):
        raise Conflict("k", "lost")
    assert holder(hand) is None


def test_a_released_lease_is_acquired_without_waiting():
    hand = Hand()
    for _ in range(3):
        with lease(hand.environment, STYLE, MANY):
            assert holder(hand)
    assert hand.slept == []


def test_a_worker_waits_for_the_lease_of_another():
    hand = Hand()
    held_by_somebody(hand)
    pauses = []

    def sleep(pause):
        pauses.append(pause)
        if len(pauses) == 3:
            hand.store.upload(KEY, b'{"holder":null,"id":"2"}')

    with lease(replace(hand.environment, sleep=sleep), STYLE, MANY):
        assert len(pauses) == 3
        assert holder(hand) != "somebody"


def test_a_lease_that_is_never_released_is_taken_over_after_some_seconds():
    hand = Hand()
    held_by_somebody(hand)
    hand.seconds_left = seconds(*range(200, 0, -1))
    with lease(hand.environment, STYLE, MANY):
        assert 4 < sum(hand.slept) < 8
        assert holder(hand) != "somebody"
    assert holder(hand) is None


def test_the_former_holder_does_not_release_a_lease_that_was_taken_over():
    hand = Hand()
    with lease(hand.environment, STYLE, MANY):
        held_by_somebody(hand)
    assert holder(hand) == "somebody"


def test_a_wait_ends_when_time_runs_short_and_the_block_runs_without_a_lease():
    hand = Hand()
    held_by_somebody(hand)
    hand.seconds_left = seconds(12, 11, 9)
    done = []
    with lease(hand.environment, STYLE, MANY):
        done.append(holder(hand))
    assert done == ["somebody"]
    assert len(hand.slept) == 2
    assert holder(hand) == "somebody"


@pytest.mark.parametrize("method", ["get", "put"])
@pytest.mark.parametrize("error", [ReadFailed("k", "503"), WriteRefused("k", "403"), OutcomeUnknown("k", "lost")])
def test_an_error_of_the_lease_does_not_stop_the_block(monkeypatch, method, error):
    hand = Hand()
    hand.seconds_left = seconds(*[900] * 20, 1)

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(MemoryStore, method, fails)
    done = []
    with lease(hand.environment, STYLE, MANY):
        done.append("work")
    assert done == ["work"]


def test_an_error_in_releasing_the_lease_is_ignored(monkeypatch):
    hand = Hand()

    def fails(*_, **__):
        raise WriteRefused("k", "403")

    with lease(hand.environment, STYLE, MANY):
        monkeypatch.setattr(MemoryStore, "put", fails)
    assert holder(hand)


@pytest.mark.usefixtures("busy")
def test_a_worker_yields_once_for_a_lease_that_was_just_released():
    hand = Hand()
    with lease(hand.environment, STYLE, MANY):
        pass
    with lease(hand.environment, STYLE, MANY):
        assert holder(hand)
    assert hand.slept == [YIELD_SECONDS]


@pytest.mark.usefixtures("busy")
def test_a_waiting_worker_never_pauses_longer_than_others_yield():
    hand = Hand(random=lambda: 1.0)
    held_by_somebody(hand)
    hand.seconds_left = seconds(13, 12, 11, 9)
    with lease(hand.environment, STYLE, MANY):
        pass
    assert max(hand.slept) < YIELD_SECONDS


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("reason", ["retries", "waited"])
def test_a_worker_that_waited_or_retries_acquires_a_released_lease_without_yielding(reason):
    hand = Hand()
    with lease(hand.environment, STYLE, MANY):
        pass
    free = hand.store.objects[KEY][1]
    if reason == "waited":
        held_by_somebody(hand)

    def sleep(pause):
        hand.slept.append(pause)
        hand.store.upload(KEY, free)

    with lease(replace(hand.environment, sleep=sleep), STYLE, MANY, retrying=reason == "retries"):
        assert holder(hand)
    assert YIELD_SECONDS not in hand.slept
    assert len(hand.slept) == (reason == "waited")


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("body", [b'{"holder":null,"id":"1"}', b'{"holder":null', b'{"holder":null,"at":7}'])
def test_a_lease_written_by_an_older_version_is_acquired_without_waiting(body):
    hand = Hand()
    hand.store.upload(KEY, body)
    with lease(hand.environment, STYLE, MANY):
        assert holder(hand)
    assert hand.slept == []
