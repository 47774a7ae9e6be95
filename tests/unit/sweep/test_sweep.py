import pytest
from unit.environments import Harness, RecordingStore
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
from unit.values import BUCKET, COLLECTIONS, EVENING, MORNING, NOON, PREFIX, STYLE

from s3_manifest.manifest.changes import decode_record
from s3_manifest.manifest.collections import parse_collections
from s3_manifest.manifest.jobs import Progress
from s3_manifest.manifest.model import SWEEP, UnreadableManifest
from s3_manifest.sweep import sweep
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepResult
from s3_manifest.sweep.sweep import RECHECK_SECONDS

pytestmark = pytest.mark.usefixtures("small_pages")

HEAD = STYLE.head_key
NESTED = parse_collections("style=styles/{style_id}/, draft=styles/16/{draft_id}/", COLLECTIONS.root, BUCKET)


def lost(harness, *filenames):
    for name in filenames:
        harness.store.remove(PREFIX + name)


def other(harness, *filenames):
    harness.upload(*filenames, body=b"other")


# What happened without an event, and the drift that a sweep has to find: missing, unexpected, modified.
HAPPENED = {
    "nothing": (lambda harness: None, (0, 0, 0)),
    "a file more": (lambda harness: harness.upload("0003a.jpg"), (0, 1, 0)),
    "a file before all": (lambda harness: harness.upload("!.jpg"), (0, 1, 0)),
    "a file after all": (lambda harness: harness.upload("\U0010ffff"), (0, 1, 0)),
    "a file between two pages": (lambda harness: harness.upload("0005a.jpg"), (0, 1, 0)),
    "a file in a folder": (
        lambda harness: harness.upload("0004/", body=b"") and harness.upload("0004/a.jpg"),
        (0, 1, 0),
    ),
    "many files more": (lambda harness: harness.upload(*(f"0004-{n:03}" for n in range(50))), (0, 50, 0)),
    "a file that is empty": (lambda harness: harness.upload("0002empty", body=b""), (0, 1, 0)),
    "only a folder": (lambda harness: harness.upload("0004/", "folder/", body=b""), (0, 0, 0)),
    "a sidecar": (lambda harness: harness.upload("collection.json", body=b'{"title": "Snow"}'), (0, 0, 0)),
}
HAPPENED_TO_FILES = {
    "a file gone": (lambda harness: lost(harness, "0003.jpg"), (1, 0, 0)),
    "the first file gone": (lambda harness: lost(harness, "0000.jpg"), (1, 0, 0)),
    "a file replaced": (lambda harness: other(harness, "0004.jpg"), (0, 0, 1)),
    "a file cooled": (lambda harness: harness.upload("0004.jpg", storage_class="GLACIER"), (0, 0, 1)),
    "a file moved": (lambda harness: (lost(harness, "0002.jpg"), harness.upload("0002b.jpg")), (1, 1, 0)),
    "two files swapped": (lambda harness: (other(harness, "0001.jpg"), other(harness, "0002.jpg")), (0, 0, 2)),
    "some of everything": (
        lambda harness: (
            lost(harness, "0000.jpg"),
            other(harness, "0001.jpg", "0002.jpg"),
            harness.upload("x", "y", "z"),
        ),
        (1, 3, 2),
    ),
}
HAPPENED_TO_MANY = {
    "a page gone": (lambda harness: lost(harness, *names(*range(6, 12))), (6, 0, 0)),
    "all gone": (lambda harness: lost(harness, *names(*range(36))), (36, 0, 0)),
    "all replaced": (lambda harness: other(harness, *names(*range(36))), (0, 0, 36)),
    "every other gone": (lambda harness: lost(harness, *names(*range(0, 36, 2))), (18, 0, 0)),
    "the last page gone, and more": (
        lambda harness: (lost(harness, *names(*range(30, 36))), harness.upload("0030a", "z")),
        (6, 2, 0),
    ),
}
CASES = [
    *((count, what) for count in (0, 5, 36) for what in HAPPENED.values()),
    *((count, what) for count in (5, 36) for what in HAPPENED_TO_FILES.values()),
    *((36, what) for what in HAPPENED_TO_MANY.values()),
]
IDS = [
    *(f"{count} files, {what}" for count in (0, 5, 36) for what in HAPPENED),
    *(f"{count} files, {what}" for count in (5, 36) for what in HAPPENED_TO_FILES),
    *(f"36 files, {what}" for what in HAPPENED_TO_MANY),
]
PACES = {"together": (1000, 8, 64), "three at a time": (3, 2, 2), "one by one": (1, 1, 1)}


