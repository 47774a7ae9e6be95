"""A follower of a manifest never gets stuck: the links of the API lead to its present state."""

import random

import pytest
from unit.environments import Harness
from unit.sweeping import SWEEP_STYLE, run_sweep
from unit.values import PREFIX, STYLE

from s3_manifest.query.history import History, HistoryExpired, NoSuchRevision
from s3_manifest.storage.store import OutcomeUnknown
from s3_manifest.sweep.garbage import collect_garbage

pytestmark = pytest.mark.usefixtures("small_pages")

HEAD = STYLE.head_key


class Crashed(BaseException):
    """The process has died. Not an Exception, so that no code catches it."""


def lose_the_head(harness):
    """A commit whose process dies before it writes the head."""

    def crash():
        raise Crashed

    harness.store.before_put = crash
    with pytest.raises(Crashed):
        harness.commit([PREFIX + "00.jpg"])
    harness.store.before_put = lambda: None


def upload(harness, chance):
    harness.commit(harness.upload(f"{chance.randrange(20):02}.jpg", body=chance.randbytes(4)))


def delete_the_head(harness, _chance):
    harness.store.remove(HEAD)


def delete_the_head_and_lose_the_next(harness, _chance):
    harness.store.remove(HEAD)
    lose_the_head(harness)


def rebuild(harness, _chance):
    harness.store.upload(HEAD, b"{")
    run_sweep(harness, SWEEP_STYLE.model_copy(update={"rebuild": True}))


def lose_a_page(harness, chance):
    head = harness.head()
    if head.pages:
        harness.store.remove(chance.choice(head.pages).key)
        harness.upload(f"{chance.randrange(20):02}.jpg", body=chance.randbytes(4))
        run_sweep(harness)


def expire(harness, _chance):
    harness.now = f"{int(harness.now[:4]) + 1}{harness.now[4:]}"
    collect_garbage(harness.environment, STYLE)


def lose_a_record(harness, chance):
    records = [key for key in harness.store.objects if key.startswith(f"{STYLE.folder}changes/")][:-1]
    if records:
        harness.store.remove(chance.choice(records))


EVENTS = [upload, upload, upload, delete_the_head, delete_the_head_and_lose_the_next, rebuild, lose_a_page, expire]


def random_history(seed):
    chance = random.Random(seed)
    harness = Harness(history_days=chance.choice((1, 400)))
    if chance.random() < 0.3:
        harness.upload("00.jpg")
        lose_the_head(harness)
    harness.commit(harness.upload(*(f"{number:02}.jpg" for number in range(chance.choice((1, 12))))))
    for _ in range(chance.randrange(14)):
        # One second later, because a manifest is identified by its creation time.
        harness.now = f"{harness.now[:17]}{(int(harness.now[17:19]) + 1) % 60:02}{harness.now[19:]}"
        event = chance.choice(EVENTS)
        event(harness, chance)
        if HEAD not in harness.store.objects:
            harness.commit([PREFIX + "00.jpg"])
    return harness


def sizes(harness):
    return {entry.filename: entry.etag for entry in harness.entries()}


def follow(harness, since, files):
    """The files that a follower of the changes ends with, and how often the history had expired."""
    head, expiries = harness.head(), 0
    history = History(harness.snapshot())
    while True:
        try:
            records = history.changes_since(since, 3)
        except HistoryExpired as expired:
            # A follower reads the manifest, or continues just before the oldest retained revision.
            before, since, expiries, files = since, expired.oldest - 1, expiries + 1, None
            records = []
            steps_on = since > before
        else:
            steps_on = True
        assert steps_on
        for record in records:
            for change in record.file_changes():
                if files is not None and change.after is None:
                    files.pop(change.filename, None)
                elif files is not None:
                    files[change.filename] = change.after.etag
            since = record.revision
        if since == head.revision:
            return files, expiries


@pytest.mark.parametrize("seed", range(60))
def test_a_follower_from_any_revision_reaches_the_head_with_at_most_one_expiry(seed):
    harness = random_history(seed)
    for since in range(harness.head().revision + 1):
        files, expiries = follow(harness, since, {} if since == 0 else None)
        assert expiries <= 1, since
        if since == 0 and not expiries:
            assert files == sizes(harness)


@pytest.mark.parametrize("seed", range(20))
def test_a_follower_reaches_the_head_although_records_were_lost(seed):
    harness, chance = random_history(seed), random.Random(seed)
    for _ in range(3):
        lose_a_record(harness, chance)
    for since in range(harness.head().revision + 1):
        _, expiries = follow(harness, since, None)
        assert expiries <= 4


@pytest.mark.parametrize("crash", [False, True])
def test_a_new_collection_whose_first_commit_was_lost_is_followed_from_its_beginning(crash):
    harness = Harness()
    keys = harness.upload("a.jpg", "b.jpg")
    if crash:
        lose_the_head(harness)
        harness.commit(keys)
    else:
        put = harness.store.put

        def lost(key, body, **more):
            if key == HEAD:
                harness.store.put = put
                raise OutcomeUnknown(key, "lost")
            return put(key, body, **more)

        harness.store.put = lost
        harness.commit(keys)
        assert harness.head().revision == 1
    files, expiries = follow(harness, 0, {})
    assert (files, expiries) == (sizes(harness), 0)


def test_following_a_revision_above_the_head_raises_no_such_revision():
    harness = random_history(0)
    with pytest.raises(NoSuchRevision, match="read it, then follow it from revision"):
        History(harness.snapshot()).changes_since(harness.head().revision + 5, 10)
