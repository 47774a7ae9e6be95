import pytest
from unit.values import EVENING, NOON, PREFIX, STYLE
from unit.worlds import Hand, WatchedStore, seconds

from s3_manifest.backfill import MAX_UNREADABLE, BackfillFailed, Progress, backfill
from s3_manifest.commit import commit
from s3_manifest.model import UnreadableHead
from s3_manifest.world import Backfill

PAUSE = 30.0
REQUEST = Backfill(kind="style", id="16", created_at=NOON)
DONE_ALREADY = Progress(0, finished=True)


def first_seen(*filenames, page=2, **facts):
    """A manifest that knows of ``new.jpg`` only, of a collection that holds these files too."""
    hand = Hand(WatchedStore(page=2))
    hand.upload(*filenames, **facts)
    commit(hand.world, STYLE, hand.upload("new.jpg"), "s3_event")
    assert hand.asked == [REQUEST]
    hand.store.page = page
    hand.asked.clear()
    hand.store.looks.clear()
    hand.store.requests.clear()
    return hand


def filled(hand, request=REQUEST):
    return backfill(hand.world, request, PAUSE)


def test_everything_in_the_collection_comes_into_the_manifest():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert filled(hand) == Progress(5, finished=True)
    assert hand.filenames() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "new.jpg"]
    assert hand.head().complete
    assert hand.asked == []


def test_the_manifest_is_complete_only_with_the_last_commit():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    filled(hand)
    assert [head.complete for head in hand.store.written] == [False, False, False, True]


def test_what_came_by_a_listing_says_so_and_what_came_by_an_event_still_does():
    hand = first_seen("a.jpg", "b.jpg")
    filled(hand)
    assert [entry.source for entry in hand.head().files] == ["s3_scan", "s3_scan", "s3_event"]


def test_a_backfill_resumes_after_the_place_it_names():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg")
    filled(hand, REQUEST.model_copy(update={"after": PREFIX + "b.jpg"}))
    assert hand.filenames() == ["c.jpg", "new.jpg"]
    assert PREFIX + "a.jpg" not in hand.store.looks
    assert hand.head().complete


def test_with_little_time_left_it_asks_for_its_own_continuation():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    hand.seconds_left = seconds(900, PAUSE - 1)
    assert filled(hand) == Progress(2, finished=False)
    assert hand.asked == [REQUEST.model_copy(update={"after": PREFIX + "b.jpg"})]
    assert not hand.head().complete


def test_a_chain_of_continuations_does_all_of_it_and_nothing_twice():
    hand = first_seen(*(f"{n}.jpg" for n in range(9)))
    request, parts = REQUEST, 0
    while request:
        hand.seconds_left = seconds(900, PAUSE - 1)
        filled(hand, request)
        request, parts = (hand.asked.pop() if hand.asked else None), parts + 1
    assert parts == 5
    assert len(hand.filenames()) == 10
    assert len(hand.store.looks) == len(set(hand.store.looks)) == 10
    assert hand.head().complete


def test_a_repeat_does_nothing():
    hand = first_seen("a.jpg", "b.jpg")
    filled(hand)
    before = hand.head()
    assert filled(hand) == DONE_ALREADY
    assert hand.head() == before


def test_a_request_for_an_earlier_manifest_of_the_collection_does_nothing():
    hand = first_seen("a.jpg", "b.jpg")
    assert filled(hand, REQUEST.model_copy(update={"created_at": EVENING})) == DONE_ALREADY
    assert hand.filenames() == ["new.jpg"]
    assert not hand.head().complete


@pytest.mark.parametrize("names", [{"kind": "gone"}, {"id": "a/b"}, {"id": ""}])
def test_a_request_for_what_is_no_collection_any_more_does_nothing(names):
    hand = first_seen("a.jpg", "b.jpg")
    assert filled(hand, REQUEST.model_copy(update=names)) == DONE_ALREADY
    assert hand.store.requests == []


def test_a_head_that_is_not_there_yet_is_waited_for():
    with pytest.raises(BackfillFailed, match="not there yet"):
        filled(Hand())


def test_an_unreadable_head_is_never_overwritten():
    hand = first_seen("a.jpg", "b.jpg")
    hand.store.upload(STYLE.head_key, b'{"schema": 2}')
    with pytest.raises(UnreadableHead):
        filled(hand)
    assert hand.store.objects[STYLE.head_key][1] == b'{"schema": 2}'