@pytest.mark.parametrize(("listing", "ranges", "slots"), PACES.values(), ids=PACES)
@pytest.mark.parametrize(("count", "happened"), CASES, ids=IDS)
def test_changes_without_an_event_are_found_and_repaired(count, happened, listing, ranges, slots, monkeypatch):
    monkeypatch.setattr(sweep, "RANGES", ranges)
    for bound in ("MIN_PAGES", "MAX_PAGES"):
        monkeypatch.setattr(sweep, bound, slots)
    (happen, expected) = happened
    harness = complete_harness(count)
    harness.store.page_size = listing
    happen(harness)
    harness.now = EVENING
    done = run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert drift(done) == expected
    assert (harness.head().last_verified_at, harness.head().complete, done[-1].finished) == (EVENING, True, True)
    assert bool(harness.head().title) == (PREFIX + "collection.json" in harness.store.objects)
    clear_records(harness)
    assert drift(run_sweep(harness)) == (0, 0, 0)
    assert harness.store.head_keys == []


@pytest.mark.parametrize("count", [0, 5, 36])
def test_without_a_difference_the_manifest_is_read_and_no_object_is_observed(count):
    harness = complete_harness(count)
    (done,) = run_sweep(harness)
    assert set(harness.store.requests_for("GET")) == {HEAD, *(page.key for page in harness.head().pages)}
    assert (harness.store.head_keys, harness.queue_delays, done.collected) == ([], [], 0)
    assert done.progress.listed == count
    assert harness.head().revision == 1


def test_each_page_is_read_once():
    harness = complete_harness(36)
    pages = [page.key for page in harness.head().pages]
    harness.upload("0007.jpg", body=b"other")
    harness.store.requests.clear()
    run_job(harness.environment, SWEEP_STYLE, PAUSE)
    assert harness.store.requests_for("GET", f"{STYLE.folder}pages/") == pages


def test_differences_are_observed_after_pending_events_and_a_change_with_an_event_is_no_drift():
    harness = complete_harness(5)
    keys = harness.upload("0001.jpg", "0002.jpg", body=b"other")
    first = run_job(harness.environment, SWEEP_STYLE, PAUSE)
    assert (first.finished, first.enqueued, harness.queue_delays, harness.store.head_keys) == (
        False,
        1,
        [RECHECK_SECONDS],
        [],
    )
    assert harness.queued_jobs[0].progress.looks == tuple(keys)
    harness.commit(keys[:1])
    harness.store.head_keys.clear()
    (job,) = harness.queued_jobs
    harness.queued_jobs.clear()
    second = run_job(harness.environment, job, PAUSE)
    assert harness.store.head_keys == keys
    assert (second.modified, second.finished) == (1, True)


def test_missing_files_of_an_incomplete_manifest_are_observed_immediately_and_are_no_drift():
    harness = Harness(RecordingStore(page_size=2))
    harness.commit(harness.upload(*names(*range(20)))[:1])
    assert not harness.head().complete
    (job,) = harness.queued_jobs
    clear_records(harness)
    done = run_sweep(harness, job)
    assert (len(done), harness.queue_delays, drift(done)) == (1, [], (0, 0, 0))
    assert (harness.head().complete, harness.head().last_verified_at) == (True, NOON)
    assert harness.filenames() == names(*range(20))


def test_the_manifest_is_complete_only_with_the_last_commit():
    harness = Harness(RecordingStore(page_size=2))
    harness.commit(harness.upload(*names(*range(6)))[:1])
    (job,) = harness.queued_jobs
    clear_records(harness)
    run_sweep(harness, job)
    assert [head.complete for head in harness.store.written_heads] == [False] * (
        len(harness.store.written_heads) - 1
    ) + [True]


def test_a_manifest_is_verified_as_of_the_time_its_sweep_began():
    harness = complete_harness(5)
    harness.upload("new.jpg")
    harness.now = EVENING
    later = "2026-03-01T23:00:00.000Z"
    run_job(harness.environment, SWEEP_STYLE, PAUSE)
    harness.now = later
    run_sweep(harness, harness.queued_jobs.pop())
    assert (harness.head().last_verified_at, harness.head().last_synced) == (EVENING, later)


