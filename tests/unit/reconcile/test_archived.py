"""What was read of an object stays valid for its ETag, also where its bytes cannot be read any more."""

import json

import pytest
from unit.environments import Hand
from unit.sweeping import swept
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
SAID = json.dumps({"a.jpg": {"prompt": "a fox", "labels": ["x"]}, "secret.jpg": {"hidden": True}, "c.jpg": 7}).encode()
GENERATION = {"generation_id": 7, "type": "lora", "generated_at": "2026-03-01", "metadata": {"steps": 28}}
ABOUT = json.dumps({"title": "Foxes", "generations": [GENERATION, 7]}).encode()
RESTORED = "ObjectRestore:Completed"
POLICY = RetryPolicy(lambda: 60.0, lambda _: None, lambda: 0.0, lambda: 1)
BODIES = {
    PROMPTS: SAID,
    FOLDER: b'{"file_name": "a.jpg", "generation_id": 7, "generation_type": "lora"}\n{',
    TABLE: b"file_name,local_path\na.jpg,/here\nb.jpg\n",
    FACTS: ABOUT,
    CAPTION: b"from the caption",
}


def described_collection():
    """A hand with a manifest of files that all sorts of sidecars describe."""
    hand = Hand()
    for name, body in BODIES.items():
        hand.upload(name, body=body)
    hand.upload("a.jpg", "secret.jpg")
    hand.commit([PREFIX + name for name in (*BODIES, "a.jpg", "secret.jpg")])
    return hand


def archive(hand, *names, storage_class="GLACIER", archived=True):
    """A lifecycle rule moves the objects; nothing else of them changes, and no event is sent."""
    for name in names:
        present, body = hand.store.objects[PREFIX + name]
        present = present._replace(storage_class=storage_class, archived=archived)
        hand.store.objects[PREFIX + name] = present, body
    return [PREFIX + name for name in names]


def restore(hand, *names):
    """A restored object stays in its storage class, and can be read for some days."""
    return archive(hand, *names, archived=False)


def says(hand):
    """What the manifest says, but for storage classes and problems."""
    head = hand.head()

    def fields(entries):
        return [entry.model_copy(update={"storage_class": "STANDARD", "problem": None}) for entry in entries]

    parts = (fields(head.files), fields(head.captions), fields(head.hidden))
    sidecars = [(item.s3_key, item.etag, item.edit, len(item.copies)) for item in head.sidecars]
    return head.title, head.generations, sidecars, *parts


def problems(hand, name):
    return [item.problem for item in hand.head().problems if item.s3_key == PREFIX + name]


@pytest.mark.parametrize("name", BODIES)
def test_an_archived_sidecar_keeps_its_words_and_says_that_it_is_archived(name):
    hand = described_collection()
    before, known = says(hand), problems(hand, name)
    hand.commit(archive(hand, name))
    assert says(hand) == before
    assert problems(hand, name)[: len(known)] == known
    (problem,) = problems(hand, name)[len(known) :]
    assert problem.startswith("it is archived and cannot be read (GLACIER)")
    assert [entry.filename for entry in hand.head().hidden] == ["secret.jpg"]


def test_all_sidecars_archived_at_once_change_nothing_that_the_manifest_says():
    hand = described_collection()
    before = says(hand)
    hand.commit(archive(hand, *BODIES))
    assert says(hand) == before


@pytest.mark.parametrize("name", BODIES)
def test_looking_again_at_an_archived_sidecar_changes_nothing(name):
    hand = described_collection()
    hand.commit(archive(hand, name))
    revision = hand.head().revision
    hand.commit([PREFIX + name])
    hand.commit([PREFIX + name, *hand.upload("a.jpg")])
    assert hand.head().revision == revision
    hand.commit(archive(hand, name, storage_class="DEEP_ARCHIVE"))
    assert sum("archived" in problem for problem in problems(hand, name)) == 1


