"""The first commit of a collection that held objects before anybody watched it."""

import pytest
from unit.environments import Hand, WatchedStore
from unit.values import COLLECTIONS, NOON, PREFIX, STYLE

from s3_manifest.manifest.collections import parse_collections
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import UnreadableManifest

OURS = Sweep(kind="style", id="16", created_at=NOON)


def test_what_one_listing_names_is_complete_in_one_commit():
    hand = Hand()
    hand.upload("a.jpg", "b.jpg", "collection.json")
    hand.commit(hand.upload("new.jpg"))
    assert hand.filenames() == ["a.jpg", "b.jpg", "new.jpg"]
    assert hand.head().complete
    assert (len(hand.store.written), hand.asked) == (1, [])


def test_an_empty_collection_is_complete_at_once():
    hand = Hand()
    hand.commit([PREFIX + "gone.jpg"])
    assert (hand.filenames(), hand.head().complete, hand.asked) == ([], True, [])


def test_each_entry_says_whether_an_event_or_the_listing_named_it():
    hand = Hand()
    hand.upload("old.jpg")
    hand.commit(hand.upload("new.jpg"))
    assert {entry.filename: entry.source for entry in hand.head().files} == {
        "new.jpg": "s3_event",
        "old.jpg": "s3_scan",
    }


def test_every_key_is_looked_at_once():
    hand = Hand()
    hand.upload("old.jpg")
    hand.commit(hand.upload("new.jpg"))
    assert sorted(hand.store.looks) == [PREFIX + "new.jpg", PREFIX + "old.jpg"]


def test_a_listing_is_no_look():
    """What the listing named may be gone by the time it is looked at, and then it is not there."""
    hand = Hand()
    hand.upload("old.jpg")
    ask, listing = hand.store.list, hand.store.list(PREFIX)
    hand.store.remove(PREFIX + "old.jpg")
    hand.store.list = lambda prefix, **more: listing if prefix == PREFIX else ask(prefix, **more)
    hand.commit(hand.upload("new.jpg"))
    assert hand.filenames() == ["new.jpg"]


def test_more_than_one_listing_names_asks_for_a_sweep_and_is_incomplete():
    hand = Hand(WatchedStore(page=2))
    hand.upload("a.jpg", "b.jpg", "c.jpg")
    hand.commit(hand.upload("new.jpg"))
    assert hand.filenames() == ["new.jpg"]
    assert not hand.head().complete
    assert hand.asked == [OURS]


def test_a_key_that_s3_does_not_tell_about_asks_for_a_sweep_and_is_incomplete():
    hand = Hand()
    hand.upload("odd.jpg", "a.jpg")
    hand.store.unreadable = {PREFIX + "odd.jpg"}
    outcome = hand.commit(hand.upload("new.jpg"))
    assert hand.filenames() == ["a.jpg", "new.jpg"]
    assert not hand.head().complete
    assert (hand.asked, list(outcome.unreadable)) == ([OURS], [PREFIX + "odd.jpg"])


def test_the_sweep_is_asked_for_before_the_head_is_written():
    hand = Hand(WatchedStore(page=1))
    keys = hand.upload("a.jpg", "b.jpg")
    asked_by_then = []
    hand.store.before_put = lambda: asked_by_then.extend(hand.asked)
    hand.commit(keys)
    assert asked_by_then == [OURS]


def test_a_sweep_is_for_the_head_whose_moment_it_names():
    hand = Hand(WatchedStore(page=1))
    hand.commit(hand.upload("a.jpg", "b.jpg"))
    assert hand.asked[0].created_at == hand.head().created_at


def test_two_first_sights_at_once_make_one_manifest_with_both():
    hand = Hand()
    key_of_other = hand.upload("theirs.jpg")
    hand.store.unreadable = set(key_of_other)

    def other_was_first():
        hand.store.before_put = lambda: None
        hand.store.unreadable = set()
        hand.commit(key_of_other)

    hand.store.before_put = other_was_first
    outcome = hand.commit(hand.upload("mine.jpg"))
    assert outcome.conflicts == 1
    assert hand.filenames() == ["mine.jpg", "theirs.jpg"]
    assert hand.head().complete


def test_a_head_is_created_only_where_there_is_none():
    hand = Hand()
    keys = hand.upload("a.jpg")

    def somebody_puts_something_unreadable():
        hand.store.upload(STYLE.head_key, b"{}")

    hand.store.before_put = somebody_puts_something_unreadable
    with pytest.raises(UnreadableManifest):
        hand.commit(keys)
    assert hand.store.objects[STYLE.head_key][1] == b"{}"


def test_what_belongs_to_a_nested_collection_is_not_taken_into_the_outer_one():
    nested = parse_collections("style=styles/{style_id}/, variant=styles/{variant_id}/variants/", COLLECTIONS.root)
    hand = Hand(collections=nested)
    hand.upload("variants/x.jpg", "variantsx/y.jpg")
    hand.commit(hand.upload("new.jpg"), collection=nested.named("style", "16"))
    assert hand.filenames() == ["new.jpg", "variantsx/y.jpg"]
    assert hand.head().complete
