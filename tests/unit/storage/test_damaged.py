"""Objects of a manifest that are lost or damaged: every reader detects them, and the sweep repairs them from S3."""

import json

import pytest
from unit.sweeping import clear_records, complete_harness, files_in_bucket, files_in_manifest, names, run_sweep
from unit.values import EVENING, PREFIX, STYLE

from s3_manifest.manifest.jobs import Sweep, decode_job, encode_job
from s3_manifest.query import reads
from s3_manifest.query.history import History, HistoryExpired
from s3_manifest.query.reads import PageQuery
from s3_manifest.reconcile.reconcile import Message, reconcile
from s3_manifest.storage import heads
from s3_manifest.storage.snapshot import BrokenObjects
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.recovery import back_up_unreadable

pytestmark = pytest.mark.usefixtures("small_pages")

PROMPTS = "prompt_metadata.json"


def lost(store, key):
    store.remove(key)


def cut_off(store, key):
    store.upload(key, store.objects[key][1][:-20])


def one_prompt_altered(store, key):
    body = store.objects[key][1]
    store.upload(key, body.replace(b'"prompt":null', b'"prompt":"x"', 1).replace(b'"cat"', b'"dog"', 1))


def a_size_altered(store, key):
    store.upload(key, store.objects[key][1].replace(b'"size_bytes":3', b'"size_bytes":4', 1))


def emptied(store, key):
    store.upload(key, b"")


DAMAGES = [lost, cut_off, one_prompt_altered, a_size_altered, emptied]


def damaged(damage, index=2, count=36):
    """A complete manifest with pages of six files, one of them damaged, and the key of that page."""
    harness = complete_harness(count)
    key = harness.head().pages[index].key
    damage(harness.store, key)
    harness.now = EVENING
    return harness, key


def read(harness):
    snapshot = harness.snapshot()
    return list(snapshot.read(snapshot.head.pages))


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_error_names_the_broken_page_and_the_remedy(damage):
    harness, key = damaged(damage)
    with pytest.raises(BrokenObjects, match="rescan of style/16") as error:
        read(harness)
    assert error.value.keys == (key,)
    assert key in str(error.value)


def test_a_page_with_the_content_of_another_is_broken():
    harness, key = damaged(lambda store, key: None)
    other = harness.head().pages[3].key
    harness.store.upload(key, harness.store.objects[other][1])
    with pytest.raises(BrokenObjects):
        read(harness)


def test_a_page_is_compared_with_a_reference_of_an_earlier_version():
    harness = complete_harness(36)
    snapshot = harness.snapshot()
    refs = [page.model_copy(update={"sha256": None}) for page in snapshot.head.pages]
    assert [run.first for run in snapshot.read(refs)] == [ref.first for ref in refs]
    a_size_altered(harness.store, refs[1].key)
    with pytest.raises(BrokenObjects):
        snapshot.read(refs)


