"""Sweeps that are cut off: for want of time, by a fault, or by what S3 does not tell."""

import json
from itertools import pairwise

import pytest
from unit.environments import Hand, WatchedStore, seconds
from unit.sweeping import PAUSE, SWEEP_STYLE, drift, forget, known, names, swept, told, truth
from unit.values import EVENING, NOON, PREFIX, SMALL_PAGES, STYLE

from s3_manifest.manifest.jobs import Progress, decode_job, encode_job
from s3_manifest.reconcile.environment import RESERVE_SECONDS, AnnouncementFailed
from s3_manifest.storage.store import OutcomeUnknown, StoreError
from s3_manifest.sweep import sweep
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepFailed
from s3_manifest.sweep.sweep import MAX_UNREADABLE

pytestmark = pytest.mark.usefixtures("small_pages")

HEAD = STYLE.head_key


def drifted(page=4):
    """A hand whose manifest is wrong about seven files, and one sidecar."""
    hand = known(36)
    hand.store.page = page
    for name in names(0, 1, 35):
        hand.store.remove(PREFIX + name)
    hand.upload("!", "0003a", "zzz")
    hand.upload("0004.jpg", body=b"other")
    hand.upload("collection.json", body=b'{"title": "Snow"}')
    hand.now = EVENING
    return hand


def incomplete(count=36):
    """A hand whose manifest knows of one file of many, and the sweep that was asked for."""
    hand = Hand(WatchedStore(page=4))
    hand.commit(hand.upload(*names(*range(count)))[:1])
    (job,) = hand.asked
    forget(hand)
    return hand, job


def ended_well(hand):
    assert told(hand) == truth(hand)
    assert (hand.head().complete, hand.head().last_verified_at) == (True, hand.now)


@pytest.mark.parametrize("slots_each", [1, 2, 64])
@pytest.mark.parametrize("steps", range(1, 14))
def test_a_sweep_that_pauses_at_any_point_ends_with_the_same(steps, slots_each, monkeypatch):
    for bound in ("MIN_PAGES", "MAX_PAGES"):
        monkeypatch.setattr(sweep, bound, slots_each)
    hand = drifted()
    done = swept(hand, left=lambda: seconds(*[900] * steps, PAUSE - 1))
    ended_well(hand)
    assert (drift(done), hand.head().title) == ((3, 3, 1), "Snow")


@pytest.mark.parametrize("steps", range(1, 14))
def test_a_sweep_of_an_incomplete_manifest_that_pauses_at_any_point_completes_it(steps):
    hand, job = incomplete()
    done = swept(hand, job, left=lambda: seconds(*[900] * steps, PAUSE - 1))
    ended_well(hand)
    assert (drift(done), set(hand.delays) <= {0}) == ((0, 0, 0), True)
    assert sorted(set(hand.store.looks)) == [PREFIX + name for name in names(*range(1, 36))]


def test_a_job_that_an_earlier_version_put_into_the_queue_is_carried_on():
    hand = drifted()
    progress = Progress(created_at=hand.head().created_at, started_at=EVENING, missing=1, unexpected=2, modified=3)
    body = encode_job(SWEEP_STYLE.model_copy(update={"progress": progress}))
    job = decode_job(body.replace('"modified":3', '"altered":3'))
    assert job.progress == progress
    done = swept(hand, job)
    ended_well(hand)
    last = done[-1].progress
    assert (last.missing, last.unexpected, last.modified) == (1 + 3, 2 + 3, 3 + 1)


def test_a_paused_sweep_looks_at_nothing_twice_and_lists_on_where_it_was():
    hand, job = incomplete()
    swept(hand, job, left=lambda: seconds(900, PAUSE - 1))
    assert len(hand.store.looks) == len(set(hand.store.looks)) == 35
    places = hand.store.asked_for("LIST", f"{PREFIX} ")
    assert len(places) == len(set(places)) == 9


