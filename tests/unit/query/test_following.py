"""Whoever follows a manifest always gets on: the API's own directions lead to what it says now."""

import random

import pytest
from unit.environments import Hand
from unit.sweeping import SWEEP_STYLE, swept
from unit.values import PREFIX, STYLE

from s3_manifest.query.history import History, HistoryGone, NoSuchRevision
from s3_manifest.storage.store import OutcomeUnknown
from s3_manifest.sweep.garbage import collect_garbage

pytestmark = pytest.mark.usefixtures("small_pages")

HEAD = STYLE.head_key


class Crashed(BaseException):
    """The process is gone. Not an Exception: nothing may catch it and go on."""


def lose_the_head(hand):
    """A commit of which all is written but the head, by a process that dies then."""

    def crash():
        raise Crashed

    hand.store.before_put = crash
    with pytest.raises(Crashed):
        hand.commit([PREFIX + "00.jpg"])
    hand.store.before_put = lambda: None


def upload(hand, chance):
    hand.commit(hand.upload(f"{chance.randrange(20):02}.jpg", body=chance.randbytes(4)))


def delete_the_head(hand, _chance):
    hand.store.remove(HEAD)


def delete_the_head_and_lose_the_next(hand, _chance):
    hand.store.remove(HEAD)
    lose_the_head(hand)


def rebuild(hand, _chance):
    hand.store.upload(HEAD, b"{")
    swept(hand, SWEEP_STYLE.model_copy(update={"rebuild": True}))


def lose_a_page(hand, chance):
    head = hand.head()
    if head.pages:
        hand.store.remove(chance.choice(head.pages).key)
        hand.upload(f"{chance.randrange(20):02}.jpg", body=chance.randbytes(4))
        swept(hand)


def expire(hand, _chance):
    hand.now = f"{int(hand.now[:4]) + 1}{hand.now[4:]}"
    collect_garbage(hand.environment, STYLE)


def lose_a_record(hand, chance):
    found = [key for key in hand.store.objects if key.startswith(f"{STYLE.folder}changes/")][:-1]
    if found:
        hand.store.remove(chance.choice(found))


HAPPENS = [upload, upload, upload, delete_the_head, delete_the_head_and_lose_the_next, rebuild, lose_a_page, expire]


def lived(seed):
    chance = random.Random(seed)
    hand = Hand(history_days=chance.choice((1, 400)))
    if chance.random() < 0.3:
        hand.upload("00.jpg")
        lose_the_head(hand)
    hand.commit(hand.upload(*(f"{number:02}.jpg" for number in range(chance.choice((1, 12))))))
    for _ in range(chance.randrange(14)):
        # A second later: a manifest is known by when it was made.
        hand.now = f"{hand.now[:17]}{(int(hand.now[17:19]) + 1) % 60:02}{hand.now[19:]}"
        event = chance.choice(HAPPENS)
        event(hand, chance)
        if HEAD not in hand.store.objects:
            hand.commit([PREFIX + "00.jpg"])
    return hand


def sizes(hand):
    return {entry.filename: entry.etag for entry in hand.entries()}


def followed(hand, since, files):
    """Where following ends, by the directions alone, and in how many refusals."""
    head, refused = hand.head(), 0
    history = History(hand.snapshot())
    while True:
        try:
            records = history.changes_since(since, 3)
        except HistoryGone as gone:
            # Read the manifest, or, to be told what is kept, go on with one less than ``oldest``.
            before, since, refused, files = since, gone.oldest - 1, refused + 1, None
            records = []
            steps_on = since > before
        else:
            steps_on = True
        assert steps_on
        for record in records:
            for change in record.alterations():
                if files is not None and change.after is None:
                    files.pop(change.filename, None)
                elif files is not None:
                    files[change.filename] = change.after.etag
            since = record.revision
        if since == head.revision:
            return files, refused


@pytest.mark.parametrize("seed", range(60))
def test_from_any_revision_on_the_directions_lead_to_the_present_with_one_refusal_at_most(seed):
    hand = lived(seed)
    for since in range(hand.head().revision + 1):
        files, refused = followed(hand, since, {} if since == 0 else None)
        assert refused <= 1, since
        if since == 0 and not refused:
            assert files == sizes(hand)


@pytest.mark.parametrize("seed", range(20))
def test_also_with_records_lost_in_between_it_comes_to_an_end(seed):
    hand, chance = lived(seed), random.Random(seed)
    for _ in range(3):
        lose_a_record(hand, chance)
    for since in range(hand.head().revision + 1):
        _, refused = followed(hand, since, None)
        assert refused <= 4


@pytest.mark.parametrize("crash", [False, True])
def test_a_new_collection_whose_first_commit_was_lost_is_followed_from_its_beginning(crash):
    hand = Hand()
    keys = hand.upload("a.jpg", "b.jpg")
    if crash:
        lose_the_head(hand)
        hand.commit(keys)
    else:
        put = hand.store.put

        def lost(key, body, **more):
            if key == HEAD:
                hand.store.put = put
                raise OutcomeUnknown(key, "lost")
            return put(key, body, **more)

        hand.store.put = lost
        hand.commit(keys)
        assert hand.head().revision == 1
    files, refused = followed(hand, 0, {})
    assert (files, refused) == (sizes(hand), 0)


def test_a_follower_of_a_later_revision_than_the_last_has_to_read_the_manifest():
    hand = lived(0)
    with pytest.raises(NoSuchRevision, match="read it, then follow it from revision"):
        History(hand.snapshot()).changes_since(hand.head().revision + 5, 10)