@pytest.mark.parametrize("index", [0, 2, 5], ids=["first", "middle", "last"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_sweep_repairs_a_broken_page_and_the_history_continues(damage, index):
    harness, _ = damaged(damage, index)
    before = harness.head()
    run_sweep(harness)
    after = harness.head()
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert (after.complete, after.last_verified_at, after.revision) == (True, EVENING, before.revision)
    assert [page.sha256 for page in after.pages] == [page.sha256 for page in before.pages]
    assert after.generations == before.generations
    assert harness.announcements == []
    read(harness)


@pytest.mark.parametrize("count", [2, 6], ids=["some", "all"])
def test_several_broken_pages_are_repaired_together(count):
    harness, _ = damaged(lost, 0)
    for page in harness.head().pages[1:count]:
        lost(harness.store, page.key)
    run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert harness.head().complete


@pytest.mark.parametrize("index", [0, 2, 5])
def test_a_repaired_page_includes_the_changes_since_it_broke(index):
    harness, _ = damaged(lost, index)
    first, second = names(index * 6, index * 6 + 1)
    harness.store.remove(PREFIX + first)
    harness.upload(second, body=b"other")
    harness.upload(f"{second}.new.jpg")
    before = harness.head()
    run_sweep(harness)
    after = harness.head()
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert (after.complete, after.revision, after.first_revision) == (True, before.revision + 1, before.revision + 1)
    assert after.created_at == before.created_at
    assert sum(generation.image_count for generation in after.generations) == after.total_files == 36


def test_a_follower_rereads_a_repaired_manifest_and_continues():
    harness, _ = damaged(lost)
    harness.store.remove(PREFIX + names(12)[0])
    run_sweep(harness)
    harness.commit(harness.upload("later.jpg"))
    head = harness.head()
    for since in range(head.first_revision):
        with pytest.raises(HistoryExpired) as error:
            History(harness.snapshot()).changes_since(since, 100)
        following = History(harness.snapshot()).changes_since(error.value.oldest - 1, 100)
        assert [record.revision for record in following] == [head.revision]


def test_an_object_that_cannot_be_observed_leaves_the_repaired_manifest_incomplete_until_it_can():
    harness, _ = damaged(lost)
    odd = PREFIX + names(13)[0]
    harness.store.unreadable.add(odd)
    with pytest.raises(Exception, match="cannot be read"):
        run_sweep(harness)
    assert not harness.head().complete
    harness.store.unreadable.clear()
    harness.queued_jobs.clear()
    run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert harness.head().complete


def test_a_repair_that_loses_against_other_commits_observes_everything_again():
    harness, _ = damaged(lost)
    removed = [PREFIX + name for name in names(14, 15)]

    def other_commit():
        if removed:
            key = removed.pop()
            harness.store.before_put = lambda: None
            harness.commit([PREFIX + names(35)[0]])
            harness.store.remove(key)  # after it was observed
            harness.store.before_put = other_commit

    harness.store.before_put = other_commit
    run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)


def message(*filenames):
    records = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": EVENING,
            "s3": {"bucket": {"name": "storyboard-user-files"}, "object": {"key": PREFIX + filename}},
        }
        for filename in filenames
    ]
    return json.dumps({"Records": records})


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_batch_fails_only_for_the_keys_of_the_broken_page_and_requests_its_repair(damage):
    harness, key = damaged(damage)
    healthy, broken = names(3)[0], names(13)[0]
    harness.upload(healthy, broken, body=b"other")
    report = reconcile(harness.environment, [Message("healthy", message(healthy)), Message("broken", message(broken))])
    assert list(report.failed) == ["broken"], report.failed
    assert key in report.failed["broken"]
    assert {entry.size_bytes for entry in pages_but(harness, key) if entry.filename == healthy} == {5}
    (job,) = harness.queued_jobs
    assert job == Sweep(kind="style", id="16", broken=(key,))
    harness.queued_jobs.clear()
    run_job(harness.environment, decode_job(encode_job(job)), 30)
    assert reconcile(harness.environment, [Message("broken", message(broken), 2)]).failed == {}
    assert files_in_manifest(harness) == files_in_bucket(harness)


def pages_but(harness, broken):
    snapshot = harness.snapshot()
    refs = [page for page in snapshot.head.pages if page.key != broken]
    return [entry for run in snapshot.read(refs) for entry in run.entries()]


def test_a_small_page_beside_a_broken_one_is_not_merged_until_the_repair():
    harness, key = damaged(lost, 1)
    removed = [PREFIX + name for name in names(*range(1, 6))]
    for removed_key in removed:
        harness.store.remove(removed_key)
    outcome = harness.commit(removed)
    assert (outcome.unreadable, outcome.commits) == ({}, 1)
    assert harness.head().pages[1].key == key
    harness.queued_jobs.clear()
    run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)


def test_a_concurrent_repair_is_not_repeated():
    harness, key = damaged(lost)
    run_sweep(harness)
    clear_records(harness)
    (done,) = run_sweep(harness, Sweep(kind="style", id="16", broken=(key,)))
    assert done.finished
    assert harness.store.written_heads == []


def test_an_intact_page_is_not_replaced_when_a_job_names_it_as_broken():
    harness = complete_harness(36)
    before = harness.head()
    run_sweep(harness, Sweep(kind="style", id="16", broken=(before.pages[0].key,)))
    assert harness.head().pages == before.pages