def test_a_change_by_a_sweep_has_the_sweep_as_its_cause():
    harness = complete_harness(36)
    harness.upload("0007.jpg", body=b"other")
    harness.upload("new.jpg")
    harness.store.remove(PREFIX + "0000.jpg")
    run_sweep(harness)
    (key,) = harness.store.requests_for("ADD", f"{STYLE.folder}changes/")
    file_changes = list(decode_record(harness.store.objects[key][1]).file_changes())
    assert {item.cause for item in file_changes} == {SWEEP}
    assert [(item.filename, item.after and item.after.source) for item in file_changes] == [
        ("new.jpg", "s3_event"),
        ("0007.jpg", "s3_event"),
        ("0000.jpg", None),
    ]


def test_a_sweep_does_not_restore_a_file_deleted_after_it_was_listed():
    harness = complete_harness(5)
    harness.upload("new.jpg")
    run_job(harness.environment, SWEEP_STYLE, PAUSE)
    harness.store.remove(PREFIX + "new.jpg")
    done = run_sweep(harness, harness.queued_jobs.pop())
    assert (harness.filenames(), drift(done), done[-1].finished) == (names(*range(5)), (0, 0, 0), True)


@pytest.mark.parametrize("count", [5, 36])
def test_a_sweep_ignores_files_of_a_nested_collection(count):
    harness = complete_harness(count, collections=NESTED)
    harness.upload("0003x/a.jpg", "0004x/b.jpg", "z/c.jpg", "top.jpg")
    harness.upload("z/", body=b"")
    done = run_sweep(harness)
    assert harness.filenames() == [*names(*range(count)), "top.jpg"]
    assert drift(done) == (0, 1, 0)


def test_the_first_sweep_of_a_collection_creates_its_manifest():
    harness = Harness()
    harness.upload("a.jpg", "b.jpg")
    (done,) = run_sweep(harness)
    assert (harness.filenames(), harness.head().complete, done.finished) == (["a.jpg", "b.jpg"], True, True)
    assert harness.announcements == [(1, False)]


def test_the_first_sweep_of_several_listings_creates_a_complete_manifest():
    harness = Harness(RecordingStore(page_size=3))
    harness.upload(*names(*range(20)))
    run_sweep(harness)
    assert (harness.filenames(), harness.head().complete) == (names(*range(20)), True)


@pytest.mark.parametrize("left_over", [[], ["x/a.jpg"]], ids=["nothing", "only what is a nested collection's"])
def test_a_sweep_of_an_empty_collection_creates_no_manifest(left_over):
    harness = Harness(collections=NESTED)
    harness.upload(*left_over)
    (done,) = run_sweep(harness)
    assert (done.finished, HEAD in harness.store.objects) == (True, False)


@pytest.mark.parametrize("names", [{"kind": "gone"}, {"id": "a/b"}, {"id": ""}])
def test_a_job_for_an_impossible_collection_does_nothing(names):
    harness = complete_harness(5)
    assert run_job(harness.environment, SWEEP_STYLE.model_copy(update=names), PAUSE) == SweepResult(finished=True)
    assert harness.store.requests == []


def test_a_job_for_an_earlier_manifest_of_the_collection_does_nothing():
    harness = complete_harness(5)
    before = harness.head()
    harness.upload("new.jpg")
    progress = Progress(created_at=MORNING, started_at=MORNING, looks=(PREFIX + "new.jpg",))
    for job in (
        SWEEP_STYLE.model_copy(update={"created_at": EVENING}),
        SWEEP_STYLE.model_copy(update={"progress": progress}),
        SWEEP_STYLE.model_copy(
            update={"progress": progress.model_copy(update={"finished_listing": True, "looks": ()})}
        ),
    ):
        (done,) = run_sweep(harness, job)
        assert (done.finished, done.commit_results) == (True, [])
    assert harness.head() == before


def test_a_manifest_that_is_unreadable_is_never_overwritten():
    harness = complete_harness(5)
    harness.store.upload(HEAD, b'{"schema": 2}')
    with pytest.raises(UnreadableManifest):
        run_sweep(harness)
    assert harness.store.objects[HEAD][1] == b'{"schema": 2}'
