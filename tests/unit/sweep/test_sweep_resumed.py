"""Sweeps that are cut off: by lack of time, by a fault, or by a failed request."""

import json
from itertools import pairwise

import pytest
from unit.environments import Harness, RecordingStore, seconds
from unit.sweeping import (
    PAUSE,
    SWEEP_STYLE,
    clear_records,
    complete_harness,
    drift,
    files_in_bucket,
    files_in_manifest,
    names,
    run_sweep,
)
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
    """A harness whose manifest is wrong about seven files and one sidecar."""
    harness = complete_harness(36)
    harness.store.page_size = page
    for name in names(0, 1, 35):
        harness.store.remove(PREFIX + name)
    harness.upload("!", "0003a", "zzz")
    harness.upload("0004.jpg", body=b"other")
    harness.upload("collection.json", body=b'{"title": "Snow"}')
    harness.now = EVENING
    return harness


def incomplete(count=36):
    """A harness whose manifest has only one of many files, and the sweep that its commit requested."""
    harness = Harness(RecordingStore(page_size=4))
    harness.commit(harness.upload(*names(*range(count)))[:1])
    (job,) = harness.queued_jobs
    clear_records(harness)
    return harness, job


def check_complete(harness):
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert (harness.head().complete, harness.head().last_verified_at) == (True, harness.now)


@pytest.mark.parametrize("slots_each", [1, 2, 64])
@pytest.mark.parametrize("steps", range(1, 14))
def test_a_sweep_that_pauses_at_any_point_has_the_same_result(steps, slots_each, monkeypatch):
    for bound in ("MIN_PAGES", "MAX_PAGES"):
        monkeypatch.setattr(sweep, bound, slots_each)
    harness = drifted()
    done = run_sweep(harness, left=lambda: seconds(*[900] * steps, PAUSE - 1))
    check_complete(harness)
    assert (drift(done), harness.head().title) == ((3, 3, 1), "Snow")


@pytest.mark.parametrize("steps", range(1, 14))
def test_a_sweep_of_an_incomplete_manifest_that_pauses_at_any_point_completes_it(steps):
    harness, job = incomplete()
    done = run_sweep(harness, job, left=lambda: seconds(*[900] * steps, PAUSE - 1))
    check_complete(harness)
    assert (drift(done), set(harness.queue_delays) <= {0}) == ((0, 0, 0), True)
    assert sorted(set(harness.store.head_keys)) == [PREFIX + name for name in names(*range(1, 36))]


def test_a_job_that_an_earlier_version_queued_is_continued():
    harness = drifted()
    progress = Progress(created_at=harness.head().created_at, started_at=EVENING, missing=1, unexpected=2, modified=3)
    body = encode_job(SWEEP_STYLE.model_copy(update={"progress": progress}))
    job = decode_job(body.replace('"modified":3', '"altered":3'))
    assert job.progress == progress
    done = run_sweep(harness, job)
    check_complete(harness)
    last = done[-1].progress
    assert (last.missing, last.unexpected, last.modified) == (1 + 3, 2 + 3, 3 + 1)


def test_a_paused_sweep_observes_nothing_twice_and_continues_its_listing():
    harness, job = incomplete()
    run_sweep(harness, job, left=lambda: seconds(900, PAUSE - 1))
    assert len(harness.store.head_keys) == len(set(harness.store.head_keys)) == 35
    places = harness.store.requests_for("LIST", f"{PREFIX} ")
    assert len(places) == len(set(places)) == 9


def faulty(harness, at, error):
    """Lets the request with this number fail; returns a function that undoes this."""
    count = iter(range(at + 1))

    def wrapped(method):
        def faulty_method(*args, **more):
            if next(count, None) == at:
                raise error
            return method(*args, **more)

        return faulty_method

    originals = {name: getattr(harness.store, name) for name in ("get", "list", "put", "add", "delete")}
    for name, method in originals.items():
        setattr(harness.store, name, wrapped(method))
    return lambda: [setattr(harness.store, name, method) for name, method in originals.items()]