def with_prompts(count=36):
    harness = complete_harness(count)
    harness.commit(harness.upload(PROMPTS, body=b'{"0003.jpg": "cat", "0020.jpg": "cat"}'))
    (copy,) = harness.head().sidecars[0].copies
    clear_records(harness)
    harness.now = EVENING
    return harness, copy.key


@pytest.mark.parametrize("damage", [lost, cut_off, one_prompt_altered, emptied])
def test_a_broken_copy_of_a_sidecar_is_written_again_from_the_sidecar_when_it_is_needed(damage):
    harness, key = with_prompts()
    whole = harness.store.objects[key][1]
    damage(harness.store, key)
    harness.commit(harness.upload("0003.jpg", body=b"other"))
    assert harness.store.objects[key][1] == whole
    assert {entry.filename: entry.prompt for entry in harness.entries() if entry.prompt} == dict.fromkeys(
        names(3, 20), "cat"
    )


@pytest.mark.parametrize("damage", [lost, one_prompt_altered])
def test_a_sweep_writes_a_broken_copy_again(damage):
    harness, key = with_prompts()
    whole = harness.store.objects[key][1]
    damage(harness.store, key)
    run_sweep(harness)
    assert harness.store.objects[key][1] == whole
    assert harness.head().last_verified_at == EVENING


@pytest.mark.parametrize("damage", [lost, one_prompt_altered])
def test_the_manifest_is_rebuilt_if_the_sidecar_of_a_broken_copy_changed(damage):
    harness, key = with_prompts()
    damage(harness.store, key)
    harness.upload(PROMPTS, body=b'{"0007.jpg": "owl"}')
    with pytest.raises(BrokenObjects):
        harness.commit(harness.upload("0003.jpg", body=b"other"))
    (job,) = harness.queued_jobs
    harness.queued_jobs.clear()
    run_sweep(harness, job)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert {entry.filename: entry.prompt for entry in harness.entries() if entry.prompt} == {"0007.jpg": "owl"}
    assert harness.head().complete


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_requested_rebuild_replaces_a_manifest_with_a_broken_page(damage):
    harness, _ = damaged(damage)
    assert back_up_unreadable(harness.environment, STYLE)


@pytest.mark.parametrize("damage", [lost, cut_off, one_prompt_altered])
@pytest.mark.parametrize("of", ["checkpoint", "page"])
def test_a_broken_object_of_an_old_revision_ends_the_history(damage, of, monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 2)
    harness = complete_harness(36)
    for number in range(4):
        harness.commit(harness.upload("0003.jpg", body=bytes([number])))
    (checkpoint,) = [key for key in harness.store.objects if key.startswith(f"{STYLE.folder}checkpoints/000000000002")]
    revision_head = heads.decode(STYLE, harness.store.objects[checkpoint][1])
    key = checkpoint if of == "checkpoint" else revision_head.pages[0].key
    if of == "checkpoint" and damage is one_prompt_altered:
        harness.store.upload(key, harness.store.objects[key][1].replace(b'"complete":true', b'"complete":false'))
    else:
        damage(harness.store, key)
    with pytest.raises(HistoryExpired):
        reads.page(harness.snapshot(), PageQuery(revision=1))
    assert reads.page(harness.snapshot(), PageQuery(revision=4))


def test_a_damaged_record_counts_as_lost():
    harness = complete_harness(3)
    for number in range(3):
        harness.commit(harness.upload("0001.jpg", body=bytes([number])))
    record = next(key for key in harness.store.objects if key.startswith(f"{STYLE.folder}changes/000000000003"))
    harness.store.upload(record, harness.store.objects[record][1].replace(b'"cause":"Obj', b'"cause":"0bj'))
    with pytest.raises(HistoryExpired) as error:
        History(harness.snapshot()).changes_since(1, 10)
    assert error.value.oldest == 4


def test_a_lost_head_is_rebuilt_from_s3():
    harness = complete_harness(36)
    harness.store.remove(STYLE.head_key)
    harness.now = EVENING
    run_sweep(harness)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert (harness.head().complete, harness.head().revision, harness.head().first_revision) == (True, 2, 2)
