import json
from dataclasses import replace

import pytest
from unit.environments import Hand, seconds
from unit.values import STYLE

from s3_manifest.reconcile.lease import MIN_KEYS, YIELD_SECONDS, turn
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Conflict, OutcomeUnknown, ReadFailed, WriteRefused

KEY = f"{STYLE.folder}turn.json"
MANY = MIN_KEYS


def holder(hand):
    return json.loads(hand.store.objects[KEY][1])["holder"] if KEY in hand.store.objects else None


def held_by_somebody(hand):
    hand.store.upload(KEY, b'{"holder":"somebody","id":"1"}')


def test_who_looks_at_few_keys_takes_no_turn():
    hand = Hand()
    with turn(hand.environment, STYLE, MIN_KEYS - 1, 10):
        pass
    assert hand.store.requests == []


def test_a_turn_is_taken_for_as_long_as_the_work_goes_on():
    hand = Hand()
    with turn(hand.environment, STYLE, MANY, 10):
        assert holder(hand)
    assert KEY in hand.store.objects
    assert holder(hand) is None
    assert hand.slept == []


def test_a_turn_is_given_back_where_the_work_fails():
    hand = Hand()
    with pytest.raises(Conflict), turn(hand.environment, STYLE, MANY, 10):
        raise Conflict("k", "lost")
    assert holder(hand) is None


def test_a_turn_that_was_given_back_is_taken_by_the_next_at_once():
    hand = Hand()
    for _ in range(3):
        with turn(hand.environment, STYLE, MANY, 10):
            assert holder(hand)
    assert hand.slept == []


def test_somebody_elses_turn_is_waited_for():
    hand = Hand()
    held_by_somebody(hand)
    pauses = []

    def sleep(pause):
        pauses.append(pause)
        if len(pauses) == 3:
            hand.store.upload(KEY, b'{"holder":null,"id":"2"}')

    with turn(replace(hand.environment, sleep=sleep), STYLE, MANY, 10):
        assert len(pauses) == 3
        assert holder(hand) != "somebody"


def test_a_turn_that_is_never_given_back_is_taken_over_after_some_seconds():
    hand = Hand()
    held_by_somebody(hand)
    hand.seconds_left = seconds(*range(200, 0, -1))
    with turn(hand.environment, STYLE, MANY, 10):
        assert 4 < sum(hand.slept) < 8
        assert holder(hand) != "somebody"
    assert holder(hand) is None


def test_a_turn_that_was_taken_over_is_not_given_back_by_who_had_it():
    hand = Hand()
    with turn(hand.environment, STYLE, MANY, 10):
        held_by_somebody(hand)
    assert holder(hand) == "somebody"


def test_a_wait_ends_where_time_runs_short_and_the_work_is_done_without_a_turn():
    hand = Hand()
    held_by_somebody(hand)
    hand.seconds_left = seconds(12, 11, 9)
    done = []
    with turn(hand.environment, STYLE, MANY, 10):
        done.append(holder(hand))
    assert done == ["somebody"]
    assert len(hand.slept) == 2
    assert holder(hand) == "somebody"


@pytest.mark.parametrize("method", ["get", "put"])
@pytest.mark.parametrize("error", [ReadFailed("k", "503"), WriteRefused("k", "403"), OutcomeUnknown("k", "lost")])
def test_trouble_with_a_turn_is_no_reason_not_to_work(monkeypatch, method, error):
    hand = Hand()
    hand.seconds_left = seconds(*[900] * 20, 1)

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(MemoryStore, method, fails)
    done = []
    with turn(hand.environment, STYLE, MANY, 10):
        done.append("work")
    assert done == ["work"]


def test_trouble_in_giving_a_turn_back_is_no_trouble_of_the_work(monkeypatch):
    hand = Hand()

    def fails(*_, **__):
        raise WriteRefused("k", "403")

    with turn(hand.environment, STYLE, MANY, 10):
        monkeypatch.setattr(MemoryStore, "put", fails)
    assert holder(hand)


@pytest.mark.usefixtures("busy")
def test_a_turn_that_was_just_given_back_is_left_for_a_while_to_those_that_wait_for_it():
    hand = Hand()
    with turn(hand.environment, STYLE, MANY, 10):
        pass
    with turn(hand.environment, STYLE, MANY, 10):
        assert holder(hand)
    assert hand.slept == [YIELD_SECONDS]


@pytest.mark.usefixtures("busy")
def test_whoever_waits_for_a_turn_never_pauses_for_longer_than_others_leave_it_free():
    hand = Hand(random=lambda: 1.0)
    held_by_somebody(hand)
    hand.seconds_left = seconds(13, 12, 11, 9)
    with turn(hand.environment, STYLE, MANY, 10):
        pass
    assert max(hand.slept) < YIELD_SECONDS


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("since", ["lost", "waited"])
def test_whoever_lost_or_waited_takes_a_turn_as_soon_as_it_is_given_back(since):
    hand = Hand()
    with turn(hand.environment, STYLE, MANY, 10):
        pass
    free = hand.store.objects[KEY][1]
    if since == "waited":
        held_by_somebody(hand)

    def sleep(pause):
        hand.slept.append(pause)
        hand.store.upload(KEY, free)

    with turn(replace(hand.environment, sleep=sleep), STYLE, MANY, 10, lost=since == "lost"):
        assert holder(hand)
    assert YIELD_SECONDS not in hand.slept
    assert len(hand.slept) == (since == "waited")


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("body", [b'{"holder":null,"id":"1"}', b'{"holder":null', b'{"holder":null,"at":7}'])
def test_a_turn_as_an_older_version_wrote_it_is_taken_at_once(body):
    hand = Hand()
    hand.store.upload(KEY, body)
    with turn(hand.environment, STYLE, MANY, 10):
        assert holder(hand)
    assert hand.slept == []
