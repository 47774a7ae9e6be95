import pytest
from unit.environments import Hand, WatchedStore, seconds
from unit.values import EVENING, NOON, PREFIX, STYLE

from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.reconcile.commit import CHUNK
from s3_manifest.reconcile.environment import RESERVE_SECONDS
from s3_manifest.reconcile.lease import YIELD_SECONDS
from s3_manifest.reconcile.result import Verification
from s3_manifest.storage.store import OutcomeUnknown, WriteRefused

HEAD = STYLE.head_key


def started(*filenames):
    """A hand with a manifest of these files."""
    hand = Hand()
    hand.commit(hand.upload(*filenames))
    hand.store.requests.clear()
    hand.store.looks.clear()
    return hand


def failing_puts(*errors):
    """What happens before each write: an error raised, or None for nothing."""
    left = list(errors)

    def before_put():
        if left and (error := left.pop(0)):
            raise error

    return before_put


def somebody_else_commits(hand, times):
    """So many times another worker commits just before our write."""
    left = [None] * times

    def before_put():
        if left:
            left.pop()
            hand.store.before_put, mine = (lambda: None), hand.store.before_put
            hand.commit([])
            hand.store.before_put = mine

    return before_put


def test_a_new_object_is_in_the_manifest():
    hand = started("a.jpg")
    outcome = hand.commit(hand.upload("b.jpg"))
    assert hand.filenames() == ["a.jpg", "b.jpg"]
    assert (outcome.finished, outcome.commits, outcome.conflicts, outcome.observed) == (True, 1, 0, 1)
    assert outcome.head == hand.head()


def test_an_object_that_is_gone_is_no_longer_in_the_manifest():
    hand = started("a.jpg", "b.jpg")
    hand.store.remove(PREFIX + "a.jpg")
    hand.commit([PREFIX + "a.jpg"])
    assert hand.filenames() == ["b.jpg"]


def test_an_event_about_a_removal_removes_nothing_that_is_there():
    hand = started("a.jpg")
    hand.commit([PREFIX + "a.jpg"])
    assert hand.filenames() == ["a.jpg"]


def test_a_folder_is_not_a_file_and_an_empty_object_is_one():
    hand = Hand()
    hand.commit(hand.upload("new/", "empty.jpg", body=b""))
    assert hand.filenames() == ["empty.jpg"]


def test_the_head_is_read_before_any_key_is_looked_at_and_written_after_all_were():
    hand = started("a.jpg")
    hand.commit(hand.upload("b.jpg", "c.jpg"))
    assert hand.store.requests == [
        f"GET {HEAD}",
        f"HEAD {PREFIX}b.jpg",
        f"HEAD {PREFIX}c.jpg",
        f"ADD {STYLE.folder}changes/000000000002-commit1-commit0.json",
        f"PUT {HEAD}",
    ]


def test_a_commit_is_written_even_where_nothing_changed_and_raises_no_revision():
    hand = started("a.jpg")
    before = hand.head()
    outcome = hand.commit([PREFIX + "a.jpg"])
    assert (outcome.commits, outcome.unchanged) == (1, 1)
    assert (hand.head().revision, hand.head().last_change) == (before.revision, before.last_change)
    assert hand.head().commit != before.commit


def test_every_commit_and_every_void_attempt_has_an_id_of_its_own():
    hand = started("a.jpg")
    hand.store.before_put = failing_puts(OutcomeUnknown(HEAD, "lost"))
    hand.commit([PREFIX + "a.jpg"])
    assert [head.commit for head in hand.store.written] == ["commit0", "commit2"]


def test_keys_named_twice_are_looked_at_once():
    hand = started()
    hand.commit(hand.upload("a.jpg") * 3)
    assert hand.store.looks == [PREFIX + "a.jpg"]


