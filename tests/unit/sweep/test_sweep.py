import pytest
from unit.environments import Hand, WatchedStore
from unit.sweeping import PAUSE, SWEEP_STYLE, drift, forget, known, names, swept, told, truth
from unit.values import COLLECTIONS, EVENING, MORNING, NOON, PREFIX, STYLE

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
NESTED = parse_collections("style=styles/{style_id}/, draft=styles/16/{draft_id}/", COLLECTIONS.root)


def lost(hand, *filenames):
    for name in filenames:
        hand.store.remove(PREFIX + name)


def other(hand, *filenames):
    hand.upload(*filenames, body=b"other")


# What happened without an event, and the drift that a sweep has to find: missing, unexpected, modified.
HAPPENED = {
    "nothing": (lambda hand: None, (0, 0, 0)),
    "a file more": (lambda hand: hand.upload("0003a.jpg"), (0, 1, 0)),
    "a file before all": (lambda hand: hand.upload("!.jpg"), (0, 1, 0)),
    "a file after all": (lambda hand: hand.upload("\U0010ffff"), (0, 1, 0)),
    "a file between two pages": (lambda hand: hand.upload("0005a.jpg"), (0, 1, 0)),
    "a file in a folder": (lambda hand: hand.upload("0004/", body=b"") and hand.upload("0004/a.jpg"), (0, 1, 0)),
    "many files more": (lambda hand: hand.upload(*(f"0004-{n:03}" for n in range(50))), (0, 50, 0)),
    "a file that is empty": (lambda hand: hand.upload("0002empty", body=b""), (0, 1, 0)),
    "only a folder": (lambda hand: hand.upload("0004/", "folder/", body=b""), (0, 0, 0)),
    "a sidecar": (lambda hand: hand.upload("collection.json", body=b'{"title": "Snow"}'), (0, 0, 0)),
}
HAPPENED_TO_FILES = {
    "a file gone": (lambda hand: lost(hand, "0003.jpg"), (1, 0, 0)),
    "the first file gone": (lambda hand: lost(hand, "0000.jpg"), (1, 0, 0)),
    "a file replaced": (lambda hand: other(hand, "0004.jpg"), (0, 0, 1)),
    "a file cooled": (lambda hand: hand.upload("0004.jpg", storage_class="GLACIER"), (0, 0, 1)),
    "a file moved": (lambda hand: (lost(hand, "0002.jpg"), hand.upload("0002b.jpg")), (1, 1, 0)),
    "two files swapped": (lambda hand: (other(hand, "0001.jpg"), other(hand, "0002.jpg")), (0, 0, 2)),
    "some of everything": (
        lambda hand: (lost(hand, "0000.jpg"), other(hand, "0001.jpg", "0002.jpg"), hand.upload("x", "y", "z")),
        (1, 3, 2),
    ),
}
HAPPENED_TO_MANY = {
    "a page gone": (lambda hand: lost(hand, *names(*range(6, 12))), (6, 0, 0)),
    "all gone": (lambda hand: lost(hand, *names(*range(36))), (36, 0, 0)),
    "all replaced": (lambda hand: other(hand, *names(*range(36))), (0, 0, 36)),
    "every other gone": (lambda hand: lost(hand, *names(*range(0, 36, 2))), (18, 0, 0)),
    "the last page gone, and more": (
        lambda hand: (lost(hand, *names(*range(30, 36))), hand.upload("0030a", "z")),
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
WAYS = {"at once": (1000, 8, 64), "three at a time": (3, 2, 2), "one by one": (1, 1, 1)}


@pytest.mark.parametrize(("listing", "ranges", "slots"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("count", "happened"), CASES, ids=IDS)
def test_whatever_happened_without_an_event_is_found_and_mended(count, happened, listing, ranges, slots, monkeypatch):
    monkeypatch.setattr(sweep, "RANGES", ranges)
    for bound in ("MIN_PAGES", "MAX_PAGES"):
        monkeypatch.setattr(sweep, bound, slots)
    (happen, expected) = happened
    hand = known(count)
    hand.store.page = listing
    happen(hand)
    hand.now = EVENING
    done = swept(hand)
    assert told(hand) == truth(hand)
    assert drift(done) == expected
    assert (hand.head().last_verified_at, hand.head().complete, done[-1].finished) == (EVENING, True, True)
    assert bool(hand.head().title) == (PREFIX + "collection.json" in hand.store.objects)
    forget(hand)
    assert drift(swept(hand)) == (0, 0, 0)
    assert hand.store.looks == []


@pytest.mark.parametrize("count", [0, 5, 36])
def test_where_nothing_differs_the_manifest_is_read_and_no_object_is_looked_at(count):
    hand = known(count)
    (done,) = swept(hand)
    assert set(hand.store.asked_for("GET")) == {HEAD, *(page.key for page in hand.head().pages)}
    assert (hand.store.looks, hand.delays, done.collected) == ([], [], 0)
    assert done.progress.listed == count
    assert hand.head().revision == 1


def test_each_page_is_read_once():
    hand = known(36)
    pages = [page.key for page in hand.head().pages]
    hand.upload("0007.jpg", body=b"other")
    hand.store.requests.clear()
    run_job(hand.environment, SWEEP_STYLE, PAUSE)
    assert hand.store.asked_for("GET", f"{STYLE.folder}pages/") == pages


def test_what_differs_is_looked_at_when_events_on_their_way_have_arrived_and_what_they_told_is_no_drift():
    hand = known(5)
    keys = hand.upload("0001.jpg", "0002.jpg", body=b"other")
    first = run_job(hand.environment, SWEEP_STYLE, PAUSE)
    assert (first.finished, first.enqueued, hand.delays, hand.store.looks) == (False, 1, [RECHECK_SECONDS], [])
    assert hand.asked[0].progress.looks == tuple(keys)
    hand.commit(keys[:1])
    hand.store.looks.clear()
    (job,) = hand.asked
    hand.asked.clear()
    second = run_job(hand.environment, job, PAUSE)
    assert hand.store.looks == keys
    assert (second.modified, second.finished) == (1, True)


def test_of_a_manifest_that_is_not_complete_what_is_missing_is_looked_at_at_once_and_is_no_drift():
    hand = Hand(WatchedStore(page=2))
    hand.commit(hand.upload(*names(*range(20)))[:1])
    assert not hand.head().complete
    (job,) = hand.asked
    forget(hand)
    done = swept(hand, job)
    assert (len(done), hand.delays, drift(done)) == (1, [], (0, 0, 0))
    assert (hand.head().complete, hand.head().last_verified_at) == (True, NOON)
    assert hand.filenames() == names(*range(20))


def test_the_manifest_is_complete_only_with_the_last_commit():
    hand = Hand(WatchedStore(page=2))
    hand.commit(hand.upload(*names(*range(6)))[:1])
    (job,) = hand.asked
    forget(hand)
    swept(hand, job)
    assert [head.complete for head in hand.store.written] == [False] * (len(hand.store.written) - 1) + [True]


def test_a_manifest_is_verified_as_of_the_time_its_sweep_began():
    hand = known(5)
    hand.upload("new.jpg")
    hand.now = EVENING
    later = "2026-03-01T23:00:00.000Z"
    run_job(hand.environment, SWEEP_STYLE, PAUSE)
    hand.now = later
    swept(hand, hand.asked.pop())
    assert (hand.head().last_verified_at, hand.head().last_synced) == (EVENING, later)


def test_what_a_sweep_alters_is_said_to_be_because_of_it():
    hand = known(36)
    hand.upload("0007.jpg", body=b"other")
    hand.upload("new.jpg")
    hand.store.remove(PREFIX + "0000.jpg")
    swept(hand)
    (key,) = hand.store.asked_for("ADD", f"{STYLE.folder}changes/")
    alterations = list(decode_record(hand.store.objects[key][1]).alterations())
    assert {item.cause for item in alterations} == {SWEEP}
    assert [(item.filename, item.after and item.after.source) for item in alterations] == [
        ("new.jpg", "s3_scan"),
        ("0007.jpg", "s3_scan"),
        ("0000.jpg", None),
    ]


def test_a_sweep_brings_nothing_back_that_goes_after_it_was_listed():
    hand = known(5)
    hand.upload("new.jpg")
    run_job(hand.environment, SWEEP_STYLE, PAUSE)
    hand.store.remove(PREFIX + "new.jpg")
    done = swept(hand, hand.asked.pop())
    assert (hand.filenames(), drift(done), done[-1].finished) == (names(*range(5)), (0, 0, 0), True)


@pytest.mark.parametrize("count", [5, 36])
def test_what_belongs_to_a_nested_collection_is_left_to_it(count):
    hand = known(count, collections=NESTED)
    hand.upload("0003x/a.jpg", "0004x/b.jpg", "z/c.jpg", "top.jpg")
    hand.upload("z/", body=b"")
    done = swept(hand)
    assert hand.filenames() == [*names(*range(count)), "top.jpg"]
    assert drift(done) == (0, 1, 0)


def test_the_first_sweep_of_what_nobody_saw_yet_makes_its_manifest():
    hand = Hand()
    hand.upload("a.jpg", "b.jpg")
    (done,) = swept(hand)
    assert (hand.filenames(), hand.head().complete, done.finished) == (["a.jpg", "b.jpg"], True, True)
    assert hand.announced == [(1, False)]


def test_the_first_sweep_of_more_than_a_listing_names_leads_to_a_complete_manifest():
    hand = Hand(WatchedStore(page=3))
    hand.upload(*names(*range(20)))
    swept(hand)
    assert (hand.filenames(), hand.head().complete) == (names(*range(20)), True)


@pytest.mark.parametrize("left_over", [[], ["x/a.jpg"]], ids=["nothing", "only what is a nested collection's"])
def test_of_an_empty_collection_without_a_manifest_none_is_made(left_over):
    hand = Hand(collections=NESTED)
    hand.upload(*left_over)
    (done,) = swept(hand)
    assert (done.finished, HEAD in hand.store.objects) == (True, False)


@pytest.mark.parametrize("names", [{"kind": "gone"}, {"id": "a/b"}, {"id": ""}])
def test_a_job_for_what_is_no_collection_any_more_does_nothing(names):
    hand = known(5)
    assert run_job(hand.environment, SWEEP_STYLE.model_copy(update=names), PAUSE) == SweepResult(finished=True)
    assert hand.store.requests == []


def test_a_job_for_an_earlier_manifest_of_the_collection_does_nothing():
    hand = known(5)
    before = hand.head()
    hand.upload("new.jpg")
    progress = Progress(created_at=MORNING, started_at=MORNING, looks=(PREFIX + "new.jpg",))
    for job in (
        SWEEP_STYLE.model_copy(update={"created_at": EVENING}),
        SWEEP_STYLE.model_copy(update={"progress": progress}),
        SWEEP_STYLE.model_copy(
            update={"progress": progress.model_copy(update={"finished_listing": True, "looks": ()})}
        ),
    ):
        (done,) = swept(hand, job)
        assert (done.finished, done.commit_results) == (True, [])
    assert hand.head() == before


def test_a_manifest_that_is_unreadable_is_never_overwritten():
    hand = known(5)
    hand.store.upload(HEAD, b'{"schema": 2}')
    with pytest.raises(UnreadableManifest):
        swept(hand)
    assert hand.store.objects[HEAD][1] == b'{"schema": 2}'