@pytest.mark.parametrize("at", range(24))
def test_a_sweep_that_dies_at_any_request_and_is_redelivered_has_the_same_result(at):
    harness = drifted(page=12)
    queue, died = [SWEEP_STYLE], 0
    repair = faulty(harness, at, StoreError("key", "503"))
    while queue:
        try:
            run_job(harness.environment, queue[0], PAUSE, repeated=bool(died))
        except StoreError:
            died += 1
            repair()
            harness.queued_jobs.clear()
            continue
        queue = [*queue[1:], *harness.queued_jobs]
        harness.queued_jobs.clear()
    assert died == 1
    check_complete(harness)


DEATHS = ["announcing", "after the head was written, unanswered"]


@pytest.mark.parametrize("death", DEATHS)
def test_a_repeat_announces_the_revision_of_a_sweep_that_died_before_announcing_it(death):
    harness = complete_harness(5)
    harness.upload("new.jpg")
    run_job(harness.environment, SWEEP_STYLE, PAUSE)
    (job,) = harness.queued_jobs
    announce, put = harness.announce, harness.store.put

    def fails(head, file_changes, *, repeated):
        raise AnnouncementFailed("not announced")

    def response_lost(key, body, **more):
        put(key, body, **more)
        harness.seconds_left = seconds(1)
        raise OutcomeUnknown(key, "lost")

    if death == "announcing":
        harness.announce = fails
    else:
        harness.store.put = response_lost
    with pytest.raises((AnnouncementFailed, SweepFailed)):
        run_job(harness.environment, job, PAUSE)
    harness.announce, harness.store.put, harness.seconds_left = announce, put, seconds(900)
    assert (harness.head().revision, harness.announcements) == (2, [])
    run_job(harness.environment, job, PAUSE, repeated=True)
    assert (2, True) in harness.announcements


def test_a_revision_whose_response_was_lost_is_announced_by_the_next_message(monkeypatch):
    """The response to the second chunk is lost, so the next message announces its revision."""
    monkeypatch.setattr("s3_manifest.reconcile.commit.CHUNK", 1)
    harness = complete_harness(3)
    harness.upload("new.jpg", "newer.jpg")
    run_job(harness.environment, SWEEP_STYLE, PAUSE)
    put, writes = harness.store.put, iter(range(9))

    def second_response_lost(key, body, **more):
        put(key, body, **more)
        if next(writes) == 1:
            harness.seconds_left = seconds(1)
            raise OutcomeUnknown(key, "lost")

    harness.store.put = second_response_lost
    run_job(harness.environment, harness.queued_jobs.pop(), PAUSE)
    harness.store.put, harness.seconds_left = put, seconds(900)
    assert (harness.head().revision, harness.announcements) == (3, [(2, False)])
    run_sweep(harness, harness.queued_jobs.pop())
    assert harness.announcements == [(2, False), (3, True)]


def test_without_time_for_one_observation_the_message_is_retried():
    harness = drifted()
    run_job(harness.environment, SWEEP_STYLE, PAUSE)
    (job,) = harness.queued_jobs
    harness.seconds_left = seconds(RESERVE_SECONDS - 1)
    with pytest.raises(SweepFailed, match="time ran out"):
        run_job(harness.environment, job, PAUSE)
    assert len(harness.queued_jobs) == 1


def test_a_key_that_could_not_be_observed_is_retried_at_the_end():
    harness, job = incomplete()
    harness.store.unreadable = {PREFIX + "0001.jpg"}
    harness.store.before_put = harness.store.unreadable.clear
    run_sweep(harness, job)
    check_complete(harness)


def test_a_key_to_observe_again_is_passed_to_the_next_message():
    harness, job = incomplete()
    harness.store.unreadable = {PREFIX + "0001.jpg"}
    harness.seconds_left = seconds(900, 900, 900, PAUSE - 1)
    while not (harness.queued_jobs and harness.queued_jobs[-1].progress.unreadable):
        run_job(harness.environment, harness.queued_jobs.pop() if harness.queued_jobs else job, PAUSE)
    assert harness.queued_jobs[-1].progress.unreadable == (PREFIX + "0001.jpg",)
    harness.store.unreadable = set()
    harness.seconds_left = seconds(900)
    run_sweep(harness, harness.queued_jobs.pop())
    check_complete(harness)


