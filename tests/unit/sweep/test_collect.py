from datetime import datetime, timedelta

import pytest
from unit.environments import Harness
from unit.sweeping import clear_records, complete_harness, names
from unit.values import ACTOR, NOON, PREFIX, PUT, STYLE

from s3_manifest.manifest.model import UnreadableManifest, timestamp
from s3_manifest.reconcile.commit import commit
from s3_manifest.reconcile.environment import RESERVE_SECONDS
from s3_manifest.storage import change_log, heads
from s3_manifest.storage.store import OutcomeUnknown
from s3_manifest.sweep.garbage import collect_garbage

HEAD = STYLE.head_key
PAGES, RECORDS, CHECKPOINTS = (f"{STYLE.folder}{part}/" for part in ("pages", "changes", "checkpoints"))
EVERY = 4


@pytest.fixture(autouse=True)
def _small(small_pages, monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", EVERY)


def day(number):
    return timestamp(datetime.fromisoformat(NOON) + timedelta(days=number))


def keys_below(harness, folder):
    return [key for key in sorted(harness.store.objects) if key.startswith(folder)]


def revisions(harness, folder):
    return [int(key.removeprefix(folder)[:12]) for key in keys_below(harness, folder)]


def aged_harness(days, count=36, lost_every=0, **more):
    """A harness with one revision per day; every ``lost_every`` days the first attempt to commit is lost."""
    harness = complete_harness(count, **more)
    for number in range(1, days + 1):
        harness.now = day(number)
        if lost_every and number % lost_every == 0:
            harness.store.before_put = lost_once(harness)
        harness.commit(harness.upload(f"{number * 7 % 36:04}.jpg", body=f"day {number}".encode()))
    clear_records(harness)
    return harness


def lost_once(harness):
    def before_put():
        harness.store.before_put = lambda: None
        raise OutcomeUnknown(HEAD, "lost")

    return before_put


def referenced_pages(harness):
    """The pages that the head and the checkpoints in the bucket refer to."""
    referencing = [
        harness.head(),
        *(heads.decode(STYLE, harness.store.objects[key][1]) for key in keys_below(harness, CHECKPOINTS)),
    ]
    return {page.key for head in referencing for page in head.pages}


def check_readable(harness):
    """Asserts that the head and the retained history can be read."""
    assert referenced_pages(harness) <= set(harness.store.objects)
    names = change_log.parse_names(keys_below(harness, RECORDS))
    retained = [link.revision for link in change_log.follow_chain(names, harness.head())]
    assert retained == list(range(retained[0], harness.head().revision + 1))


def test_only_objects_of_the_head_and_of_the_retained_history_stay():
    harness = aged_harness(60, lost_every=5)
    harness.now = day(62)
    garbage = set(keys_below(harness, STYLE.folder))
    deleted = collect_garbage(harness.environment, STYLE)
    retained = set(keys_below(harness, STYLE.folder))
    assert deleted == len(garbage - retained) == len(harness.store.requests_for("DELETE")) > 60
    assert set(keys_below(harness, PAGES)) == referenced_pages(harness)
    # The record of day n is that of revision n + 1; a record of 30 days ago is retained.
    assert revisions(harness, RECORDS) == list(range(33, 62))
    assert set(revisions(harness, CHECKPOINTS)) == set(range(36, 62, EVERY))
    check_readable(harness)


def test_a_second_garbage_collection_deletes_nothing():
    harness = aged_harness(60, lost_every=5)
    harness.now = day(62)
    collect_garbage(harness.environment, STYLE)
    before = dict(harness.store.objects)
    assert collect_garbage(harness.environment, STYLE) == 0
    assert harness.store.objects == before


@pytest.mark.parametrize("at_once", [1, 7])
@pytest.mark.parametrize("cut", range(0, 120, 5))
def test_an_interrupted_garbage_collection_loses_nothing_and_the_next_one_finishes_it(cut, at_once, monkeypatch):
    monkeypatch.setattr("s3_manifest.sweep.garbage._DELETE_BATCH", at_once)
    harness = aged_harness(40, lost_every=3)
    harness.now = day(42)
    harness.seconds_left = lambda: 900 if len(harness.store.requests_for("DELETE")) < cut else RESERVE_SECONDS - 1
    collect_garbage(harness.environment, STYLE)
    assert len(harness.store.requests_for("DELETE")) <= cut + at_once
    check_readable(harness)
    harness.seconds_left = lambda: 900
    collect_garbage(harness.environment, STYLE)
    check_readable(harness)
    assert set(keys_below(harness, PAGES)) == referenced_pages(harness)


def test_expired_history_is_deleted_oldest_first():
    harness = aged_harness(60)
    harness.now = day(62)
    collect_garbage(harness.environment, STYLE)
    records = harness.store.requests_for("DELETE", RECORDS)
    assert len(records) == 32
    assert records == sorted(records)


@pytest.mark.parametrize(("age", "retained"), [(0, True), (0.99, True), (1.01, False), (29, False)])
def test_objects_of_a_lost_commit_are_deleted_after_a_day(age, retained):
    harness = complete_harness(36)
    before = set(keys_below(harness, STYLE.folder))
    harness.store.before_put = lost_once(harness)
    harness.commit(harness.upload("0003.jpg", body=b"other"))
    lost = {key for key in set(keys_below(harness, STYLE.folder)) - before if harness.head().commit not in key}
    assert [key.rpartition("/")[0].rpartition("/")[2] for key in sorted(lost)] == ["changes", "pages"]
    harness.now = day(age)
    collect_garbage(harness.environment, STYLE)
    assert (lost & set(harness.store.objects)) == (lost if retained else set())
    check_readable(harness)


@pytest.mark.parametrize(("age", "retained"), [(0.5, True), (1.01, False)])
def test_a_replaced_page_without_a_checkpoint_is_garbage_once_it_is_a_day_old(age, retained):
    harness = complete_harness(36)
    (first, *_) = harness.head().pages
    harness.commit(harness.upload("0003.jpg", body=b"other"))
    harness.now = day(age)
    collect_garbage(harness.environment, STYLE)
    assert (first.key in harness.store.objects) == retained


def test_pages_and_records_of_a_commit_in_progress_are_not_deleted():
    harness = aged_harness(40)
    harness.now = day(42)

    def collected_meanwhile():
        harness.store.before_put = lambda: None
        collect_garbage(harness.environment, STYLE)

    harness.store.before_put = collected_meanwhile
    outcome = harness.commit(harness.upload("0003.jpg", body=b"other"))
    assert outcome.conflicts == 0
    assert len(harness.entries()) == 36
    check_readable(harness)


def test_pages_that_a_commit_reuses_during_a_garbage_collection_stay():
    """The head moves on between the listing of the pages and that of the rest."""
    harness = aged_harness(40)
    harness.now = day(42)
    get = harness.store.get

    def moved_on_before(key):
        if key == HEAD and harness.store.get is not get:
            harness.store.get = get
            harness.commit(harness.upload("0003.jpg", body=b"other"))
        return get(key)

    harness.store.get = moved_on_before
    collect_garbage(harness.environment, STYLE)
    check_readable(harness)
    assert len(harness.entries()) == 36


@pytest.mark.parametrize(("history_days", "retained"), [(0, 1), (1, 1), (10, 10), (365, 21)])
def test_history_is_retained_for_the_configured_days_and_at_least_one(history_days, retained):
    harness = aged_harness(20, history_days=history_days)
    harness.now = day(20.5)
    collect_garbage(harness.environment, STYLE)
    assert revisions(harness, RECORDS) == list(range(22 - retained, 22))


@pytest.mark.parametrize("count", [5, 36])
def test_the_record_of_the_present_revision_is_never_deleted(count):
    """A recreated manifest continues from this record with a higher revision."""
    harness = aged_harness(3, count)
    harness.now = day(400)
    collect_garbage(harness.environment, STYLE)
    harness.store.upload(HEAD, b"{")
    harness.commit([], unreadable_etag=harness.store.objects[HEAD][0].etag)
    assert harness.head().revision == 5


def test_without_a_head_nothing_is_deleted():
    harness = aged_harness(40)
    harness.store.remove(HEAD)
    harness.now = day(400)
    before = dict(harness.store.objects)
    assert collect_garbage(harness.environment, STYLE) == 0
    assert harness.store.objects == before


@pytest.mark.parametrize("key", [HEAD, None], ids=["head", "kept checkpoint"])
def test_with_an_unreadable_head_or_checkpoint_nothing_is_deleted(key):
    harness = aged_harness(40)
    harness.now = day(42)
    harness.store.upload(key or keys_below(harness, CHECKPOINTS)[-1], b"{")
    before = dict(harness.store.objects)
    with pytest.raises(UnreadableManifest):
        collect_garbage(harness.environment, STYLE)
    assert harness.store.objects == before


def test_without_time_nothing_is_deleted():
    harness = aged_harness(40)
    harness.now = day(42)
    harness.seconds_left = lambda: RESERVE_SECONDS - 1
    assert collect_garbage(harness.environment, STYLE) == 0
    assert harness.store.requests_for("DELETE") == []


def test_files_and_backups_of_heads_and_other_collections_are_no_garbage():
    harness = aged_harness(40)
    harness.store.upload(f"{STYLE.folder}set-aside/x.json", b"{}")
    commit(harness.environment, ACTOR, {harness.store.upload(ACTOR.prefix + "a.jpg", b"xyz").key: PUT})
    harness.now = day(400)
    collect_garbage(harness.environment, STYLE)
    assert all(key.startswith((PAGES, RECORDS, CHECKPOINTS)) for key in harness.store.requests_for("DELETE"))
    assert all(PREFIX + name in harness.store.objects for name in names(*range(36)))


def test_the_history_of_a_small_manifest_expires_too():
    harness = Harness()
    harness.commit(harness.upload("a.jpg"))
    harness.now = day(40)
    harness.commit(harness.upload("b.jpg"))
    assert collect_garbage(harness.environment, STYLE) == 1
    assert revisions(harness, RECORDS) == [2]
