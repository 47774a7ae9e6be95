"""Repairs beside others: what is claimed of the manifest, and who goes on, when there is more than one at work."""

import pytest
from unit.environments import one_by_one
from unit.sweeping import PAUSE, forget, known, names, swept, told, truth
from unit.values import EVENING, PREFIX, STYLE

from s3_manifest.manifest.changes import decode_record
from s3_manifest.manifest.jobs import Progress, Sweep
from s3_manifest.manifest.model import BrokenObjects
from s3_manifest.reconcile.environment import AnnouncementFailed
from s3_manifest.reconcile.repair import repair
from s3_manifest.storage import heads, pages
from s3_manifest.storage.chain import REPAIRED
from s3_manifest.storage.store import ReadFailed
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepFailed

pytestmark = pytest.mark.usefixtures("small_pages")

PROMPTS = "prompt_metadata.json"


def with_a_lost_page(index=2, count=36):
    """A complete manifest with pages of six files, one of them lost; the job that is asked for then."""
    hand = known(count)
    key = hand.head().pages[index].key
    hand.store.remove(key)
    hand.now = EVENING
    return hand, Sweep(kind="style", id="16", broken=(key,))


def test_a_manifest_that_holds_no_pages_any_more_has_none_to_repair():
    hand, job = with_a_lost_page()
    hand.store.remove(STYLE.head_key)
    for key in [key for key in hand.store.objects if key.startswith(PREFIX)][3:]:
        hand.store.remove(key)
    hand.commit([PREFIX + names(0)[0]])
    assert hand.head().pages == ()
    forget(hand)
    assert repair(hand.environment, STYLE, job.broken).finished
    assert hand.store.written == []


def test_a_page_that_is_lost_while_another_is_repaired_is_repaired_with_it():
    hand, job = with_a_lost_page()
    hand.store.remove(PREFIX + names(12)[0])
    beside, get, reads = hand.head().pages[1].key, hand.store.get, []

    def lost_after_it_was_read(key):
        if key == beside:
            reads.append(key)
            if len(reads) == 2:
                hand.store.remove(key)
        return get(key)

    hand.store.get = lost_after_it_was_read
    assert repair(hand.environment, STYLE, job.broken).finished
    assert len(reads) >= 2
    assert told(hand) == truth(hand)
    assert sum(item.image_count for item in hand.head().generations) == hand.head().total_files


def test_the_record_of_a_repair_names_no_files_as_added():
    hand, job = with_a_lost_page()
    hand.store.remove(PREFIX + names(12)[0])
    assert repair(hand.environment, STYLE, job.broken).finished
    (key,) = [key for key in hand.store.objects if key.endswith(f"-{REPAIRED}.json")]
    record = decode_record(hand.store.objects[key][1])
    assert record.revision == hand.head().revision
    assert list(record.alterations()) == []


def test_what_others_commit_while_a_repair_observes_is_not_undone():
    hand, job = with_a_lost_page()
    hand.store.remove(PREFIX + names(12)[0])
    head, others = hand.store.head, [PREFIX + names(30)[0]]

    def others_commit_first(key):
        if key == PREFIX + names(13)[0] and others:
            other = others.pop()
            hand.store.remove(other)
            hand.commit([other])
        return head(key)

    hand.store.head = others_commit_first
    outcome = repair(hand.environment, STYLE, job.broken)
    assert (outcome.finished, outcome.conflicts) == (True, 1)
    assert told(hand) == truth(hand)


def paused_after_the_first_pages(hand):
    """A sweep that compared the first pages, and is to go on with the rest."""
    hand.seconds_left = lambda: PAUSE - 1
    run_job(hand.environment, Sweep(kind="style", id="16"), PAUSE)
    hand.seconds_left = lambda: 900.0
    (job,) = hand.asked
    hand.asked.clear()
    assert job.progress.start > names(5)[0]
    return job


