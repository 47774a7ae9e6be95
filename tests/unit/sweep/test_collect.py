from datetime import datetime, timedelta

import pytest
from unit.environments import Hand
from unit.sweeping import forget, known, names
from unit.values import ACTOR, NOON, PREFIX, PUT, STYLE

from s3_manifest.manifest.model import UnreadableManifest, timestamp
from s3_manifest.reconcile.commit import commit
from s3_manifest.reconcile.environment import RESERVE_SECONDS
from s3_manifest.storage import chain, heads
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


def below(hand, folder):
    return [key for key in sorted(hand.store.objects) if key.startswith(folder)]


def revisions(hand, folder):
    return [int(key.removeprefix(folder)[:12]) for key in below(hand, folder)]


def lived(days, count=36, lost_every=0, **more):
    """A hand whose manifest had a revision on each day; now and then one that was lost came before."""
    hand = known(count, **more)
    for number in range(1, days + 1):
        hand.now = day(number)
        if lost_every and number % lost_every == 0:
            hand.store.before_put = lost_once(hand)
        hand.commit(hand.upload(f"{number * 7 % 36:04}.jpg", body=f"day {number}".encode()))
    forget(hand)
    return hand


def lost_once(hand):
    def before_put():
        hand.store.before_put = lambda: None
        raise OutcomeUnknown(HEAD, "lost")

    return before_put


def referred(hand):
    """The pages that the head and the checkpoints in the bucket refer to."""
    found = [hand.head(), *(heads.decode(STYLE, hand.store.objects[key][1]) for key in below(hand, CHECKPOINTS))]
    return {page.key for head in found for page in head.pages}


def whole(hand):
    """That all is there by which the head, and the history that is kept, can be read."""
    assert referred(hand) <= set(hand.store.objects)
    names = chain.links(below(hand, RECORDS))
    kept = [link.revision for link in chain.on_chain(names, hand.head())]
    assert kept == list(range(kept[0], hand.head().revision + 1))


def test_what_the_head_and_the_kept_history_refer_to_is_kept_and_nothing_else():
    hand = lived(60, lost_every=5)
    hand.now = day(62)
    garbage = set(below(hand, STYLE.folder))
    deleted = collect_garbage(hand.environment, STYLE)
    kept = set(below(hand, STYLE.folder))
    assert deleted == len(garbage - kept) == len(hand.store.asked_for("DELETE")) > 60
    assert set(below(hand, PAGES)) == referred(hand)
    # The record of day n is that of revision n + 1; what is written 30 days ago is kept.
    assert revisions(hand, RECORDS) == list(range(33, 62))
    assert set(revisions(hand, CHECKPOINTS)) == set(range(36, 62, EVERY))
    whole(hand)


def test_a_second_collection_finds_nothing_more():
    hand = lived(60, lost_every=5)
    hand.now = day(62)
    collect_garbage(hand.environment, STYLE)
    before = dict(hand.store.objects)
    assert collect_garbage(hand.environment, STYLE) == 0
    assert hand.store.objects == before


@pytest.mark.parametrize("at_once", [1, 7])
@pytest.mark.parametrize("cut", range(0, 120, 5))
def test_a_collection_that_is_cut_at_any_delete_loses_nothing_and_is_made_up_for(cut, at_once, monkeypatch):
    monkeypatch.setattr("s3_manifest.sweep.garbage._DELETE_BATCH", at_once)
    hand = lived(40, lost_every=3)
    hand.now = day(42)
    hand.seconds_left = lambda: 900 if len(hand.store.asked_for("DELETE")) < cut else RESERVE_SECONDS - 1
    collect_garbage(hand.environment, STYLE)
    assert len(hand.store.asked_for("DELETE")) <= cut + at_once
    whole(hand)
    hand.seconds_left = lambda: 900
    collect_garbage(hand.environment, STYLE)
    whole(hand)
    assert set(below(hand, PAGES)) == referred(hand)


def test_expired_history_is_deleted_oldest_first():
    hand = lived(60)
    hand.now = day(62)
    collect_garbage(hand.environment, STYLE)
    records = hand.store.asked_for("DELETE", RECORDS)
    assert len(records) == 32
    assert records == sorted(records)


@pytest.mark.parametrize(("age", "kept"), [(0, True), (0.99, True), (1.01, False), (29, False)])
def test_a_lost_commit_leaves_nothing_behind_but_for_a_day(age, kept):
    hand = known(36)
    before = set(below(hand, STYLE.folder))
    hand.store.before_put = lost_once(hand)
    hand.commit(hand.upload("0003.jpg", body=b"other"))
    lost = {key for key in set(below(hand, STYLE.folder)) - before if hand.head().commit not in key}
    assert [key.rpartition("/")[0].rpartition("/")[2] for key in sorted(lost)] == ["changes", "pages"]
    hand.now = day(age)
    collect_garbage(hand.environment, STYLE)
    assert (lost & set(hand.store.objects)) == (lost if kept else set())
    whole(hand)