def test_after_a_conflict_every_key_is_looked_at_again():
    hand = started("a.jpg")
    keys = hand.upload("b.jpg")

    def replaced_meanwhile():
        hand.store.before_put = lambda: None
        hand.upload("b.jpg", body=b"newer")
        hand.commit(keys)

    hand.store.before_put = replaced_meanwhile
    outcome = hand.commit(keys)
    assert outcome.conflicts == 1
    assert hand.store.looks == keys * 3
    assert hand.head().files[1].size_bytes == len(b"newer")


def test_an_answer_that_was_lost_is_followed_by_another_look():
    hand = started("a.jpg")
    hand.store.before_put = failing_puts(OutcomeUnknown(HEAD, "lost"), OutcomeUnknown(HEAD, "lost"))
    outcome = hand.commit(hand.upload("b.jpg"))
    assert (outcome.conflicts, outcome.finished) == (2, True)
    assert hand.filenames() == ["a.jpg", "b.jpg"]


def test_each_pause_after_a_conflict_is_chance_up_to_a_bound_that_doubles_and_is_capped():
    hand = started("a.jpg")
    hand.store.before_put = somebody_else_commits(hand, 12)
    hand.random = lambda: 1.0
    hand.commit([PREFIX + "a.jpg"])
    assert hand.slept[:4] == [0.04, 0.08, 0.16, 0.32]
    assert max(hand.slept) == hand.slept[-1] == 2.0
    hand.slept.clear()
    hand.random = lambda: 0.0
    hand.store.before_put = somebody_else_commits(hand, 2)
    hand.commit([PREFIX + "a.jpg"])
    assert hand.slept == [0.0, 0.0]


def test_many_keys_are_committed_in_chunks():
    hand = started()
    outcome = hand.commit(hand.upload(*(f"{n:04}.jpg" for n in range(2 * CHUNK + 1))))
    assert [head.total_files for head in hand.store.written[1:]] == [CHUNK, 2 * CHUNK, 2 * CHUNK + 1]
    assert (outcome.commits, outcome.observed, outcome.finished) == (3, 2 * CHUNK + 1, True)


def test_a_conflict_halves_the_chunk_and_a_success_doubles_it_again():
    hand = started()
    keys = hand.upload(*(f"{n:04}.jpg" for n in range(CHUNK)))
    hand.store.before_put = failing_puts(*[OutcomeUnknown(HEAD, "lost")] * 2)
    hand.commit(keys)
    quarter = CHUNK // 4
    assert [head.total_files for head in hand.store.written[1:]] == [quarter, 3 * quarter, CHUNK]


def test_a_chunk_is_never_smaller_than_one_key():
    hand = started()
    hand.store.before_put = failing_puts(*[OutcomeUnknown(HEAD, "lost")] * 15)
    outcome = hand.commit(hand.upload("a.jpg", "b.jpg"))
    assert outcome.finished
    assert [head.total_files for head in hand.store.written[1:]] == [1, 2]


def test_where_time_runs_short_nothing_more_is_begun_and_what_is_left_is_said():
    hand = started()
    keys = hand.upload(*(f"{n:04}.jpg" for n in range(CHUNK + 2)))
    hand.seconds_left = seconds(RESERVE_SECONDS, RESERVE_SECONDS - 0.1)
    outcome = hand.commit(keys)
    assert (outcome.finished, list(outcome.timed_out)) == (False, keys[CHUNK:])
    assert len(hand.filenames()) == CHUNK


def test_without_time_nothing_is_read_nor_written():
    hand = started("a.jpg")
    hand.seconds_left = seconds(RESERVE_SECONDS - 0.1)
    outcome = hand.commit([PREFIX + "a.jpg"])
    assert (outcome.finished, list(outcome.timed_out)) == (False, [PREFIX + "a.jpg"])
    assert hand.store.requests == []


def test_conflicts_without_end_end_with_the_time():
    hand = started("a.jpg")
    hand.store.before_put = failing_puts(*[OutcomeUnknown(HEAD, "lost")] * 99)
    hand.seconds_left = seconds(60, 40, 20, 5)
    outcome = hand.commit([PREFIX + "a.jpg"])
    assert (outcome.conflicts, outcome.commits, list(outcome.timed_out)) == (3, 0, [PREFIX + "a.jpg"])


