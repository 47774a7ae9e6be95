"""Commits of a collection with many files: with the tests' small bounds, more than eight."""

import pytest
from unit.environments import Harness
from unit.values import EVENING, NOON, PREFIX, STYLE

from s3_manifest.manifest import layout
from s3_manifest.manifest.changes import decode_record
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.reconcile import working_set
from s3_manifest.reconcile.result import Verification
from s3_manifest.storage import heads
from s3_manifest.storage.store import OutcomeUnknown, WriteRefused

pytestmark = pytest.mark.usefixtures("small_pages")

HEAD, PAGES = STYLE.head_key, f"{STYLE.folder}pages/"


def names(*numbers):
    return [f"{n:04}.jpg" for n in numbers]


def keys(*numbers):
    return [PREFIX + name for name in names(*numbers)]


def paged(count=36):
    """A harness with a manifest of ``count`` files, six to a page."""
    harness = Harness()
    harness.commit(harness.upload(*names(*range(count))))
    harness.store.requests.clear()
    harness.announcements.clear()
    return harness


def page_keys(harness):
    return [page.key for page in harness.head().pages]


def test_many_files_are_in_pages_named_after_the_commit():
    harness = paged()
    assert harness.head().files == ()
    assert page_keys(harness) == [f"{PAGES}commit2-{n}.json" for n in range(6)]
    assert (harness.filenames(), harness.head().total_files) == (names(*range(36)), 36)


def test_a_commit_reads_and_writes_the_pages_it_touches_and_no_others():
    harness = paged()
    before = page_keys(harness)
    harness.store.remove(keys(7)[0])
    harness.commit([*keys(7), *harness.upload("0019.jpg", body=b"other")])
    assert harness.store.requests_for("GET") == [HEAD, before[1], before[3]]
    assert harness.store.requests_for("ADD", PAGES) == [f"{PAGES}{harness.head().commit}-{n}.json" for n in range(2)]
    assert [after == key for after, key in zip(page_keys(harness), before, strict=True)] == [1, 0, 1, 0, 1, 1]
    assert harness.filenames() == names(*range(7), *range(8, 36))


@pytest.mark.parametrize("count", [12, 36, 120])
def test_the_requests_of_a_commit_do_not_depend_on_the_size_of_the_collection(count):
    harness = paged(count)
    harness.commit(harness.upload("0003.jpg", body=b"other"))
    assert [request.split()[0] for request in harness.store.requests] == ["GET", "GET", "HEAD", "ADD", "ADD", "PUT"]


def test_a_commit_without_changes_writes_only_the_head():
    harness = paged()
    before = harness.head()
    harness.commit(keys(0, 35))
    after = harness.head()
    assert harness.store.requests_for("ADD") == []
    assert after == before.model_copy(update={"commit": after.commit})
    assert after.commit != before.commit


def test_pages_record_and_checkpoint_are_written_before_the_head_that_refers_to_them(monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 2)
    harness = paged()
    harness.commit(harness.upload("0003.jpg", body=b"other"))
    last_change = harness.store.written_heads[0].commit
    commit = harness.head().commit
    assert harness.store.requests_for("ADD") == [
        f"{PAGES}{commit}-0.json",
        f"{STYLE.folder}changes/000000000002-{commit}-{last_change}.json",
        f"{STYLE.folder}checkpoints/000000000002-{commit}.json",
    ]
    assert harness.store.requests[-1] == f"PUT {HEAD}"
    assert heads.decode(STYLE, harness.store.objects[heads.checkpoint_key(STYLE, 2, commit)][1]) == harness.head()


def test_each_revision_has_one_record_and_every_nth_a_checkpoint(monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 3)
    harness = Harness()
    for revision in range(1, 8):
        harness.commit(harness.upload(f"{revision}.jpg"))
        harness.commit([PREFIX + "1.jpg"])
        assert harness.head().revision == revision
    assert len(harness.store.requests_for("ADD", f"{STYLE.folder}changes/")) == 7
    checkpoints = harness.store.requests_for("ADD", f"{STYLE.folder}checkpoints/")
    assert [int(key.rpartition("/")[2][:12]) for key in checkpoints] == [3, 6]


def test_the_record_lists_the_changes_of_the_revision():
    harness = paged()
    harness.store.remove(keys(7)[0])
    harness.commit([*keys(7), *harness.upload("0019.jpg", body=b"other"), *harness.upload("0019a.jpg")])
    (key,) = harness.store.requests_for("ADD", f"{STYLE.folder}changes/")
    record = decode_record(harness.store.objects[key][1])
    assert [[item.filename for item in part] for part in (record.added, record.modified, record.removed)] == [
        ["0019a.jpg"],
        ["0019.jpg"],
        ["0007.jpg"],
    ]
    assert (record.revision, record.commit, record.total_files) == (2, harness.head().commit, 36)
    assert {item.cause for item in record.file_changes()} == {"ObjectCreated:Put"}