def test_a_sweep_fails_naming_a_key_that_stays_unreadable_and_keeps_its_entry():
    harness = complete_harness(5)
    harness.upload("0001.jpg", body=b"other")
    harness.store.unreadable = {PREFIX + "0001.jpg"}
    harness.now = EVENING
    with pytest.raises(SweepFailed, match=r"1 object .* styles/16/0001\.jpg: not read: 403"):
        run_sweep(harness)
    assert harness.filenames() == names(*range(5))
    assert harness.head().last_verified_at == NOON


def test_a_missing_permission_fails_the_sweep_early():
    harness, job = incomplete(5 * MAX_UNREADABLE)
    harness.store.page_size = MAX_UNREADABLE // 2
    harness.store.unreadable = set(harness.store.objects)
    with pytest.raises(SweepFailed, match="Fix the cause"):
        run_sweep(harness, job)
    assert harness.head().total_files == 1
    assert not harness.head().complete


def test_the_maximum_of_unreadable_objects_does_not_stop_a_sweep():
    harness, job = incomplete(2 * MAX_UNREADABLE)
    harness.store.unreadable = {PREFIX + name for name in names(*range(1, MAX_UNREADABLE + 1))}
    harness.store.before_put = harness.store.unreadable.clear
    run_sweep(harness, job)
    check_complete(harness)


def test_many_differing_keys_are_observed_before_the_listing_continues(monkeypatch):
    monkeypatch.setattr(sweep, "MAX_DIFFERENT", 10)
    monkeypatch.setattr(sweep, "RANGES", 1)
    harness, job = incomplete(100)
    run_sweep(harness, job)
    lists = [at for at, item in enumerate(harness.store.requests) if item.startswith(f"LIST {PREFIX} ")]
    observations = [sum(item.startswith("HEAD") for item in harness.store.requests[a:b]) for a, b in pairwise(lists)]
    # A page is compared once as many keys are listed as four pages may hold.
    assert max(observations) <= 10 + 4 * SMALL_PAGES["MAX_PAGE"] + 4
    assert harness.store.head_keys == [PREFIX + name for name in names(*range(1, 100))]


@pytest.mark.parametrize("deep", ["", "画" * 250, '"\x01' * 300], ids=["short", "long", "escaped"])
def test_keys_that_do_not_fit_into_a_message_are_listed_again(deep, monkeypatch):
    monkeypatch.setattr(sweep, "MAX_PENDING_BYTES", 5000)
    harness = complete_harness(36)
    harness.upload(*(f"{name}{deep}" for name in names(*range(100, 260))))
    for name in names(*range(0, 36, 2)):
        harness.store.remove(PREFIX + name)
    messages = []
    enqueue = harness.enqueue

    def recording(jobs, delay_seconds=0):
        messages.extend(map(encode_job, jobs))
        enqueue(jobs, delay_seconds)

    harness.enqueue = recording
    done = run_sweep(harness)
    check_complete(harness)
    assert drift(done) == (18, 160, 0)
    assert len(messages) > 1 or not deep
    # Besides the pending keys, a message has the name to continue after.
    assert max(map(len, messages)) < 5000 + len(json.dumps(deep)) + 500


def test_a_message_with_many_unreadable_keys_stays_within_the_limit_of_sqs():
    harness = complete_harness(5)
    long = ["画" * 330 + name for name in names(*range(700))]
    harness.upload(*long)
    unreadable = tuple(harness.upload(*("墨" * 330 + name for name in names(*range(MAX_UNREADABLE)))))
    progress = Progress(created_at=harness.head().created_at, started_at=NOON, unreadable=unreadable)
    run_job(harness.environment, SWEEP_STYLE.model_copy(update={"progress": progress}), PAUSE)
    (job,) = harness.queued_jobs
    assert len(encode_job(job)) <= 262_144