def faulty(hand, at, error):
    """The request of that number is not answered."""
    count = iter(range(at + 1))

    def wrapped(ask):
        def asked(*given, **more):
            if next(count, None) == at:
                raise error
            return ask(*given, **more)

        return asked

    originals = {name: getattr(hand.store, name) for name in ("get", "list", "put", "add", "delete")}
    for name, ask in originals.items():
        setattr(hand.store, name, wrapped(ask))
    return lambda: [setattr(hand.store, name, ask) for name, ask in originals.items()]


@pytest.mark.parametrize("at", range(24))
def test_a_sweep_that_dies_at_any_request_and_is_delivered_again_ends_with_the_same(at):
    hand = drifted(page=12)
    queue, died = [SWEEP_STYLE], 0
    mend = faulty(hand, at, StoreError("key", "503"))
    while queue:
        try:
            run_job(hand.environment, queue[0], PAUSE, repeated=bool(died))
        except StoreError:
            died += 1
            mend()
            hand.asked.clear()
            continue
        queue = [*queue[1:], *hand.asked]
        hand.asked.clear()
    assert died == 1
    ended_well(hand)


DEATHS = ["announcing", "after the head was written, unanswered"]


@pytest.mark.parametrize("death", DEATHS)
def test_a_revision_of_a_sweep_that_died_before_it_announced_it_is_announced_by_its_repeat(death):
    hand = known(5)
    hand.upload("new.jpg")
    run_job(hand.environment, SWEEP_STYLE, PAUSE)
    (job,) = hand.asked
    announce, put = hand.announce, hand.store.put

    def fails(head, alterations, *, repeated):
        raise AnnouncementFailed("not announced")

    def unanswered(key, body, **more):
        put(key, body, **more)
        hand.seconds_left = seconds(1)
        raise OutcomeUnknown(key, "lost")

    if death == "announcing":
        hand.announce = fails
    else:
        hand.store.put = unanswered
    with pytest.raises((AnnouncementFailed, SweepFailed)):
        run_job(hand.environment, job, PAUSE)
    hand.announce, hand.store.put, hand.seconds_left = announce, put, seconds(900)
    assert (hand.head().revision, hand.announced) == (2, [])
    run_job(hand.environment, job, PAUSE, repeated=True)
    assert (2, True) in hand.announced


def test_an_answer_that_is_lost_as_time_runs_short_is_made_up_for_by_the_rest_of_the_sweep(monkeypatch):
    """The look's second chunk was written and nobody said so: the message after it announces."""
    monkeypatch.setattr("s3_manifest.reconcile.commit.CHUNK", 1)
    hand = known(3)
    hand.upload("new.jpg", "newer.jpg")
    run_job(hand.environment, SWEEP_STYLE, PAUSE)
    put, writes = hand.store.put, iter(range(9))

    def second_unanswered(key, body, **more):
        put(key, body, **more)
        if next(writes) == 1:
            hand.seconds_left = seconds(1)
            raise OutcomeUnknown(key, "lost")

    hand.store.put = second_unanswered
    run_job(hand.environment, hand.asked.pop(), PAUSE)
    hand.store.put, hand.seconds_left = put, seconds(900)
    assert (hand.head().revision, hand.announced) == (3, [(2, False)])
    swept(hand, hand.asked.pop())
    assert hand.announced == [(2, False), (3, True)]


def test_without_time_for_one_look_the_message_is_tried_again():
    hand = drifted()
    run_job(hand.environment, SWEEP_STYLE, PAUSE)
    (job,) = hand.asked
    hand.seconds_left = seconds(RESERVE_SECONDS - 1)
    with pytest.raises(SweepFailed, match="time ran out"):
        run_job(hand.environment, job, PAUSE)
    assert len(hand.asked) == 1


def test_a_key_that_could_not_be_looked_at_has_its_second_chance_at_the_end():
    hand, job = incomplete()
    hand.store.unreadable = {PREFIX + "0001.jpg"}
    hand.store.before_put = hand.store.unreadable.clear
    swept(hand, job)
    ended_well(hand)