def test_a_sweep_does_not_call_complete_what_a_repair_left_out_behind_it():
    hand = known(36)
    going_on = paused_after_the_first_pages(hand)
    hand.store.remove(hand.head().pages[0].key)
    odd = PREFIX + names(2)[0]
    hand.store.unreadable.add(odd)
    assert repair(hand.environment, STYLE, [hand.head().pages[0].key]).finished
    assert not hand.head().complete
    hand.store.unreadable.clear()
    hand.now = EVENING
    swept(hand, going_on)
    assert told(hand) == truth(hand)
    assert (hand.head().complete, hand.head().last_verified_at) == (True, EVENING)


def test_a_sweep_does_not_call_complete_what_its_own_repair_at_the_end_left_out():
    hand, _ = with_a_lost_page(0)
    head = hand.head()
    first, odd = (PREFIX + name for name in names(1, 2))
    # The first one could not be observed while the page was whole.
    progress = Progress(
        created_at=head.created_at,
        started_at=EVENING,
        first_revision=head.first_revision,
        unreadable=(first,),
        finished_listing=True,
    )
    at_the_end = Sweep(kind="style", id="16", progress=progress)
    hand.store.unreadable.add(odd)
    with pytest.raises(SweepFailed, match="cannot be read"):
        swept(hand, at_the_end)
    assert not hand.head().complete
    hand.store.unreadable.clear()
    hand.asked.clear()
    swept(hand, at_the_end, repeated=True)
    assert told(hand) == truth(hand)
    assert hand.head().complete


def test_a_repair_that_died_before_it_was_announced_is_announced_by_whoever_repeats_it():
    hand, job = with_a_lost_page()
    hand.store.remove(PREFIX + names(12)[0])
    announce = hand.announce

    def fail(*args, **kwargs):
        raise AnnouncementFailed("no bus")

    hand.announce = fail
    with pytest.raises(AnnouncementFailed):
        run_job(hand.environment, job, PAUSE)
    hand.announce = announce
    assert hand.announced == []
    swept(hand, job, repeated=True)
    assert hand.announced[-1][0] == hand.head().revision


def test_a_repair_in_part_that_died_before_its_sweep_is_followed_by_that_when_it_is_repeated():
    hand, job = with_a_lost_page()
    odd = PREFIX + names(13)[0]
    hand.store.unreadable.add(odd)
    with pytest.raises(SweepFailed):
        swept(hand, job)
    assert not hand.head().complete
    hand.store.unreadable.clear()
    hand.asked.clear()
    swept(hand, job, repeated=True)
    assert told(hand) == truth(hand)
    assert hand.head().complete


def test_of_many_that_ask_for_a_repair_only_those_that_may_have_begun_it_sweep():
    hand, job = with_a_lost_page()
    hand.store.unreadable.add(PREFIX + names(13)[0])
    repair(hand.environment, STYLE, job.broken)
    forget(hand)
    assert swept(hand, job)[0].finished
    assert hand.store.asked_for("LIST", PREFIX) == []


def test_a_rebuild_that_time_ran_out_for_is_tried_again():
    hand = known(36)
    hand.commit(hand.upload(PROMPTS, body=b'{"0003.jpg": "cat"}'))
    (copy,) = hand.head().sidecars[0].copies
    hand.store.remove(copy.key)
    hand.upload(PROMPTS, body=b'{"0007.jpg": "owl"}')
    hand.seconds_left = lambda: 5.0
    job = Sweep(kind="style", id="16", broken=(copy.key,))
    with pytest.raises(SweepFailed, match="time ran out"):
        run_job(hand.environment, job, PAUSE)
    hand.seconds_left = lambda: 900.0
    hand.asked.clear()
    swept(hand, job, repeated=True)
    assert told(hand) == truth(hand)
    assert hand.head().complete


