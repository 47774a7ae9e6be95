import pytest
from unit.environments import Harness, RecordingStore, seconds
from unit.values import EVENING, NOON, PREFIX, STYLE

from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.reconcile.commit import CHUNK
from s3_manifest.reconcile.environment import RESERVE_SECONDS
from s3_manifest.reconcile.lease import YIELD_SECONDS
from s3_manifest.reconcile.result import Verification
from s3_manifest.storage.store import OutcomeUnknown, WriteRefused

HEAD = STYLE.head_key


def started(*filenames):
    """A harness with a manifest of these files."""
    harness = Harness()
    harness.commit(harness.upload(*filenames))
    harness.store.requests.clear()
    harness.store.head_keys.clear()
    return harness


def failing_puts(*errors):
    """Raises one of these errors before each write; None lets a write succeed."""
    left = list(errors)

    def before_put():
        if left and (error := left.pop(0)):
            raise error

    return before_put


def other_worker_commits(harness, times):
    """Another worker commits just before each of the next ``times`` writes."""
    left = [None] * times

    def before_put():
        if left:
            left.pop()
            harness.store.before_put, hook = (lambda: None), harness.store.before_put
            harness.commit([])
            harness.store.before_put = hook

    return before_put


def test_a_new_object_is_in_the_manifest():
    harness = started("a.jpg")
    outcome = harness.commit(harness.upload("b.jpg"))
    assert harness.filenames() == ["a.jpg", "b.jpg"]
    assert (outcome.finished, outcome.commits, outcome.conflicts, outcome.observed) == (True, 1, 0, 1)
    assert outcome.head == harness.head()


def test_a_deleted_object_is_no_longer_in_the_manifest():
    harness = started("a.jpg", "b.jpg")
    harness.store.remove(PREFIX + "a.jpg")
    harness.commit([PREFIX + "a.jpg"])
    assert harness.filenames() == ["b.jpg"]


def test_a_delete_event_does_not_remove_an_existing_object():
    harness = started("a.jpg")
    harness.commit([PREFIX + "a.jpg"])
    assert harness.filenames() == ["a.jpg"]


def test_a_folder_is_not_a_file_and_an_empty_object_is_one():
    harness = Harness()
    harness.commit(harness.upload("new/", "empty.jpg", body=b""))
    assert harness.filenames() == ["empty.jpg"]


def test_the_head_is_read_before_the_first_observation_and_written_after_the_last():
    harness = started("a.jpg")
    harness.commit(harness.upload("b.jpg", "c.jpg"))
    assert harness.store.requests == [
        f"GET {HEAD}",
        f"HEAD {PREFIX}b.jpg",
        f"HEAD {PREFIX}c.jpg",
        f"ADD {STYLE.folder}changes/000000000002-commit1-commit0.json",
        f"PUT {HEAD}",
    ]


def test_a_commit_without_changes_is_written_and_keeps_the_revision():
    harness = started("a.jpg")
    before = harness.head()
    outcome = harness.commit([PREFIX + "a.jpg"])
    assert (outcome.commits, outcome.unchanged) == (1, 1)
    assert (harness.head().revision, harness.head().last_change) == (before.revision, before.last_change)
    assert harness.head().commit != before.commit


def test_every_attempt_to_commit_has_its_own_id():
    harness = started("a.jpg")
    harness.store.before_put = failing_puts(OutcomeUnknown(HEAD, "lost"))
    harness.commit([PREFIX + "a.jpg"])
    assert [head.commit for head in harness.store.written_heads] == ["commit0", "commit2"]


def test_repeated_keys_are_observed_once():
    harness = started()
    harness.commit(harness.upload("a.jpg") * 3)
    assert harness.store.head_keys == [PREFIX + "a.jpg"]