def test_a_key_to_be_looked_at_again_is_carried_on():
    hand, job = incomplete()
    hand.store.unreadable = {PREFIX + "0001.jpg"}
    hand.seconds_left = seconds(900, 900, 900, PAUSE - 1)
    while not (hand.asked and hand.asked[-1].progress.unreadable):
        run_job(hand.environment, hand.asked.pop() if hand.asked else job, PAUSE)
    assert hand.asked[-1].progress.unreadable == (PREFIX + "0001.jpg",)
    hand.store.unreadable = set()
    hand.seconds_left = seconds(900)
    swept(hand, hand.asked.pop())
    ended_well(hand)


def test_a_key_that_stays_unreadable_fails_the_sweep_and_is_named_and_its_entry_stays():
    hand = known(5)
    hand.upload("0001.jpg", body=b"other")
    hand.store.unreadable = {PREFIX + "0001.jpg"}
    hand.now = EVENING
    with pytest.raises(SweepFailed, match=r"1 object .* styles/16/0001\.jpg: not read: 403"):
        swept(hand)
    assert hand.filenames() == names(*range(5))
    assert hand.head().last_verified_at == NOON


def test_a_permission_that_is_missing_fails_the_sweep_long_before_its_end():
    hand, job = incomplete(5 * MAX_UNREADABLE)
    hand.store.page = MAX_UNREADABLE // 2
    hand.store.unreadable = set(hand.store.objects)
    with pytest.raises(SweepFailed, match="Fix the cause"):
        swept(hand, job)
    assert hand.head().total_files == 1
    assert not hand.head().complete


def test_as_many_odd_objects_as_are_allowed_do_not_stop_it():
    hand, job = incomplete(2 * MAX_UNREADABLE)
    hand.store.unreadable = {PREFIX + name for name in names(*range(1, MAX_UNREADABLE + 1))}
    hand.store.before_put = hand.store.unreadable.clear
    swept(hand, job)
    ended_well(hand)


def test_with_many_keys_found_to_differ_they_are_looked_at_before_the_listing_goes_on(monkeypatch):
    monkeypatch.setattr(sweep, "MAX_DIFFERENT", 10)
    monkeypatch.setattr(sweep, "RANGES", 1)
    hand, job = incomplete(100)
    swept(hand, job)
    lists = [at for at, item in enumerate(hand.store.requests) if item.startswith(f"LIST {PREFIX} ")]
    looks = [sum(item.startswith("HEAD") for item in hand.store.requests[a:b]) for a, b in pairwise(lists)]
    # Of one page, as many as four may hold are listed before it is compared.
    assert max(looks) <= 10 + 4 * SMALL_PAGES["MAX_PAGE"] + 4
    assert hand.store.looks == [PREFIX + name for name in names(*range(1, 100))]


@pytest.mark.parametrize("deep", ["", "画" * 250, '"\x01' * 300], ids=["short", "long", "escaped"])
def test_looks_that_do_not_fit_into_a_message_are_found_again(deep, monkeypatch):
    monkeypatch.setattr(sweep, "MAX_PENDING_BYTES", 5000)
    hand = known(36)
    hand.upload(*(f"{name}{deep}" for name in names(*range(100, 260))))
    for name in names(*range(0, 36, 2)):
        hand.store.remove(PREFIX + name)
    messages = []
    enqueue = hand.enqueue

    def noted(jobs, delay_seconds=0):
        messages.extend(map(encode_job, jobs))
        enqueue(jobs, delay_seconds)

    hand.enqueue = noted
    done = swept(hand)
    ended_well(hand)
    assert drift(done) == (18, 160, 0)
    assert len(messages) > 1 or not deep
    # Beside the looks a message holds the name to go on after.
    assert max(map(len, messages)) < 5000 + len(json.dumps(deep)) + 500


def test_a_message_with_many_unreadable_keys_fits_into_the_queue_all_the_same():
    hand = known(5)
    long = ["画" * 330 + name for name in names(*range(700))]
    hand.upload(*long)
    unreadable = tuple(hand.upload(*("墨" * 330 + name for name in names(*range(MAX_UNREADABLE)))))
    progress = Progress(created_at=hand.head().created_at, started_at=NOON, unreadable=unreadable)
    run_job(hand.environment, SWEEP_STYLE.model_copy(update={"progress": progress}), PAUSE)
    (job,) = hand.asked
    assert len(encode_job(job)) <= 262_144