@pytest.mark.parametrize("at", ["a look", "the end"])
@pytest.mark.parametrize("count", [3, 36], ids=["without pages", "with pages"])
def test_a_copy_that_is_lost_in_the_middle_of_a_sweep_does_not_keep_it_going_for_ever(at, count):
    hand = known(count)
    hand.commit(hand.upload(PROMPTS, body=b'{"0001.jpg": "cat"}'))
    head, ask = hand.head(), hand.enqueue
    hand.store.remove(head.sidecars[0].copies[0].key)
    hand.upload(PROMPTS, body=b'{"0002.jpg": "owl"}')
    hand.now = EVENING
    progress = Progress(
        created_at=head.created_at,
        started_at=EVENING,
        first_revision=head.first_revision,
        looks=(PREFIX + names(0)[0],) if at == "a look" else (),
        finished_listing=True,
    )
    asked = []

    def ask_a_few_times(jobs, delay_seconds=0):
        asked.extend(jobs)
        assert len(asked) < 10
        ask(jobs, delay_seconds)

    hand.enqueue = ask_a_few_times
    swept(hand, Sweep(kind="style", id="16", progress=progress))
    assert told(hand) == truth(hand)
    assert {entry.filename: entry.prompt for entry in hand.entries() if entry.prompt} == {"0002.jpg": "owl"}
    assert hand.head().complete


def busy(hand, reads):
    """Somebody else commits to a page of their own before each of these reads of an object of the manifest."""
    get = hand.store.get

    def get_while_others_commit(key):
        if reads(key):
            hand.store.get = get
            hand.commit([PREFIX + names(35)[0]])
            hand.store.get = get_while_others_commit
        return get(key)

    hand.store.get = get_while_others_commit


@pytest.mark.parametrize("job", ["asked for", "as every day"])
def test_a_lost_page_of_a_collection_that_is_never_quiet_is_found_and_repaired(job):
    hand, asked = with_a_lost_page()
    lost = asked.broken[0]
    busy(hand, lambda key: key == lost)
    swept(hand, asked if job == "asked for" else Sweep(kind="style", id="16"))
    assert told(hand) == truth(hand)
    assert lost not in {page.key for page in hand.head().pages}


def test_a_reader_of_a_collection_that_is_never_quiet_is_told_of_the_broken_page():
    hand, job = with_a_lost_page()
    loaded = heads.load(hand.store, STYLE)
    busy(hand, lambda key: key == job.broken[0])
    with pytest.raises(BrokenObjects) as error:
        pages.read(hand.store, one_by_one, STYLE, loaded, list(loaded.head.pages))
    assert error.value.keys == job.broken


def archived(store, key):
    present, body = store.objects[key]
    store.objects[key] = present._replace(archived=True, storage_class="GLACIER"), body


def test_a_page_that_went_into_an_archive_is_replaced():
    hand = known(36)
    key = hand.head().pages[2].key
    archived(hand.store, key)
    hand.commit(hand.upload(*names(0), body=b"other"))  # of another page
    hand.now = EVENING
    swept(hand)
    assert told(hand) == truth(hand)
    assert (hand.head().complete, hand.head().last_verified_at) == (True, EVENING)


def test_very_many_pages_that_went_into_an_archive_are_reason_for_a_rebuild(monkeypatch):
    monkeypatch.setattr("s3_manifest.reconcile.repair.MAX_PAGES", 2)
    hand = known(36)
    for page in hand.head().pages:
        archived(hand.store, page.key)
    hand.now = EVENING
    swept(hand)
    assert told(hand) == truth(hand)
    assert hand.head().complete


@pytest.mark.parametrize("of", ["the copy", "the sidecar, and its copy is lost"])
def test_a_copy_of_a_sidecar_that_nobody_can_read_is_made_anew(of):
    hand = known(36)
    hand.commit(hand.upload(PROMPTS, body=b'{"0003.jpg": "cat"}'))
    (copy,) = hand.head().sidecars[0].copies
    if of == "the copy":
        archived(hand.store, copy.key)
    else:
        archived(hand.store, PREFIX + PROMPTS)
        hand.store.remove(copy.key)
    hand.now = EVENING
    swept(hand)
    assert told(hand) == truth(hand)
    assert (hand.head().complete, hand.head().last_verified_at) == (True, EVENING)
    hand.commit(hand.upload(*names(3), body=b"other"))


def test_a_page_that_one_may_not_read_is_not_taken_for_lost():
    hand = known(36)
    before, key = hand.head(), hand.head().pages[2].key
    get = hand.store.get

    def refused(wanted):
        if wanted == key:
            raise ReadFailed(key, "not read: 403")
        return get(wanted)

    hand.store.get = refused
    with pytest.raises(ReadFailed):
        swept(hand)
    hand.store.get = get
    assert hand.head() == before
