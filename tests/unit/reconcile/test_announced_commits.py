"""Which commits are announced: each new revision once and, where that is in doubt, once more."""

import pytest
from unit.environments import Harness, RecordingStore, seconds
from unit.values import NOON, PREFIX, STYLE

from s3_manifest.reconcile.commit import CHUNK
from s3_manifest.reconcile.environment import AnnouncementFailed
from s3_manifest.reconcile.result import Verification
from s3_manifest.storage.store import Conflict, OutcomeUnknown

HEAD = STYLE.head_key


def started():
    harness = Harness()
    harness.commit(harness.upload("a.jpg"))
    assert harness.announcements == [(1, False)]
    harness.announcements.clear()
    return harness


def stored_but_answer_lost(harness):
    """The next write of the head succeeds, but its response is lost."""
    put = harness.store.put

    def lost(key, body, **more):
        put(key, body, **more)
        if key == HEAD:
            harness.store.put = put
            raise OutcomeUnknown(key, "lost")

    harness.store.put = lost


def never_stored(harness, error):
    """The next write of the head fails."""

    def refuse():
        harness.store.before_put = lambda: None
        raise error

    harness.store.before_put = refuse


def test_each_new_revision_is_announced_once():
    harness = started()
    harness.commit(harness.upload(*(f"{n:04}.jpg" for n in range(CHUNK + 1))))
    assert harness.announcements == [(2, False), (3, False)]


@pytest.mark.parametrize("news", ["removed", "sidecar", "complete"])
def test_every_cause_of_a_new_revision_is_announced(news):
    harness = Harness(RecordingStore(page_size=1))
    harness.commit(harness.upload("a.jpg", "b.jpg"))
    harness.announcements.clear()
    if news == "removed":
        harness.store.remove(PREFIX + "a.jpg")
        harness.commit([PREFIX + "a.jpg"])
    if news == "sidecar":
        harness.commit(harness.upload("metadata.jsonl"))
    if news == "complete":
        harness.commit([], verification=Verification(NOON, NOON))
    assert harness.announcements == [(2, False)]


def test_a_commit_without_changes_is_not_announced():
    harness = started()
    harness.commit([PREFIX + "a.jpg"])
    harness.commit([])
    assert harness.announcements == []


def test_a_repeat_without_changes_announces_the_present_revision_once():
    harness = started()
    harness.commit([PREFIX + "a.jpg", *(f"{PREFIX}gone{n:04}" for n in range(CHUNK))], repeated=True)
    assert harness.announcements == [(1, True)]


def test_a_repeat_that_commits_changes_announces_only_the_new_revision():
    harness = started()
    harness.commit(harness.upload("b.jpg"), repeated=True)
    assert harness.announcements == [(2, False)]


def test_a_revision_whose_response_was_lost_is_announced_once_as_a_repeat():
    harness = started()
    stored_but_answer_lost(harness)
    outcome = harness.commit(harness.upload("b.jpg"))
    assert (outcome.conflicts, harness.head().revision, harness.announcements) == (1, 2, [(2, True)])


def test_a_write_that_was_lost_is_announced_when_its_retry_succeeds():
    harness = started()
    never_stored(harness, OutcomeUnknown(HEAD, "lost"))
    harness.commit(harness.upload("b.jpg"))
    assert harness.announcements == [(2, False)]


def test_a_conflict_alone_announces_nothing():
    harness = started()
    never_stored(harness, Conflict(HEAD, "somebody else was first"))
    outcome = harness.commit([PREFIX + "a.jpg"])
    assert (outcome.conflicts, harness.announcements) == (1, [])


def test_a_revision_is_in_the_bucket_before_it_is_announced():
    harness = Harness()
    announced = []
    harness.announce = lambda head, file_changes, *, repeated: announced.append(
        (head == harness.head(), [item.filename for item in file_changes])
    )
    harness.commit(harness.upload("a.jpg", "b.jpg"))
    assert announced == [(True, ["a.jpg", "b.jpg"])]


def test_a_failed_announcement_fails_the_commit_and_its_repeat_announces():
    harness = started()
    announce = harness.announce

    def fails(head, file_changes, *, repeated):
        harness.announce = announce
        raise AnnouncementFailed("not announced")

    harness.announce = fails
    keys = harness.upload("b.jpg")
    with pytest.raises(AnnouncementFailed):
        harness.commit(keys)
    assert harness.head().revision == 2
    harness.commit(keys, repeated=True)
    assert harness.announcements == [(2, True)]


def test_without_a_commit_nothing_is_announced():
    harness = started()
    harness.seconds_left = seconds(1)
    harness.commit([PREFIX + "a.jpg"], repeated=True)
    assert harness.announcements == []
