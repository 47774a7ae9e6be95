"""Content that was read from an object stays valid for its ETag, even if the object can no longer be read."""

import json

import pytest
from unit.environments import Harness
from unit.sweeping import run_sweep
from unit.values import PREFIX, STYLE

from s3_manifest.edits.collection_json import set_title
from s3_manifest.edits.prompt_metadata import read_descriptions, update_descriptions
from s3_manifest.edits.sidecar_editor import RetryPolicy, SidecarEditor, UnreadableSidecar
from s3_manifest.storage.store import Archived, ReadFailed

PROMPTS, FOLDER, TABLE, FACTS, CAPTION = (
    "prompt_metadata.json",
    "metadata.jsonl",
    "metadata.csv",
    "collection.json",
    "a.txt",
)
DESCRIPTIONS = json.dumps(
    {"a.jpg": {"prompt": "a fox", "labels": ["x"]}, "secret.jpg": {"hidden": True}, "c.jpg": 7}
).encode()
GENERATION = {"generation_id": 7, "type": "lora", "generated_at": "2026-03-01", "metadata": {"steps": 28}}
ABOUT = json.dumps({"title": "Foxes", "generations": [GENERATION, 7]}).encode()
RESTORED = "ObjectRestore:Completed"
POLICY = RetryPolicy(lambda: 60.0, lambda _: None, lambda: 0.0, lambda: 1)
BODIES = {
    PROMPTS: DESCRIPTIONS,
    FOLDER: b'{"file_name": "a.jpg", "generation_id": 7, "generation_type": "lora"}\n{',
    TABLE: b"file_name,local_path\na.jpg,/here\nb.jpg\n",
    FACTS: ABOUT,
    CAPTION: b"from the caption",
}


def described_collection():
    """A harness with a manifest of files that sidecars of every kind describe."""
    harness = Harness()
    for name, body in BODIES.items():
        harness.upload(name, body=body)
    harness.upload("a.jpg", "secret.jpg")
    harness.commit([PREFIX + name for name in (*BODIES, "a.jpg", "secret.jpg")])
    return harness


def archive(harness, *names, storage_class="GLACIER", archived=True):
    """A lifecycle rule moves the objects; nothing else about them changes, and no event is sent."""
    for name in names:
        present, body = harness.store.objects[PREFIX + name]
        present = present._replace(storage_class=storage_class, archived=archived)
        harness.store.objects[PREFIX + name] = present, body
    return [PREFIX + name for name in names]


def restore(harness, *names):
    """A restored object stays in its storage class, and can be read for some days."""
    return archive(harness, *names, archived=False)


def manifest_fields(harness):
    """The manifest without storage classes and problems."""
    head = harness.head()

    def fields(entries):
        return [entry.model_copy(update={"storage_class": "STANDARD", "problem": None}) for entry in entries]

    parts = (fields(head.files), fields(head.captions), fields(head.hidden))
    sidecars = [(item.s3_key, item.etag, item.edit, len(item.copies)) for item in head.sidecars]
    return head.title, head.generations, sidecars, *parts


def problems(harness, name):
    return [item.problem for item in harness.head().problems if item.s3_key == PREFIX + name]


@pytest.mark.parametrize("name", BODIES)
def test_an_archived_sidecar_keeps_its_descriptions_and_is_reported_as_archived(name):
    harness = described_collection()
    before, known = manifest_fields(harness), problems(harness, name)
    harness.commit(archive(harness, name))
    assert manifest_fields(harness) == before
    assert problems(harness, name)[: len(known)] == known
    (problem,) = problems(harness, name)[len(known) :]
    assert problem.startswith("it is archived and cannot be read (GLACIER)")
    assert [entry.filename for entry in harness.head().hidden] == ["secret.jpg"]


def test_archiving_all_sidecars_together_leaves_the_manifest_unchanged():
    harness = described_collection()
    before = manifest_fields(harness)
    harness.commit(archive(harness, *BODIES))
    assert manifest_fields(harness) == before


@pytest.mark.parametrize("name", BODIES)
def test_observing_an_archived_sidecar_again_changes_nothing(name):
    harness = described_collection()
    harness.commit(archive(harness, name))
    revision = harness.head().revision
    harness.commit([PREFIX + name])
    harness.commit([PREFIX + name, *harness.upload("a.jpg")])
    assert harness.head().revision == revision
    harness.commit(archive(harness, name, storage_class="DEEP_ARCHIVE"))
    assert sum("archived" in problem for problem in problems(harness, name)) == 1