def test_after_a_conflict_every_key_is_observed_again():
    harness = started("a.jpg")
    keys = harness.upload("b.jpg")

    def replaced_meanwhile():
        harness.store.before_put = lambda: None
        harness.upload("b.jpg", body=b"newer")
        harness.commit(keys)

    harness.store.before_put = replaced_meanwhile
    outcome = harness.commit(keys)
    assert outcome.conflicts == 1
    assert harness.store.head_keys == keys * 3
    assert harness.head().files[1].size_bytes == len(b"newer")


def test_a_lost_response_is_followed_by_another_observation():
    harness = started("a.jpg")
    harness.store.before_put = failing_puts(OutcomeUnknown(HEAD, "lost"), OutcomeUnknown(HEAD, "lost"))
    outcome = harness.commit(harness.upload("b.jpg"))
    assert (outcome.conflicts, outcome.finished) == (2, True)
    assert harness.filenames() == ["a.jpg", "b.jpg"]


def test_pauses_after_conflicts_are_random_up_to_a_bound_that_doubles_to_a_maximum():
    harness = started("a.jpg")
    harness.store.before_put = other_worker_commits(harness, 12)
    harness.random = lambda: 1.0
    harness.commit([PREFIX + "a.jpg"])
    assert harness.sleeps[:4] == [0.04, 0.08, 0.16, 0.32]
    assert max(harness.sleeps) == harness.sleeps[-1] == 2.0
    harness.sleeps.clear()
    harness.random = lambda: 0.0
    harness.store.before_put = other_worker_commits(harness, 2)
    harness.commit([PREFIX + "a.jpg"])
    assert harness.sleeps == [0.0, 0.0]


def test_many_keys_are_committed_in_chunks():
    harness = started()
    outcome = harness.commit(harness.upload(*(f"{n:04}.jpg" for n in range(2 * CHUNK + 1))))
    assert [head.total_files for head in harness.store.written_heads[1:]] == [CHUNK, 2 * CHUNK, 2 * CHUNK + 1]
    assert (outcome.commits, outcome.observed, outcome.finished) == (3, 2 * CHUNK + 1, True)


def test_a_conflict_halves_the_chunk_and_a_success_doubles_it_again():
    harness = started()
    keys = harness.upload(*(f"{n:04}.jpg" for n in range(CHUNK)))
    harness.store.before_put = failing_puts(*[OutcomeUnknown(HEAD, "lost")] * 2)
    harness.commit(keys)
    quarter = CHUNK // 4
    assert [head.total_files for head in harness.store.written_heads[1:]] == [quarter, 3 * quarter, CHUNK]


def test_a_chunk_is_never_smaller_than_one_key():
    harness = started()
    harness.store.before_put = failing_puts(*[OutcomeUnknown(HEAD, "lost")] * 15)
    outcome = harness.commit(harness.upload("a.jpg", "b.jpg"))
    assert outcome.finished
    assert [head.total_files for head in harness.store.written_heads[1:]] == [1, 2]


def test_when_time_runs_short_no_more_work_starts_and_the_remaining_keys_are_reported():
    harness = started()
    keys = harness.upload(*(f"{n:04}.jpg" for n in range(CHUNK + 2)))
    harness.seconds_left = seconds(RESERVE_SECONDS, RESERVE_SECONDS - 0.1)
    outcome = harness.commit(keys)
    assert (outcome.finished, list(outcome.timed_out)) == (False, keys[CHUNK:])
    assert len(harness.filenames()) == CHUNK


def test_without_time_nothing_is_read_or_written():
    harness = started("a.jpg")
    harness.seconds_left = seconds(RESERVE_SECONDS - 0.1)
    outcome = harness.commit([PREFIX + "a.jpg"])
    assert (outcome.finished, list(outcome.timed_out)) == (False, [PREFIX + "a.jpg"])
    assert harness.store.requests == []


def test_endless_conflicts_end_when_time_runs_out():
    harness = started("a.jpg")
    harness.store.before_put = failing_puts(*[OutcomeUnknown(HEAD, "lost")] * 99)
    harness.seconds_left = seconds(60, 40, 20, 5)
    outcome = harness.commit([PREFIX + "a.jpg"])
    assert (outcome.conflicts, outcome.commits, list(outcome.timed_out)) == (3, 0, [PREFIX + "a.jpg"])