def test_a_head_made_anew_meanwhile_is_not_called_complete():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg")
    listings = hand.store.list

    def made_anew_before_the_last(prefix, *, after="", limit=1000):
        if after:
            hand.store.list = listings
            hand.store.remove(STYLE.head_key)
            hand.now = EVENING
            commit(hand.world, STYLE, [], "s3_event")
            return listings(prefix, after=after, limit=limit)
        return listings(prefix, after=after, limit=limit)

    hand.store.list = made_anew_before_the_last
    filled(hand)
    assert hand.head().created_at == EVENING
    assert not hand.head().complete


def test_an_object_that_is_removed_during_the_backfill_is_not_brought_back():
    hand = first_seen("a.jpg", "b.jpg")
    listings = hand.store.list

    def removed_after(prefix, *, after="", limit=1000):
        listing = listings(prefix, after=after, limit=limit)
        hand.store.remove(PREFIX + "b.jpg")
        return listing

    hand.store.list = removed_after
    filled(hand)
    assert hand.filenames() == ["a.jpg", "new.jpg"]


def test_a_key_that_could_not_be_looked_at_has_its_second_chance_at_the_end():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg")
    hand.store.unreadable = {PREFIX + "a.jpg"}
    hand.store.before_put = hand.store.unreadable.clear
    assert filled(hand) == Progress(5, finished=True)
    assert hand.filenames() == ["a.jpg", "b.jpg", "c.jpg", "new.jpg"]
    assert hand.head().complete


def test_a_key_to_be_looked_at_again_is_named_in_the_continuation():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg")
    hand.store.unreadable = {PREFIX + "a.jpg"}
    hand.seconds_left = seconds(900, PAUSE - 1)
    filled(hand)
    assert hand.asked == [REQUEST.model_copy(update={"after": PREFIX + "b.jpg", "unreadable": (PREFIX + "a.jpg",)})]
    hand.store.unreadable = set()
    filled(hand, hand.asked[0])
    assert hand.filenames() == ["a.jpg", "b.jpg", "c.jpg", "new.jpg"]
    assert hand.head().complete


def test_a_key_that_stays_unreadable_fails_the_backfill_and_is_named():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg")
    hand.store.unreadable = {PREFIX + "a.jpg"}
    with pytest.raises(BackfillFailed, match=r"1 objects .* styles/16/a\.jpg: not read: 403"):
        filled(hand)
    assert hand.filenames() == ["b.jpg", "c.jpg", "new.jpg"]
    assert not hand.head().complete


def test_a_permission_that_is_missing_fails_the_backfill_long_before_its_end():
    names = [f"{n:04}.jpg" for n in range(5 * MAX_UNREADABLE)]
    hand = first_seen(*names, page=MAX_UNREADABLE // 2)
    hand.store.unreadable = {PREFIX + name for name in names}
    with pytest.raises(BackfillFailed, match="Mend that"):
        filled(hand)
    assert MAX_UNREADABLE < len(hand.store.looks) < 2 * MAX_UNREADABLE


def test_as_many_odd_objects_as_are_allowed_do_not_stop_it():
    names = [f"{n:04}.jpg" for n in range(2 * MAX_UNREADABLE)]
    hand = first_seen(*names, page=MAX_UNREADABLE)
    hand.store.unreadable = {PREFIX + name for name in names[:MAX_UNREADABLE]}
    hand.store.before_put = hand.store.unreadable.clear
    filled(hand)
    assert hand.head().total_files == len(names) + 1
    assert hand.head().complete


def test_where_time_runs_out_within_a_commit_the_request_is_tried_again():
    hand = first_seen("a.jpg", "b.jpg", "c.jpg")
    hand.seconds_left = seconds(1)
    with pytest.raises(BackfillFailed, match="time ran out"):
        filled(hand)
    assert hand.asked == []
    assert not hand.head().complete


def test_a_collection_with_more_to_read_than_time_for_is_filled_in_all_the_same():
    """Each second one MD5, 50 of them in one delivery; the queue gives a request up after five."""
    names = [f"{n:03}.jpg" for n in range(300)]
    hand = first_seen(*names, page=1000, etag="0-2")
    hand.md5_max_bytes = 3
    request, tries = REQUEST, 0
    while request:
        done_before = len(hand.store.digests)
        hand.seconds_left = lambda before=done_before: 60 - (len(hand.store.digests) - before)
        try:
            filled(hand, request)
            request, tries = (hand.asked.pop() if hand.asked else None), 0
        except BackfillFailed:
            tries += 1
        assert tries < 5, f"given up after {len(hand.store.digests)} of {len(names)}"
    assert hand.head().complete
    assert {entry.md5_source for entry in hand.head().files if entry.filename in names} == {"computed"}
