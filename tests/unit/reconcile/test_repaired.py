"""Concurrent repairs: whether the manifest counts as complete, and which worker continues."""

import pytest
from unit.sweeping import PAUSE, clear_records, complete_harness, files_in_bucket, files_in_manifest, names, run_sweep
from unit.values import EVENING, PREFIX, STYLE

from s3_manifest.manifest.changes import decode_record
from s3_manifest.manifest.jobs import Progress, Sweep
from s3_manifest.reconcile.environment import AnnouncementFailed
from s3_manifest.reconcile.repair import repair
from s3_manifest.storage.change_log import REPAIRED
from s3_manifest.storage.snapshot import BrokenObjects
from s3_manifest.storage.store import ReadFailed
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepFailed

pytestmark = pytest.mark.usefixtures("small_pages")

PROMPTS = "prompt_metadata.json"


def with_a_lost_page(index=2, count=36):
    """A complete manifest with pages of six files, one of them lost, and the job that repairs it."""
    harness = complete_harness(count)
    key = harness.head().pages[index].key
    harness.store.remove(key)
    harness.now = EVENING
    return harness, Sweep(kind="style", id="16", broken=(key,))


def test_a_repair_of_a_manifest_without_pages_writes_nothing():
    harness, job = with_a_lost_page()
    harness.store.remove(STYLE.head_key)
    for key in [key for key in harness.store.objects if key.startswith(PREFIX)][3:]:
        harness.store.remove(key)
    harness.commit([PREFIX + names(0)[0]])
    assert harness.head().pages == ()
    clear_records(harness)
    assert repair(harness.environment, STYLE, job.broken).finished
    assert harness.store.written_heads == []


def test_a_lost_page_with_the_sources_of_an_earlier_version_is_restored_as_it_was():
    harness, job = with_a_lost_page()
    before = harness.head()
    harness.subscribed_at = EVENING  # the record is younger than the files
    assert repair(harness.environment, STYLE, job.broken).finished
    assert {entry.source for entry in harness.entries()} == {"s3_event"}
    assert (harness.head().revision, harness.head().generations) == (before.revision, before.generations)


def test_a_lost_page_that_changed_has_the_sources_that_follow_from_the_record():
    harness, job = with_a_lost_page()
    harness.subscribed_at = EVENING
    harness.upload(*names(12))
    assert repair(harness.environment, STYLE, job.broken).finished
    sources = {entry.filename: entry.source for entry in harness.entries()}
    assert [sources[name] for name in names(11, 12, 13)] == ["s3_event", "s3_event", "s3_scan"]


def test_a_page_lost_during_a_repair_is_repaired_too():
    harness, job = with_a_lost_page()
    harness.store.remove(PREFIX + names(12)[0])
    beside, get, reads = harness.head().pages[1].key, harness.store.get, []

    def lost_after_it_was_read(key):
        if key == beside:
            reads.append(key)
            if len(reads) == 2:
                harness.store.remove(key)
        return get(key)

    harness.store.get = lost_after_it_was_read
    assert repair(harness.environment, STYLE, job.broken).finished
    assert len(reads) >= 2
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert sum(item.image_count for item in harness.head().generations) == harness.head().total_files


def test_the_record_of_a_repair_names_no_files_as_added():
    harness, job = with_a_lost_page()
    harness.store.remove(PREFIX + names(12)[0])
    assert repair(harness.environment, STYLE, job.broken).finished
    (key,) = [key for key in harness.store.objects if key.endswith(f"-{REPAIRED}.json")]
    record = decode_record(harness.store.objects[key][1])
    assert record.revision == harness.head().revision
    assert list(record.file_changes()) == []


def test_a_repair_does_not_undo_concurrent_commits():
    harness, job = with_a_lost_page()
    harness.store.remove(PREFIX + names(12)[0])
    head, others = harness.store.head, [PREFIX + names(30)[0]]

    def others_commit_first(key):
        if key == PREFIX + names(13)[0] and others:
            other = others.pop()
            harness.store.remove(other)
            harness.commit([other])
        return head(key)

    harness.store.head = others_commit_first
    outcome = repair(harness.environment, STYLE, job.broken)
    assert (outcome.finished, outcome.conflicts) == (True, 1)
    assert files_in_manifest(harness) == files_in_bucket(harness)


