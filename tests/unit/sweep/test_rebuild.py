import pytest
from unit.environments import Harness
from unit.sweeping import (
    SWEEP_STYLE,
    clear_records,
    complete_harness,
    files_in_bucket,
    files_in_manifest,
    names,
    run_sweep,
)
from unit.values import EVENING, PREFIX, STYLE

from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.storage.store import OutcomeUnknown
from s3_manifest.sweep.recovery import back_up_unreadable

pytestmark = pytest.mark.usefixtures("small_pages")

HEAD, BACKUPS = STYLE.head_key, f"{STYLE.folder}set-aside/"
REBUILD = SWEEP_STYLE.model_copy(update={"rebuild": True})


def broken_head(harness):
    harness.store.upload(HEAD, b"{")


def newer_head(harness):
    harness.store.upload(HEAD, harness.store.objects[HEAD][1].replace(b'"schema":1', b'"schema":2'))


def missing_page(harness):
    harness.store.remove(harness.head().pages[2].key)


def truncated_page(harness):
    key = harness.head().pages[0].key
    harness.store.upload(key, harness.store.objects[key][1][:-20])


def page_broken_in_its_middle(harness):
    key = harness.head().pages[1].key
    harness.store.upload(key, harness.store.objects[key][1].replace(b'"size_bytes":3', b'"size_bytes":"x"'))


DAMAGES = [broken_head, newer_head, missing_page, truncated_page, page_broken_in_its_middle]


def damaged(damage):
    harness = complete_harness(36)
    for n in range(2):
        harness.commit(harness.upload(f"more{n}.jpg"))
    damage(harness)
    harness.now = EVENING
    clear_records(harness)
    return harness


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unreadable_manifest_is_backed_up_and_rebuilt_from_s3_and_its_revision_continues(damage):
    harness = damaged(damage)
    etag, body = harness.store.objects[HEAD][0].etag, harness.store.objects[HEAD][1]
    run_sweep(harness, REBUILD)
    assert harness.store.objects[f"{BACKUPS}{etag}.json"][1] == body
    assert files_in_manifest(harness) == files_in_bucket(harness)
    head = harness.head()
    assert (head.complete, head.created_at, head.revision) == (True, EVENING, 4)
    assert harness.announcements == [(4, False)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_rebuilt_manifest_is_swept_without_drift(damage):
    harness = damaged(damage)
    run_sweep(harness, REBUILD)
    assert [done.drift for done in run_sweep(harness)] == [0]
    assert harness.head().last_verified_at == EVENING


@pytest.mark.parametrize("job", [SWEEP_STYLE, None], ids=["a sweep", "a commit"])
@pytest.mark.parametrize("damage", [broken_head, newer_head])
def test_an_unreadable_head_is_only_replaced_on_request(damage, job):
    harness = damaged(damage)
    before = dict(harness.store.objects)
    with pytest.raises(UnreadableManifest):
        run_sweep(harness, job) if job else harness.commit([PREFIX + "0000.jpg"])
    assert harness.store.objects == before


@pytest.mark.parametrize("count", [0, 5, 36])
def test_a_readable_manifest_is_not_backed_up_but_swept(count):
    harness = complete_harness(count)
    harness.upload("new.jpg")
    run_sweep(harness, REBUILD)
    assert harness.store.requests_for("ADD", BACKUPS) == []
    assert (harness.filenames(), harness.head().revision) == ([*names(*range(count)), "new.jpg"], 2)
    assert back_up_unreadable(harness.environment, STYLE) is None


def test_without_a_head_nothing_is_backed_up_and_a_head_is_created():
    harness = Harness()
    harness.upload("a.jpg")
    assert back_up_unreadable(harness.environment, STYLE) is None
    run_sweep(harness, REBUILD)
    assert (harness.filenames(), harness.head().revision) == (["a.jpg"], 1)


def test_a_deleted_head_is_recreated_with_a_revision_above_its_old_records():
    harness = complete_harness(5)
    harness.commit(harness.upload("new.jpg"))
    harness.store.remove(HEAD)
    harness.commit([PREFIX + "new.jpg"])
    assert (harness.head().revision, harness.head().total_files) == (3, 6)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_rebuild_that_is_delivered_again_replaces_nothing_twice(damage):
    harness = damaged(damage)
    run_sweep(harness, REBUILD)
    before = harness.head()
    run_sweep(harness, REBUILD, repeated=True)
    after = harness.head()
    assert (after.revision, after.created_at, after.files, after.pages) == (4, EVENING, before.files, before.pages)
    assert len(harness.store.requests_for("ADD", BACKUPS)) == 1


@pytest.mark.parametrize("stored", [False, True], ids=["not stored", "stored"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_rebuild_whose_response_is_lost_is_announced_once(damage, stored):
    harness = damaged(damage)
    put = harness.store.put

    def lost(key, body, **more):
        if key == HEAD:
            harness.store.put = put
            if stored:
                put(key, body, **more)
            raise OutcomeUnknown(key, "lost")
        return put(key, body, **more)

    harness.store.put = lost
    run_sweep(harness, REBUILD)
    assert files_in_manifest(harness) == files_in_bucket(harness)
    assert harness.announcements == ([(4, True)] if stored else [(5, False)])


def test_a_repeated_backup_has_the_same_key():
    harness = damaged(broken_head)
    first = back_up_unreadable(harness.environment, STYLE)
    assert back_up_unreadable(harness.environment, STYLE) == first
    assert [key for key in harness.store.objects if key.startswith(BACKUPS)] == [f"{BACKUPS}{first}.json"]


def test_a_head_that_is_replaced_during_its_backup_stays():
    harness = damaged(broken_head)
    etag = back_up_unreadable(harness.environment, STYLE)
    harness.store.upload(HEAD, b"something newer")
    with pytest.raises(UnreadableManifest):
        harness.commit([], unreadable_etag=etag)
    assert harness.store.objects[HEAD][1] == b"something newer"
