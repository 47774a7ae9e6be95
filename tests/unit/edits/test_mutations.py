"""Deleting, hiding and describing: their order, concurrent changes, and repeats."""

import json

import pytest
from unit.environments import Harness, serial_map
from unit.values import BUCKET, EVENING, MORNING, NOON, PREFIX, STYLE

from s3_manifest.edits import collection_editor
from s3_manifest.edits.collection_editor import (
    CollectionEditor,
    DeletionResult,
    EtagMismatch,
    NewerUpload,
    NoSuchFile,
    TooManyFiles,
)
from s3_manifest.edits.sidecar_editor import RetryPolicy, UnreadableSidecar
from s3_manifest.manifest.collections import parse_collections
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.storage.heads import exists
from s3_manifest.storage.store import OutcomeUnknown

PROMPTS = f"{PREFIX}prompt_metadata.json"
ANY = frozenset()


@pytest.fixture
def harness():
    return Harness()


def editor(harness, seconds_left=lambda: 20.0, collection=STYLE):
    policy = RetryPolicy(seconds_left, lambda _: None, lambda: 0.5, lambda: 1_000)
    return CollectionEditor(harness.store, harness.collections, collection, serial_map, policy)


def delete(harness, filename="a.png", etags=ANY):
    return editor(harness).delete_file(filename, etags)


def describe(harness, **descriptions):
    harness.store.upload(PROMPTS, json.dumps(descriptions).encode())


def descriptions(harness):
    return json.loads(harness.store.objects[PROMPTS][1])


def filenames_in_bucket(harness):
    return sorted(key.removeprefix(PREFIX) for key in harness.store.objects if key.startswith(PREFIX))


def test_a_file_is_deleted_with_its_description_and_nothing_else(harness):
    harness.upload("a.png", "a.txt", "b.png")
    describe(harness, **{"a.png": {"good": False}, "b.png": "x"})
    etag = harness.store.head(f"{PREFIX}a.png").etag
    assert delete(harness) == (True, ChangeToken(s3_key=f"{PREFIX}a.png", deleted_etag=etag))
    assert filenames_in_bucket(harness) == ["a.txt", "b.png", "prompt_metadata.json"]
    assert descriptions(harness) == {"b.png": "x"}


def test_a_file_without_a_description_is_deleted(harness):
    harness.upload("a.png")
    delete(harness)
    assert filenames_in_bucket(harness) == []


@pytest.mark.parametrize("filename", ["b.png", "", "folder/", "deep/a.png", "x" * 1100, "a\0", "collection.json"])
def test_a_missing_file_is_not_deleted(harness, filename):
    harness.upload("a.png", "collection.json")
    harness.store.upload(f"{PREFIX}folder/", b"")
    with pytest.raises(NoSuchFile):
        delete(harness, filename)
    assert filenames_in_bucket(harness) == ["a.png", "collection.json", "folder/"]


def test_a_file_of_a_nested_collection_is_not_deleted():
    nested = parse_collections("style=styles/{style_id}/, draft=styles/16/drafts/{draft_id}/", "_manifests/", BUCKET)
    harness = Harness(collections=nested)
    harness.upload("drafts/1/a.png", "drafts/a.png")
    style = nested.lookup("style", "16")
    with pytest.raises(NoSuchFile):
        editor(harness, collection=style).delete_file("drafts/1/a.png", ANY)
    editor(harness, collection=style).delete_file("drafts/a.png", ANY)
    assert filenames_in_bucket(harness) == ["drafts/1/a.png"]


def test_a_file_is_only_deleted_if_its_etag_matches(harness):
    harness.upload("a.png", body=b"newer")
    describe(harness, **{"a.png": "x"})
    with pytest.raises(EtagMismatch, match="another object"):
        delete(harness, etags=frozenset({"0" * 32}))
    assert filenames_in_bucket(harness) == ["a.png", "prompt_metadata.json"]
    etag = harness.store.head(f"{PREFIX}a.png").etag
    assert delete(harness, etags=frozenset({"0" * 32, etag}))[0]


def test_an_upload_during_the_deletion_stays_with_its_description(harness, monkeypatch):
    harness.upload("a.png", body=b"seen")
    describe(harness, **{"a.png": "x"})
    delete_if_match = harness.store.delete_if_match

    def delete_later(key, etag):
        harness.upload("a.png", body=b"newer")
        return delete_if_match(key, etag)

    monkeypatch.setattr(harness.store, "delete_if_match", delete_later)
    with pytest.raises(NewerUpload, match="nothing was deleted"):
        delete(harness)
    assert harness.store.get(f"{PREFIX}a.png").body == b"newer"
    assert descriptions(harness) == {"a.png": "x"}


def test_a_description_written_during_the_deletion_stays(harness, monkeypatch):
    harness.upload("a.png")
    describe(harness, **{"a.png": "old"})
    delete_if_match = harness.store.delete_if_match

    def delete_and_lose_the_race(key, etag):
        deleted = delete_if_match(key, etag)
        describe(harness, **{"a.png": "new"})
        return deleted

    monkeypatch.setattr(harness.store, "delete_if_match", delete_and_lose_the_race)
    delete(harness)
    assert descriptions(harness) == {"a.png": "new"}