@pytest.mark.parametrize(("age", "kept"), [(0.5, True), (1.01, False)])
def test_a_replaced_page_without_a_checkpoint_is_garbage_once_it_is_a_day_old(age, kept):
    hand = known(36)
    (first, *_) = hand.head().pages
    hand.commit(hand.upload("0003.jpg", body=b"other"))
    hand.now = day(age)
    collect_garbage(hand.environment, STYLE)
    assert (first.key in hand.store.objects) == kept


def test_pages_and_records_of_a_commit_that_is_being_made_are_left_to_it():
    hand = lived(40)
    hand.now = day(42)

    def collected_meanwhile():
        hand.store.before_put = lambda: None
        collect_garbage(hand.environment, STYLE)

    hand.store.before_put = collected_meanwhile
    outcome = hand.commit(hand.upload("0003.jpg", body=b"other"))
    assert outcome.conflicts == 0
    assert len(hand.entries()) == 36
    whole(hand)


def test_pages_that_a_commit_takes_over_while_it_is_collected_are_kept():
    """The head moves on between the listing of the pages and that of the rest."""
    hand = lived(40)
    hand.now = day(42)
    get = hand.store.get

    def moved_on_before(key):
        if key == HEAD and hand.store.get is not get:
            hand.store.get = get
            hand.commit(hand.upload("0003.jpg", body=b"other"))
        return get(key)

    hand.store.get = moved_on_before
    collect_garbage(hand.environment, STYLE)
    whole(hand)
    assert len(hand.entries()) == 36


@pytest.mark.parametrize(("history_days", "kept"), [(0, 1), (1, 1), (10, 10), (365, 21)])
def test_history_is_kept_for_the_days_it_is_to_be_and_never_for_less_than_one(history_days, kept):
    hand = lived(20, history_days=history_days)
    hand.now = day(20.5)
    collect_garbage(hand.environment, STYLE)
    assert revisions(hand, RECORDS) == list(range(22 - kept, 22))


@pytest.mark.parametrize("count", [5, 36])
def test_the_record_of_the_present_revision_is_kept_however_old_it_is(count):
    """By it a manifest that is made anew goes on with a higher revision, not with one that was there before."""
    hand = lived(3, count)
    hand.now = day(400)
    collect_garbage(hand.environment, STYLE)
    hand.store.upload(HEAD, b"{")
    hand.commit([], unreadable_etag=hand.store.objects[HEAD][0].etag)
    assert hand.head().revision == 5


def test_where_there_is_no_head_nothing_is_deleted():
    hand = lived(40)
    hand.store.remove(HEAD)
    hand.now = day(400)
    before = dict(hand.store.objects)
    assert collect_garbage(hand.environment, STYLE) == 0
    assert hand.store.objects == before


@pytest.mark.parametrize("key", [HEAD, None], ids=["head", "kept checkpoint"])
def test_where_the_head_or_a_kept_checkpoint_is_unreadable_nothing_is_deleted(key):
    hand = lived(40)
    hand.now = day(42)
    hand.store.upload(key or below(hand, CHECKPOINTS)[-1], b"{")
    before = dict(hand.store.objects)
    with pytest.raises(UnreadableManifest):
        collect_garbage(hand.environment, STYLE)
    assert hand.store.objects == before


def test_without_time_nothing_is_deleted():
    hand = lived(40)
    hand.now = day(42)
    hand.seconds_left = lambda: RESERVE_SECONDS - 1
    assert collect_garbage(hand.environment, STYLE) == 0
    assert hand.store.asked_for("DELETE") == []


def test_the_files_and_what_is_set_aside_and_other_collections_are_no_garbage():
    hand = lived(40)
    hand.store.upload(f"{STYLE.folder}set-aside/x.json", b"{}")
    commit(hand.environment, ACTOR, {hand.store.upload(ACTOR.prefix + "a.jpg", b"xyz").key: PUT})
    hand.now = day(400)
    collect_garbage(hand.environment, STYLE)
    assert all(key.startswith((PAGES, RECORDS, CHECKPOINTS)) for key in hand.store.asked_for("DELETE"))
    assert all(PREFIX + name in hand.store.objects for name in names(*range(36)))


def test_a_small_manifest_has_its_history_collected_too():
    hand = Hand()
    hand.commit(hand.upload("a.jpg"))
    hand.now = day(40)
    hand.commit(hand.upload("b.jpg"))
    assert collect_garbage(hand.environment, STYLE) == 1
    assert revisions(hand, RECORDS) == [2]