@pytest.mark.parametrize("name", BODIES)
def test_a_file_that_comes_after_its_sidecar_was_archived_is_described_by_it(name):
    hand = described_collection()
    before = says(hand)
    hand.commit(archive(hand, name))
    hand.store.remove(PREFIX + "a.jpg")
    hand.store.remove(PREFIX + "secret.jpg")
    gone = [PREFIX + "a.jpg", PREFIX + "secret.jpg"]
    hand.commit(gone)
    hand.commit([*hand.upload("a.jpg", "secret.jpg"), PREFIX + name])
    assert says(hand) == before


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("seen", [True, False], ids=["seen archived", "not seen archived"])
def test_a_restored_sidecar_is_read_when_its_event_comes(name, seen):
    hand = described_collection()
    before, known = says(hand), problems(hand, name)
    archived = archive(hand, name)
    if seen:
        hand.commit(archived)
    hand.commit(restore(hand, name), cause=RESTORED)
    assert (says(hand), problems(hand, name)) == (before, known)


@pytest.mark.parametrize("name", BODIES)
def test_a_sidecar_that_was_never_read_says_nothing_until_it_is_restored(name):
    whole = described_collection()
    hand = Hand()
    for each, body in BODIES.items():
        hand.upload(each, body=body)
    hand.upload("a.jpg", "secret.jpg")
    archive(hand, name)
    hand.commit([PREFIX + each for each in (*BODIES, "a.jpg", "secret.jpg")])
    assert says(hand) != says(whole)
    assert problems(hand, name)[0].startswith("it is archived")
    hand.commit(restore(hand, name), cause=RESTORED)
    assert says(hand) == says(whole)


@pytest.mark.parametrize("name", BODIES)
def test_a_sweep_reads_what_was_restored_without_an_event(name):
    whole = described_collection()
    hand = Hand()
    for each, body in BODIES.items():
        hand.upload(each, body=body)
    hand.upload("a.jpg", "secret.jpg")
    archive(hand, name)
    hand.commit([PREFIX + each for each in (*BODIES, "a.jpg", "secret.jpg")])
    restore(hand, name)
    swept(hand)
    assert says(hand) == says(whole)
    assert not any("archived" in problem for problem in problems(hand, name))


@pytest.mark.parametrize("name", BODIES)
def test_a_sweep_of_what_is_still_archived_changes_nothing(name):
    hand = described_collection()
    hand.commit(archive(hand, name))
    before, revision = says(hand), hand.head().revision
    swept(hand)
    assert (says(hand), hand.head().revision) == (before, revision)
    assert hand.head().last_verified_at


@pytest.mark.parametrize("name", BODIES)
def test_another_object_in_an_archive_is_not_believed_to_say_what_the_one_before_did(name):
    hand = described_collection()
    hand.upload(name, body=b"other", archived=True, storage_class="GLACIER")
    hand.commit([PREFIX + name])
    without = described_collection()
    without.store.remove(PREFIX + name)
    without.commit([PREFIX + name])
    assert [(e.filename, e.prompt, e.labels, e.local_path) for e in hand.head().files] == [
        (e.filename, e.prompt, e.labels, e.local_path) for e in without.head().files
    ]
    assert hand.head().title == without.head().title
    assert len(problems(hand, name)) == 1


@pytest.mark.parametrize("name", BODIES)
def test_a_readable_object_takes_the_place_of_an_archived_one(name):
    hand = described_collection()
    hand.commit(archive(hand, name))
    hand.commit(hand.upload(name, body=b""))
    fresh = described_collection()
    fresh.commit(fresh.upload(name, body=b""))
    assert (says(hand), problems(hand, name)) == (says(fresh), problems(fresh, name))


@pytest.mark.parametrize("name", BODIES)
def test_the_words_of_an_archived_sidecar_go_with_it(name):
    hand = described_collection()
    hand.commit(archive(hand, name))
    hand.store.remove(PREFIX + name)
    hand.commit([PREFIX + name])
    gone = described_collection()
    gone.store.remove(PREFIX + name)
    gone.commit([PREFIX + name])
    assert (says(hand), problems(hand, name)) == (says(gone), [])