def test_a_key_that_s3_does_not_tell_about_leaves_its_entry_as_it_was():
    hand = started("a.jpg", "b.jpg")
    keys = [PREFIX + "a.jpg", *hand.upload("c.jpg")]
    hand.store.unreadable = {PREFIX + "a.jpg"}
    outcome = hand.commit(keys)
    assert hand.filenames() == ["a.jpg", "b.jpg", "c.jpg"]
    assert list(outcome.unreadable) == [PREFIX + "a.jpg"]
    assert "403" in outcome.unreadable[PREFIX + "a.jpg"]
    assert outcome.finished


@pytest.mark.parametrize("body", [b"", b'{"schema": 2}', b"{}", b"[]"])
def test_an_unreadable_head_is_never_overwritten(body):
    hand = Hand()
    hand.store.upload(HEAD, body)
    with pytest.raises(UnreadableManifest, match=HEAD):
        hand.commit(hand.upload("a.jpg"))
    assert hand.store.objects[HEAD][1] == body
    assert hand.store.written == []


def test_a_write_that_is_refused_is_not_tried_again():
    hand = started("a.jpg")
    hand.store.before_put = failing_puts(WriteRefused(HEAD, "403"))
    with pytest.raises(WriteRefused):
        hand.commit([PREFIX + "a.jpg"])
    assert hand.slept == []


def test_looks_that_complete_a_manifest_complete_only_the_one_they_were_for():
    hand = Hand(WatchedStore(page=2))
    keys = hand.upload("a.jpg", "b.jpg", "c.jpg")
    hand.commit(keys[:1])
    assert not hand.head().complete
    hand.commit(keys, verification=Verification(EVENING, EVENING))
    assert not hand.head().complete
    hand.commit(keys, verification=Verification(NOON, EVENING))
    assert hand.head().complete


def test_only_the_last_chunk_completes():
    hand = Hand(WatchedStore(page=2))
    keys = hand.upload(*(f"{n:04}.jpg" for n in range(CHUNK + 1)))
    hand.commit(keys[:1])
    hand.commit(keys, verification=Verification(NOON, EVENING))
    assert [head.complete for head in hand.store.written] == [False, False, True]


@pytest.mark.parametrize("filename", ["0000.jpg", f"{CHUNK:04}.jpg"], ids=["in the first chunk", "in the last"])
def test_a_key_that_was_not_looked_at_keeps_a_manifest_incomplete(filename):
    hand = Hand(WatchedStore(page=2))
    keys = hand.upload(*(f"{n:04}.jpg" for n in range(CHUNK + 1)))
    hand.commit(keys[1:2])
    hand.store.unreadable = {PREFIX + filename}
    hand.commit(keys, verification=Verification(NOON, EVENING))
    assert not hand.head().complete


@pytest.mark.usefixtures("busy")
def test_whoever_comes_anew_to_a_head_that_was_just_written_gives_way_and_reads_it_again():
    hand = started("a.jpg")
    hand.commit(hand.upload("b.jpg"))
    assert hand.slept == [YIELD_SECONDS]
    assert hand.store.requests[:3] == [f"GET {HEAD}", f"GET {HEAD}", f"HEAD {PREFIX}b.jpg"]


@pytest.mark.usefixtures("busy")
def test_whoever_lost_a_commit_gives_way_to_nobody():
    hand = started("a.jpg")
    hand.store.before_put = failing_puts(OutcomeUnknown(HEAD, "lost"), OutcomeUnknown(HEAD, "lost"))
    hand.commit(hand.upload("b.jpg"))
    assert hand.slept[0] == YIELD_SECONDS
    assert YIELD_SECONDS not in hand.slept[1:]


@pytest.mark.usefixtures("busy")
def test_a_head_that_was_written_a_while_ago_is_committed_to_at_once():
    hand = started("a.jpg")
    hand.now = EVENING
    hand.commit(hand.upload("b.jpg"))
    assert hand.slept == []