def paused_after_the_first_pages(harness):
    """The job of a sweep that has compared the first pages and continues with the others."""
    harness.seconds_left = lambda: PAUSE - 1
    run_job(harness.environment, Sweep(kind="style", id="16"), PAUSE)
    harness.seconds_left = lambda: 900.0
    (job,) = harness.queued_jobs
    harness.queued_jobs.clear()
    assert job.progress.start > names(5)[0]
    return job


def test_a_resumed_sweep_includes_keys_that_a_repair_behind_it_left_out():
    harness = complete_harness(36)
    paused = paused_after_the_first_pages(harness)
    harness.store.remove(harness.head().pages[0].key)
    odd = PREFIX + names(2)[0]
    harness.store.unreadable.add(odd)
    assert repair(harness.environment, STYLE, [harness.head().pages[0].key]).finished
    assert not harness.head().complete
    harness.store.unreadable.clear()
    harness.now = EVENING
    run_sweep(harness, paused)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert (harness.head().complete, harness.head().last_verified_at) == (True, EVENING)


def test_a_sweep_whose_final_repair_left_out_a_key_fails_and_stays_incomplete():
    harness, _ = with_a_lost_page(0)
    head = harness.head()
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
    harness.store.unreadable.add(odd)
    with pytest.raises(SweepFailed, match="cannot be read"):
        run_sweep(harness, at_the_end)
    assert not harness.head().complete
    harness.store.unreadable.clear()
    harness.queued_jobs.clear()
    run_sweep(harness, at_the_end, repeated=True)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert harness.head().complete


def test_a_repair_that_died_before_it_was_announced_is_announced_when_it_is_repeated():
    harness, job = with_a_lost_page()
    harness.store.remove(PREFIX + names(12)[0])
    announce = harness.announce

    def fail(*args, **kwargs):
        raise AnnouncementFailed("no bus")

    harness.announce = fail
    with pytest.raises(AnnouncementFailed):
        run_job(harness.environment, job, PAUSE)
    harness.announce = announce
    assert harness.announcements == []
    run_sweep(harness, job, repeated=True)
    assert harness.announcements[-1][0] == harness.head().revision


def test_a_repeated_partial_repair_is_followed_by_its_sweep():
    harness, job = with_a_lost_page()
    odd = PREFIX + names(13)[0]
    harness.store.unreadable.add(odd)
    with pytest.raises(SweepFailed):
        run_sweep(harness, job)
    assert not harness.head().complete
    harness.store.unreadable.clear()
    harness.queued_jobs.clear()
    run_sweep(harness, job, repeated=True)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert harness.head().complete


def test_a_request_for_a_repair_that_is_already_done_does_not_sweep():
    harness, job = with_a_lost_page()
    harness.store.unreadable.add(PREFIX + names(13)[0])
    repair(harness.environment, STYLE, job.broken)
    clear_records(harness)
    assert run_sweep(harness, job)[0].finished
    assert harness.store.requests_for("LIST", PREFIX) == []


def test_a_rebuild_that_time_ran_out_for_is_retried():
    harness = complete_harness(36)
    harness.commit(harness.upload(PROMPTS, body=b'{"0003.jpg": "cat"}'))
    (copy,) = harness.head().sidecars[0].copies
    harness.store.remove(copy.key)
    harness.upload(PROMPTS, body=b'{"0007.jpg": "owl"}')
    harness.seconds_left = lambda: 5.0
    job = Sweep(kind="style", id="16", broken=(copy.key,))
    with pytest.raises(SweepFailed, match="time ran out"):
        run_job(harness.environment, job, PAUSE)
    harness.seconds_left = lambda: 900.0
    harness.queued_jobs.clear()
    run_sweep(harness, job, repeated=True)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert harness.head().complete