@pytest.mark.parametrize("name", BODIES)
def test_a_sidecar_archived_between_the_look_and_the_read_keeps_its_words(name):
    hand = described_collection()
    before = says(hand)
    head = hand.store.head

    def then_archived(key):
        observation = head(key)
        archive(hand, name)
        return observation

    hand.store.head = then_archived
    hand.commit([PREFIX + name])
    assert says(hand) == before
    assert any("archived" in problem for problem in problems(hand, name))


@pytest.mark.parametrize("name", BODIES)
def test_a_sidecar_that_nobody_may_read_keeps_its_words_and_is_tried_again(name):
    hand = described_collection()
    before, head = says(hand), hand.head()

    get = hand.store.get

    def denied(key):
        if key == PREFIX + name:
            raise ReadFailed(key, "not read: 403 AccessDenied")
        return get(key)

    hand.store.get = denied
    outcome = hand.commit([PREFIX + name])
    assert [*outcome.unreadable] == [PREFIX + name]
    hand.store.get = get
    assert (says(hand), hand.head().revision) == (before, head.revision)


def test_an_md5_that_was_computed_stays_when_the_object_is_archived():
    hand = Hand(md5_max_bytes=100)
    names = ("a.jpg", CAPTION)
    hand.commit(hand.upload(*names, etag="0-2"))
    computed = {entry.filename: entry.md5_hash for entry in (*hand.head().files, *hand.head().captions)}
    hand.commit(archive(hand, *names))
    assert None not in computed.values()
    assert {e.filename: e.md5_hash for e in (*hand.head().files, *hand.head().captions)} == computed


def test_an_edit_of_an_archived_sidecar_says_what_to_do_and_writes_nothing():
    hand = described_collection()
    archive(hand, PROMPTS, FACTS)
    objects = dict(hand.store.objects)
    editor = SidecarEditor(hand.store, STYLE, POLICY)
    for edit in (
        lambda: update_descriptions(editor, {"a.jpg": {"good": False}}),
        lambda: read_descriptions(editor, ["a.jpg"]),
        lambda: set_title(editor, "Hares"),
    ):
        with pytest.raises(UnreadableSidecar, match="Restore it and copy it over itself, or delete it"):
            edit()
    assert hand.store.objects == objects


def test_a_store_does_not_give_out_what_is_archived():
    hand = described_collection()
    (key,) = archive(hand, PROMPTS)
    with pytest.raises(Archived):
        hand.store.get(key)


@pytest.mark.usefixtures("small_pages")
def test_in_a_large_collection_a_sweep_reads_a_caption_that_was_restored_without_an_event():
    hand = Hand()
    names = [f"{number:02}.jpg" for number in range(40)]
    hand.upload("07.txt", "30.txt", body=b"a fox")
    archive(hand, "07.txt")
    hand.commit([*hand.upload(*names), PREFIX + "07.txt", PREFIX + "30.txt"])
    swept(hand)
    pages = hand.head().pages
    assert [page.problems for page in pages if page.first <= "07.txt" <= page.last] == [1]
    assert sum(page.problems for page in pages) == 1
    restore(hand, "07.txt")
    hand.store.requests.clear()
    swept(hand)
    assert {entry.filename: entry.prompt for entry in hand.entries()}["07.jpg"] == "a fox"
    assert sum(page.problems for page in hand.head().pages) == 0
    assert [key for key in hand.store.asked_for("HEAD") if key.startswith(PREFIX)] == [PREFIX + "07.txt"]


@pytest.mark.usefixtures("small_pages")
def test_each_page_is_read_once_by_a_sweep_whether_it_has_problems_or_not():
    hand = Hand()
    hand.commit([*hand.upload(*(f"{number:02}.jpg" for number in range(40))), *hand.upload("07.txt", body=b"a fox")])
    swept(hand)
    hand.store.requests.clear()
    swept(hand)
    assert hand.store.asked_for("GET", f"{STYLE.folder}pages/") == [page.key for page in hand.head().pages]