@pytest.mark.parametrize("name", BODIES)
def test_a_file_uploaded_after_its_sidecar_was_archived_is_described_by_it(name):
    harness = described_collection()
    before = manifest_fields(harness)
    harness.commit(archive(harness, name))
    harness.store.remove(PREFIX + "a.jpg")
    harness.store.remove(PREFIX + "secret.jpg")
    harness.commit([PREFIX + "a.jpg", PREFIX + "secret.jpg"])
    harness.commit([*harness.upload("a.jpg", "secret.jpg"), PREFIX + name])
    assert manifest_fields(harness) == before


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("observed", [True, False], ids=["seen archived", "not seen archived"])
def test_a_restored_sidecar_is_read_when_its_event_arrives(name, observed):
    harness = described_collection()
    before, known = manifest_fields(harness), problems(harness, name)
    archived = archive(harness, name)
    if observed:
        harness.commit(archived)
    harness.commit(restore(harness, name), cause=RESTORED)
    assert (manifest_fields(harness), problems(harness, name)) == (before, known)


@pytest.mark.parametrize("name", BODIES)
def test_a_sidecar_that_was_never_read_describes_nothing_until_it_is_restored(name):
    whole = described_collection()
    harness = Harness()
    for filename, body in BODIES.items():
        harness.upload(filename, body=body)
    harness.upload("a.jpg", "secret.jpg")
    archive(harness, name)
    harness.commit([PREFIX + name for name in (*BODIES, "a.jpg", "secret.jpg")])
    assert manifest_fields(harness) != manifest_fields(whole)
    assert problems(harness, name)[0].startswith("it is archived")
    harness.commit(restore(harness, name), cause=RESTORED)
    assert manifest_fields(harness) == manifest_fields(whole)


@pytest.mark.parametrize("name", BODIES)
def test_a_sweep_reads_a_sidecar_restored_without_an_event(name):
    whole = described_collection()
    harness = Harness()
    for filename, body in BODIES.items():
        harness.upload(filename, body=body)
    harness.upload("a.jpg", "secret.jpg")
    archive(harness, name)
    harness.commit([PREFIX + name for name in (*BODIES, "a.jpg", "secret.jpg")])
    restore(harness, name)
    run_sweep(harness)
    assert manifest_fields(harness) == manifest_fields(whole)
    assert not any("archived" in problem for problem in problems(harness, name))


@pytest.mark.parametrize("name", BODIES)
def test_a_sweep_of_a_sidecar_that_is_still_archived_changes_nothing(name):
    harness = described_collection()
    harness.commit(archive(harness, name))
    before, revision = manifest_fields(harness), harness.head().revision
    run_sweep(harness)
    assert (manifest_fields(harness), harness.head().revision) == (before, revision)
    assert harness.head().last_verified_at


@pytest.mark.parametrize("name", BODIES)
def test_an_archived_replacement_does_not_inherit_the_descriptions_of_the_previous_object(name):
    harness = described_collection()
    harness.upload(name, body=b"other", archived=True, storage_class="GLACIER")
    harness.commit([PREFIX + name])
    without = described_collection()
    without.store.remove(PREFIX + name)
    without.commit([PREFIX + name])
    assert [(e.filename, e.prompt, e.labels, e.local_path) for e in harness.head().files] == [
        (e.filename, e.prompt, e.labels, e.local_path) for e in without.head().files
    ]
    assert harness.head().title == without.head().title
    assert len(problems(harness, name)) == 1


@pytest.mark.parametrize("name", BODIES)
def test_a_readable_object_replaces_an_archived_one(name):
    harness = described_collection()
    harness.commit(archive(harness, name))
    harness.commit(harness.upload(name, body=b""))
    fresh = described_collection()
    fresh.commit(fresh.upload(name, body=b""))
    assert (manifest_fields(harness), problems(harness, name)) == (manifest_fields(fresh), problems(fresh, name))


@pytest.mark.parametrize("name", BODIES)
def test_deleting_an_archived_sidecar_removes_its_descriptions(name):
    harness = described_collection()
    harness.commit(archive(harness, name))
    harness.store.remove(PREFIX + name)
    harness.commit([PREFIX + name])
    without_sidecar = described_collection()
    without_sidecar.store.remove(PREFIX + name)
    without_sidecar.commit([PREFIX + name])
    assert (manifest_fields(harness), problems(harness, name)) == (manifest_fields(without_sidecar), [])