def test_a_repeat_finishes_a_deletion_that_crashed(harness, monkeypatch):
    harness.upload("a.png")
    describe(harness, **{"a.png": "x", "b.png": "y"})
    with monkeypatch.context() as patch:
        patch.setattr("s3_manifest.edits.prompt_metadata.remove_descriptions", crash)
        with pytest.raises(OutcomeUnknown):
            delete(harness)
    deleted, change_token = delete(harness)
    assert (deleted, change_token.s3_key, change_token.edit_number) == (False, PROMPTS, 1_000)
    assert descriptions(harness) == {"b.png": "y"}
    with pytest.raises(NoSuchFile):
        delete(harness)


def crash(*_):
    raise OutcomeUnknown("k", "crashed")


def test_with_a_broken_sidecar_nothing_is_deleted(harness):
    harness.upload("a.png")
    harness.store.upload(PROMPTS, b"{")
    with pytest.raises(UnreadableSidecar):
        delete(harness)
    assert filenames_in_bucket(harness) == ["a.png", "prompt_metadata.json"]


def update_files(harness, **updates):
    return editor(harness).update_files(updates)


def test_an_update_of_several_files_is_all_or_nothing(harness):
    harness.upload("a.png", "b.png")
    with pytest.raises(NoSuchFile, match=r"c\.png"):
        update_files(harness, **{"a.png": {"good": False}, "c.png": {"good": False}})
    assert PROMPTS not in harness.store.objects
    assert update_files(harness, **{"a.png": {"good": False}, "b.png": {"good": False}}).attempts == 1
    assert descriptions(harness) == {"a.png": {"good": False}, "b.png": {"good": False}}


@pytest.mark.parametrize("filename", ["a.txt", "collection.json", "prompt_metadata.json", "metadata.jsonl"])
def test_captions_and_sidecars_cannot_be_described(harness, filename):
    harness.upload("a.txt", "collection.json", "prompt_metadata.json", "metadata.jsonl")
    with pytest.raises(NoSuchFile, match="describes other files"):
        update_files(harness, **{filename: {"good": False}})


def test_hide_all_hides_files_in_one_edit_but_no_captions_sidecars_or_folders(harness):
    harness.upload("a.png", "a.txt", "deep/b.png", "collection.json")
    harness.store.upload(f"{PREFIX}folder/", b"")
    count, edited = editor(harness).hide_all()
    assert (count, edited.s3_key) == (2, PROMPTS)
    assert descriptions(harness) == {"a.png": {"hidden": True}, "deep/b.png": {"hidden": True}}


def test_hide_all_of_too_many_files_hides_none(harness, monkeypatch):
    monkeypatch.setattr(collection_editor, "MAX_HIDDEN", 2)
    harness.upload("a.png", "b.png", "c.png")
    with pytest.raises(TooManyFiles):
        editor(harness).hide_all()
    assert PROMPTS not in harness.store.objects


def delete_all(harness, seconds_left=lambda: 20.0, collection=STYLE):
    return editor(harness, seconds_left, collection).delete_all()


def test_delete_all_deletes_the_whole_collection_and_nothing_else(harness):
    harness.upload("a.png", last_modified=MORNING)
    harness.upload("a.txt", "deep/b.png", "collection.json", last_modified=NOON)
    harness.store.upload("styles/160/a.png", b"")
    assert delete_all(harness) == DeletionResult(
        4, (), complete=True, change_token=ChangeToken(s3_key=PREFIX, deleted_until=NOON)
    )
    assert harness.store.list("").keys == ("styles/160/a.png",)
    assert delete_all(harness) == DeletionResult(0, (), complete=True, change_token=None)


def test_delete_all_deletes_sidecars_last_and_stops_when_time_runs_out(harness):
    harness.store.page_size = 2
    harness.upload("a.png", "b.png", "c.png", "collection.json", "d.png", "prompt_metadata.json")
    left = iter([20.0, 20.0, 7.9])
    result = delete_all(harness, lambda: next(left))
    assert result == DeletionResult(3, (), complete=False, change_token=None)
    assert filenames_in_bucket(harness) == ["collection.json", "d.png", "prompt_metadata.json"]
    assert delete_all(harness).complete
    assert filenames_in_bucket(harness) == []


def test_a_file_uploaded_during_delete_all_stays_with_its_sidecar(harness, monkeypatch):
    harness.upload("a.png", "b.png", "prompt_metadata.json")
    delete_if_unchanged = harness.store.delete_if_unchanged

    def delete_later(objects):
        harness.upload("a.png", body=b"newer", last_modified=EVENING)
        return delete_if_unchanged(objects)

    monkeypatch.setattr(harness.store, "delete_if_unchanged", delete_later)
    result = delete_all(harness)
    assert (result.deleted, result.kept, result.complete, result.change_token) == (
        1,
        (f"{PREFIX}a.png", PROMPTS),
        False,
        None,
    )
    assert filenames_in_bucket(harness) == ["a.png", "prompt_metadata.json"]


def test_delete_all_keeps_a_nested_collection():
    nested = parse_collections("style=styles/{style_id}/, draft=styles/16/drafts/{draft_id}/", "_manifests/", BUCKET)
    harness = Harness(collections=nested)
    harness.upload("a.png", "drafts/1/a.png", "drafts/b.png")
    assert delete_all(harness, collection=nested.lookup("style", "16")).deleted == 2
    assert filenames_in_bucket(harness) == ["drafts/1/a.png"]


@pytest.mark.parametrize(("key", "expected"), [("a.png", True), ("", False), (None, False)])
def test_a_collection_exists_with_an_object_or_a_manifest(harness, key, expected):
    if key is not None:
        harness.upload(key)
    assert exists(harness.store, harness.collections, STYLE) is expected
    harness.store.upload(STYLE.head_key, b"{}")
    assert exists(harness.store, harness.collections, STYLE)