def test_an_unreadable_key_leaves_its_entry_unchanged():
    harness = started("a.jpg", "b.jpg")
    keys = [PREFIX + "a.jpg", *harness.upload("c.jpg")]
    harness.store.unreadable = {PREFIX + "a.jpg"}
    outcome = harness.commit(keys)
    assert harness.filenames() == ["a.jpg", "b.jpg", "c.jpg"]
    assert list(outcome.unreadable) == [PREFIX + "a.jpg"]
    assert "403" in outcome.unreadable[PREFIX + "a.jpg"]
    assert outcome.finished


@pytest.mark.parametrize("body", [b"", b'{"schema": 2}', b"{}", b"[]"])
def test_an_unreadable_head_is_never_overwritten(body):
    harness = Harness()
    harness.store.upload(HEAD, body)
    with pytest.raises(UnreadableManifest, match=HEAD):
        harness.commit(harness.upload("a.jpg"))
    assert harness.store.objects[HEAD][1] == body
    assert harness.store.written_heads == []


def test_a_refused_write_is_not_retried():
    harness = started("a.jpg")
    harness.store.before_put = failing_puts(WriteRefused(HEAD, "403"))
    with pytest.raises(WriteRefused):
        harness.commit([PREFIX + "a.jpg"])
    assert harness.sleeps == []


def test_observations_complete_only_the_manifest_they_were_made_for():
    harness = Harness(RecordingStore(page_size=2))
    keys = harness.upload("a.jpg", "b.jpg", "c.jpg")
    harness.commit(keys[:1])
    assert not harness.head().complete
    harness.commit(keys, verification=Verification(EVENING, EVENING))
    assert not harness.head().complete
    harness.commit(keys, verification=Verification(NOON, EVENING))
    assert harness.head().complete


def test_only_the_last_chunk_makes_the_manifest_complete():
    harness = Harness(RecordingStore(page_size=2))
    keys = harness.upload(*(f"{n:04}.jpg" for n in range(CHUNK + 1)))
    harness.commit(keys[:1])
    harness.commit(keys, verification=Verification(NOON, EVENING))
    assert [head.complete for head in harness.store.written_heads] == [False, False, True]


@pytest.mark.parametrize("filename", ["0000.jpg", f"{CHUNK:04}.jpg"], ids=["in the first chunk", "in the last"])
def test_an_unobserved_key_keeps_a_manifest_incomplete(filename):
    harness = Harness(RecordingStore(page_size=2))
    keys = harness.upload(*(f"{n:04}.jpg" for n in range(CHUNK + 1)))
    harness.commit(keys[1:2])
    harness.store.unreadable = {PREFIX + filename}
    harness.commit(keys, verification=Verification(NOON, EVENING))
    assert not harness.head().complete


@pytest.mark.usefixtures("busy")
def test_a_worker_that_finds_a_head_just_written_yields_and_reads_it_again():
    harness = started("a.jpg")
    harness.commit(harness.upload("b.jpg"))
    assert harness.sleeps == [YIELD_SECONDS]
    assert harness.store.requests[:3] == [f"GET {HEAD}", f"GET {HEAD}", f"HEAD {PREFIX}b.jpg"]


@pytest.mark.usefixtures("busy")
def test_a_worker_that_lost_a_commit_does_not_yield():
    harness = started("a.jpg")
    harness.store.before_put = failing_puts(OutcomeUnknown(HEAD, "lost"), OutcomeUnknown(HEAD, "lost"))
    harness.commit(harness.upload("b.jpg"))
    assert harness.sleeps[0] == YIELD_SECONDS
    assert YIELD_SECONDS not in harness.sleeps[1:]


@pytest.mark.usefixtures("busy")
def test_a_head_that_was_not_just_written_is_committed_to_without_yielding():
    harness = started("a.jpg")
    harness.now = EVENING
    harness.commit(harness.upload("b.jpg"))
    assert harness.sleeps == []