@pytest.mark.parametrize("at", ["a look", "the end"])
@pytest.mark.parametrize("count", [3, 36], ids=["without pages", "with pages"])
def test_a_sweep_ends_although_the_copy_of_a_sidecar_was_lost_meanwhile(at, count):
    harness = complete_harness(count)
    harness.commit(harness.upload(PROMPTS, body=b'{"0001.jpg": "cat"}'))
    head, enqueue = harness.head(), harness.enqueue
    harness.store.remove(head.sidecars[0].copies[0].key)
    harness.upload(PROMPTS, body=b'{"0002.jpg": "owl"}')
    harness.now = EVENING
    progress = Progress(
        created_at=head.created_at,
        started_at=EVENING,
        first_revision=head.first_revision,
        looks=(PREFIX + names(0)[0],) if at == "a look" else (),
        finished_listing=True,
    )
    requested = []

    def enqueue_a_few_times(jobs, delay_seconds=0):
        requested.extend(jobs)
        assert len(requested) < 10
        enqueue(jobs, delay_seconds)

    harness.enqueue = enqueue_a_few_times
    run_sweep(harness, Sweep(kind="style", id="16", progress=progress))
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert {entry.filename: entry.prompt for entry in harness.entries() if entry.prompt} == {"0002.jpg": "owl"}
    assert harness.head().complete


def commit_before_reads(harness, reads):
    """Another worker commits to another page before each read of a matching key."""
    get = harness.store.get

    def get_while_others_commit(key):
        if reads(key):
            harness.store.get = get
            harness.commit([PREFIX + names(35)[0]])
            harness.store.get = get_while_others_commit
        return get(key)

    harness.store.get = get_while_others_commit


@pytest.mark.parametrize("job", ["asked for", "as every day"])
def test_a_lost_page_of_a_constantly_changing_collection_is_repaired(job):
    harness, requested = with_a_lost_page()
    lost = requested.broken[0]
    commit_before_reads(harness, lambda key: key == lost)
    run_sweep(harness, requested if job == "asked for" else Sweep(kind="style", id="16"))
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert lost not in {page.key for page in harness.head().pages}


def test_a_reader_of_a_constantly_changing_collection_gets_the_error_of_the_broken_page():
    harness, job = with_a_lost_page()
    snapshot = harness.snapshot()
    commit_before_reads(harness, lambda key: key == job.broken[0])
    with pytest.raises(BrokenObjects) as error:
        snapshot.read(snapshot.head.pages)
    assert error.value.keys == job.broken


def archived(store, key):
    present, body = store.objects[key]
    store.objects[key] = present._replace(archived=True, storage_class="GLACIER"), body


def test_an_archived_page_is_replaced():
    harness = complete_harness(36)
    key = harness.head().pages[2].key
    archived(harness.store, key)
    harness.commit(harness.upload(*names(0), body=b"other"))  # of another page
    harness.now = EVENING
    run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert (harness.head().complete, harness.head().last_verified_at) == (True, EVENING)


def test_many_archived_pages_cause_a_rebuild(monkeypatch):
    monkeypatch.setattr("s3_manifest.reconcile.repair.MAX_PAGES", 2)
    harness = complete_harness(36)
    for page in harness.head().pages:
        archived(harness.store, page.key)
    harness.now = EVENING
    run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert harness.head().complete


@pytest.mark.parametrize("of", ["the copy", "the sidecar, and its copy is lost"])
def test_an_unreadable_copy_of_a_sidecar_is_written_again(of):
    harness = complete_harness(36)
    harness.commit(harness.upload(PROMPTS, body=b'{"0003.jpg": "cat"}'))
    (copy,) = harness.head().sidecars[0].copies
    if of == "the copy":
        archived(harness.store, copy.key)
    else:
        archived(harness.store, PREFIX + PROMPTS)
        harness.store.remove(copy.key)
    harness.now = EVENING
    run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert (harness.head().complete, harness.head().last_verified_at) == (True, EVENING)
    harness.commit(harness.upload(*names(3), body=b"other"))


def test_a_forbidden_page_does_not_count_as_lost():
    harness = complete_harness(36)
    before, key = harness.head(), harness.head().pages[2].key
    get = harness.store.get

    def refused(requested):
        if requested == key:
            raise ReadFailed(key, "not read: 403")
        return get(requested)

    harness.store.get = refused
    with pytest.raises(ReadFailed):
        run_sweep(harness)
    harness.store.get = get
    assert harness.head() == before
