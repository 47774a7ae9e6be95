"""Which commits are announced: each new revision once and, where that is in doubt, once more."""

import pytest
from unit.environments import Hand, WatchedStore, seconds
from unit.values import NOON, PREFIX, STYLE

from s3_manifest.reconcile.commit import CHUNK
from s3_manifest.reconcile.environment import AnnouncementFailed
from s3_manifest.reconcile.result import Verification
from s3_manifest.storage.store import Conflict, OutcomeUnknown

HEAD = STYLE.head_key


def started():
    hand = Hand()
    hand.commit(hand.upload("a.jpg"))
    assert hand.announced == [(1, False)]
    hand.announced.clear()
    return hand


def stored_but_answer_lost(hand):
    """The next write of the head happens, and nobody says so."""
    put = hand.store.put

    def lost(key, body, **more):
        put(key, body, **more)
        if key == HEAD:
            hand.store.put = put
            raise OutcomeUnknown(key, "lost")

    hand.store.put = lost


def never_stored(hand, error):
    """The next write of the head does not happen."""

    def refuse():
        hand.store.before_put = lambda: None
        raise error

    hand.store.before_put = refuse


def test_each_new_revision_is_announced_once():
    hand = started()
    hand.commit(hand.upload(*(f"{n:04}.jpg" for n in range(CHUNK + 1))))
    assert hand.announced == [(2, False), (3, False)]


@pytest.mark.parametrize("news", ["removed", "sidecar", "complete"])
def test_whatever_raises_the_revision_is_announced(news):
    hand = Hand(WatchedStore(page=1))
    hand.commit(hand.upload("a.jpg", "b.jpg"))
    hand.announced.clear()
    if news == "removed":
        hand.store.remove(PREFIX + "a.jpg")
        hand.commit([PREFIX + "a.jpg"])
    if news == "sidecar":
        hand.commit(hand.upload("metadata.jsonl"))
    if news == "complete":
        hand.commit([], verification=Verification(NOON, NOON))
    assert hand.announced == [(2, False)]


def test_a_commit_that_says_nothing_new_is_not_announced():
    hand = started()
    hand.commit([PREFIX + "a.jpg"])
    hand.commit([])
    assert hand.announced == []


def test_a_repeat_that_finds_nothing_new_announces_what_there_is_once():
    hand = started()
    hand.commit([PREFIX + "a.jpg", *(f"{PREFIX}gone{n:04}" for n in range(CHUNK))], repeated=True)
    assert hand.announced == [(1, True)]


def test_a_repeat_that_finds_something_new_announces_just_that():
    hand = started()
    hand.commit(hand.upload("b.jpg"), repeated=True)
    assert hand.announced == [(2, False)]


def test_a_revision_whose_answer_was_lost_is_announced_once_as_a_repeat():
    hand = started()
    stored_but_answer_lost(hand)
    outcome = hand.commit(hand.upload("b.jpg"))
    assert (outcome.conflicts, hand.head().revision, hand.announced) == (1, 2, [(2, True)])


def test_a_lost_answer_to_what_never_happened_is_announced_when_it_does():
    hand = started()
    never_stored(hand, OutcomeUnknown(HEAD, "lost"))
    hand.commit(hand.upload("b.jpg"))
    assert hand.announced == [(2, False)]


def test_a_conflict_alone_puts_no_announcement_in_doubt():
    hand = started()
    never_stored(hand, Conflict(HEAD, "somebody else was first"))
    outcome = hand.commit([PREFIX + "a.jpg"])
    assert (outcome.conflicts, hand.announced) == (1, [])


def test_what_is_announced_is_already_in_the_manifest():
    hand = Hand()
    seen = []
    hand.announce = lambda head, alterations, *, repeated: seen.append(
        (head == hand.head(), [item.filename for item in alterations])
    )
    hand.commit(hand.upload("a.jpg", "b.jpg"))
    assert seen == [(True, ["a.jpg", "b.jpg"])]


def test_an_announcement_that_fails_fails_the_commit_and_its_repeat_announces():
    hand = started()
    announce = hand.announce

    def fails(head, alterations, *, repeated):
        hand.announce = announce
        raise AnnouncementFailed("not announced")

    hand.announce = fails
    keys = hand.upload("b.jpg")
    with pytest.raises(AnnouncementFailed):
        hand.commit(keys)
    assert hand.head().revision == 2
    hand.commit(keys, repeated=True)
    assert hand.announced == [(2, True)]


def test_without_a_commit_nothing_is_announced():
    hand = started()
    hand.seconds_left = seconds(1)
    hand.commit([PREFIX + "a.jpg"], repeated=True)
    assert hand.announced == []