@pytest.mark.parametrize("name", BODIES)
def test_a_sidecar_archived_between_observation_and_read_keeps_its_descriptions(name):
    harness = described_collection()
    before = manifest_fields(harness)
    head = harness.store.head

    def then_archived(key):
        observation = head(key)
        archive(harness, name)
        return observation

    harness.store.head = then_archived
    harness.commit([PREFIX + name])
    assert manifest_fields(harness) == before
    assert any("archived" in problem for problem in problems(harness, name))


@pytest.mark.parametrize("name", BODIES)
def test_a_forbidden_sidecar_keeps_its_descriptions_and_is_reported_as_unreadable(name):
    harness = described_collection()
    before, head = manifest_fields(harness), harness.head()

    get = harness.store.get

    def denied(key):
        if key == PREFIX + name:
            raise ReadFailed(key, "not read: 403 AccessDenied")
        return get(key)

    harness.store.get = denied
    outcome = harness.commit([PREFIX + name])
    assert [*outcome.unreadable] == [PREFIX + name]
    harness.store.get = get
    assert (manifest_fields(harness), harness.head().revision) == (before, head.revision)


def test_an_md5_that_was_computed_stays_when_the_object_is_archived():
    harness = Harness(md5_max_bytes=100)
    names = ("a.jpg", CAPTION)
    harness.commit(harness.upload(*names, etag="0-2"))
    computed = {entry.filename: entry.md5_hash for entry in (*harness.head().files, *harness.head().captions)}
    harness.commit(archive(harness, *names))
    assert None not in computed.values()
    assert {e.filename: e.md5_hash for e in (*harness.head().files, *harness.head().captions)} == computed


def test_an_edit_of_an_archived_sidecar_fails_with_the_remedy_and_writes_nothing():
    harness = described_collection()
    archive(harness, PROMPTS, FACTS)
    objects = dict(harness.store.objects)
    editor = SidecarEditor(harness.store, STYLE, POLICY)
    for edit in (
        lambda: update_descriptions(editor, {"a.jpg": {"good": False}}),
        lambda: read_descriptions(editor, ["a.jpg"]),
        lambda: set_title(editor, "Hares"),
    ):
        with pytest.raises(UnreadableSidecar, match="Restore it and copy it over itself, or delete it"):
            edit()
    assert harness.store.objects == objects


def test_reading_an_archived_object_raises_an_error():
    harness = described_collection()
    (key,) = archive(harness, PROMPTS)
    with pytest.raises(Archived):
        harness.store.get(key)


@pytest.mark.usefixtures("small_pages")
def test_in_a_large_collection_a_sweep_reads_a_caption_that_was_restored_without_an_event():
    harness = Harness()
    names = [f"{number:02}.jpg" for number in range(40)]
    harness.upload("07.txt", "30.txt", body=b"a fox")
    archive(harness, "07.txt")
    harness.commit([*harness.upload(*names), PREFIX + "07.txt", PREFIX + "30.txt"])
    run_sweep(harness)
    pages = harness.head().pages
    assert [page.problems for page in pages if page.first <= "07.txt" <= page.last] == [1]
    assert sum(page.problems for page in pages) == 1
    restore(harness, "07.txt")
    harness.store.requests.clear()
    run_sweep(harness)
    assert {entry.filename: entry.prompt for entry in harness.entries()}["07.jpg"] == "a fox"
    assert sum(page.problems for page in harness.head().pages) == 0
    assert [key for key in harness.store.requests_for("HEAD") if key.startswith(PREFIX)] == [PREFIX + "07.txt"]


@pytest.mark.usefixtures("small_pages")
def test_each_page_is_read_once_by_a_sweep_whether_it_has_problems_or_not():
    harness = Harness()
    harness.commit(
        [*harness.upload(*(f"{number:02}.jpg" for number in range(40))), *harness.upload("07.txt", body=b"a fox")]
    )
    run_sweep(harness)
    harness.store.requests.clear()
    run_sweep(harness)
    assert harness.store.requests_for("GET", f"{STYLE.folder}pages/") == [page.key for page in harness.head().pages]