@pytest.mark.parametrize(("pages", "commits"), [(1, 6), (2, 3), (4, 2), (6, 1), (7, 1)])
def test_a_commit_touches_at_most_the_maximum_of_pages(pages, commits, monkeypatch):
    monkeypatch.setattr(working_set, "MAX_PAGES", pages)
    harness = paged()
    outcome = harness.commit(harness.upload(*names(*range(36)), body=b"other"))
    assert (outcome.commits, outcome.modified, outcome.finished) == (commits, 36, True)
    # An image's caption may sort before it, and so be the last of the page before.
    assert max(pages_in_a_commit(harness, "GET")) <= min(pages, 6) + 1
    assert max(pages_in_a_commit(harness, "ADD")) == min(pages, 6)


def pages_in_a_commit(harness: Harness, verb: str) -> list[int]:
    """How many pages each commit so far read, or wrote."""
    commits = "\n".join(harness.store.requests).split(f"PUT {STYLE.head_key}")
    return [commit.count(f"{verb} {PAGES}") for commit in commits]


def test_only_the_last_of_several_commits_sets_the_time_of_verification(monkeypatch):
    monkeypatch.setattr(working_set, "MAX_PAGES", 1)
    harness = paged()
    harness.commit(keys(*range(36)), verification=Verification(harness.head().created_at, EVENING))
    assert [head.last_verified_at for head in harness.store.written_heads[-6:]] == [NOON] * 5 + [EVENING]


def test_a_manifest_most_of_whose_files_were_deleted_is_inline_again():
    harness = paged()
    for key in keys(*range(34)):
        harness.store.remove(key)
    harness.commit(keys(*range(34)))
    assert (harness.head().pages, harness.filenames()) == ((), names(34, 35))


def test_few_files_in_pages_are_moved_into_the_head_by_a_commit_without_changes(monkeypatch):
    """A repair, and versions with other bounds, leave them there."""
    harness = paged()
    monkeypatch.setattr(layout, "MAX_INLINE", 36)
    before = harness.head()
    harness.commit(keys(0))
    head = harness.head()
    assert (head.revision, head.pages, harness.filenames()) == (before.revision + 1, (), names(*range(36)))
    harness.commit(keys(0))
    assert harness.head().revision == head.revision


def test_a_page_deleted_together_with_a_replaced_head_is_a_conflict():
    harness = paged()
    (first, *_) = page_keys(harness)
    get = harness.store.get

    def collected_meanwhile(key):
        if key == first and harness.store.get is not get:
            harness.store.get = get
            harness.commit(harness.upload("0001.jpg", body=b"theirs"))
            harness.store.remove(first)
        return get(key)

    harness.store.get = collected_meanwhile
    outcome = harness.commit(harness.upload("0002.jpg", body=b"ours"))
    assert (outcome.conflicts, outcome.finished) == (1, True)
    assert [item.size_bytes for item in harness.entries()[:4]] == [3, 6, 4, 3]


@pytest.mark.parametrize("damage", ["gone", "cut off", "foreign", "another page"])
def test_a_missing_or_broken_page_under_its_own_head_makes_the_manifest_unreadable(damage):
    harness = paged()
    first, second, *_ = page_keys(harness)
    body = harness.store.objects[first][1]
    harness.store.remove(first)
    bodies = {"cut off": body[:-9], "foreign": b"{}", "another page": harness.store.objects[second][1]}
    if damage in bodies:
        harness.store.upload(first, bodies[damage])
    before = harness.store.objects[HEAD]
    with pytest.raises(UnreadableManifest, match=first):
        harness.commit(keys(0))
    assert harness.store.objects[HEAD] == before
    assert harness.sleeps == []
    harness.commit(harness.upload("0035.jpg", body=b"elsewhere"))
    assert harness.head().revision == 2


def test_pages_of_a_lost_attempt_are_never_referred_to():
    harness = paged()
    lost = [OutcomeUnknown(HEAD, "lost")]

    def before_put():
        if lost:
            raise lost.pop()

    harness.store.before_put = before_put
    harness.commit(harness.upload("0003.jpg", body=b"other"))
    written = harness.store.requests_for("ADD", PAGES)
    assert len(written) == 2
    assert [key in page_keys(harness) for key in written] == [False, True]


@pytest.mark.parametrize("part", ["pages/", "changes/"])
def test_no_head_is_written_when_a_page_or_the_record_is_refused(part):
    harness = paged()
    before, add = harness.store.objects[HEAD], harness.store.add

    def refused(key, body):
        if part in key:
            raise WriteRefused(key, "403")
        add(key, body)

    harness.store.add = refused
    with pytest.raises(WriteRefused):
        harness.commit(harness.upload("0003.jpg", body=b"other"))
    assert harness.store.objects[HEAD] == before


def test_a_sidecar_of_a_paged_manifest_is_not_in_its_pages():
    harness = paged()
    harness.commit(harness.upload("collection.json", body=b'{"title": "Snow"}'))
    assert (harness.head().title, harness.head().total_files) == ("Snow", 36)
    assert harness.filenames() == names(*range(36))
