"""Deleting, hiding and describing: in which order, what happens in between, and what a repeat does."""

import json

import pytest
from unit.environments import Hand, one_by_one
from unit.values import EVENING, MORNING, NOON, PREFIX, STYLE

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
from s3_manifest.storage.heads import is_there
from s3_manifest.storage.store import OutcomeUnknown

PROMPTS = f"{PREFIX}prompt_metadata.json"
ANY = frozenset()


@pytest.fixture
def hand():
    return Hand()


def editor(hand, seconds_left=lambda: 20.0, collection=STYLE):
    policy = RetryPolicy(seconds_left, lambda _: None, lambda: 0.5, lambda: 1_000)
    return CollectionEditor(hand.store, hand.collections, collection, one_by_one, policy)


def delete(hand, filename="a.png", etags=ANY):
    return editor(hand).delete_file(filename, etags)


def say(hand, **descriptions):
    hand.store.upload(PROMPTS, json.dumps(descriptions).encode())


def descriptions(hand):
    return json.loads(hand.store.objects[PROMPTS][1])


def below(hand):
    return sorted(key.removeprefix(PREFIX) for key in hand.store.objects if key.startswith(PREFIX))


def test_a_file_is_deleted_with_its_description_and_nothing_else(hand):
    hand.upload("a.png", "a.txt", "b.png")
    say(hand, **{"a.png": {"good": False}, "b.png": "x"})
    etag = hand.store.head(f"{PREFIX}a.png").etag
    assert delete(hand) == (True, ChangeToken(s3_key=f"{PREFIX}a.png", deleted_etag=etag))
    assert below(hand) == ["a.txt", "b.png", "prompt_metadata.json"]
    assert descriptions(hand) == {"b.png": "x"}


def test_a_file_without_a_description_is_deleted(hand):
    hand.upload("a.png")
    delete(hand)
    assert below(hand) == []


@pytest.mark.parametrize("filename", ["b.png", "", "folder/", "deep/a.png", "x" * 1100, "a\0", "collection.json"])
def test_a_missing_file_is_not_deleted(hand, filename):
    hand.upload("a.png", "collection.json")
    hand.store.upload(f"{PREFIX}folder/", b"")
    with pytest.raises(NoSuchFile):
        delete(hand, filename)
    assert below(hand) == ["a.png", "collection.json", "folder/"]


def test_what_is_another_collections_is_not_deleted():
    nested = parse_collections("style=styles/{style_id}/, draft=styles/16/drafts/{draft_id}/", "_manifests/")
    hand = Hand(collections=nested)
    hand.upload("drafts/1/a.png", "drafts/a.png")
    style = nested.named("style", "16")
    with pytest.raises(NoSuchFile):
        editor(hand, collection=style).delete_file("drafts/1/a.png", ANY)
    editor(hand, collection=style).delete_file("drafts/a.png", ANY)
    assert below(hand) == ["drafts/1/a.png"]


def test_only_the_object_that_the_caller_saw_is_deleted(hand):
    hand.upload("a.png", body=b"newer")
    say(hand, **{"a.png": "x"})
    with pytest.raises(EtagMismatch, match="another object"):
        delete(hand, etags=frozenset({"0" * 32}))
    assert below(hand) == ["a.png", "prompt_metadata.json"]
    etag = hand.store.head(f"{PREFIX}a.png").etag
    assert delete(hand, etags=frozenset({"0" * 32, etag}))[0]


def test_an_upload_during_the_deletion_stays_with_its_description(hand, monkeypatch):
    hand.upload("a.png", body=b"seen")
    say(hand, **{"a.png": "x"})
    delete_if = hand.store.delete_if

    def delete_later(key, etag):
        hand.upload("a.png", body=b"newer")
        return delete_if(key, etag)

    monkeypatch.setattr(hand.store, "delete_if", delete_later)
    with pytest.raises(NewerUpload, match="nothing was deleted"):
        delete(hand)
    assert hand.store.get(f"{PREFIX}a.png").body == b"newer"
    assert descriptions(hand) == {"a.png": "x"}


def test_a_description_written_during_the_deletion_stays(hand, monkeypatch):
    hand.upload("a.png")
    say(hand, **{"a.png": "old"})
    delete_if = hand.store.delete_if

    def delete_and_lose_the_race(key, etag):
        deleted = delete_if(key, etag)
        say(hand, **{"a.png": "new"})
        return deleted

    monkeypatch.setattr(hand.store, "delete_if", delete_and_lose_the_race)
    delete(hand)
    assert descriptions(hand) == {"a.png": "new"}


def test_a_repeat_after_a_crash_in_between_finishes_it(hand, monkeypatch):
    hand.upload("a.png")
    say(hand, **{"a.png": "x", "b.png": "y"})
    with monkeypatch.context() as patch:
        patch.setattr("s3_manifest.edits.prompt_metadata.remove_descriptions", crash)
        with pytest.raises(OutcomeUnknown):
            delete(hand)
    deleted, change_token = delete(hand)
    assert (deleted, change_token.s3_key, change_token.edit_number) == (False, PROMPTS, 1_000)
    assert descriptions(hand) == {"b.png": "y"}
    with pytest.raises(NoSuchFile):
        delete(hand)


def crash(*_):
    raise OutcomeUnknown("k", "crashed")


def test_with_a_broken_sidecar_nothing_is_deleted(hand):
    hand.upload("a.png")
    hand.store.upload(PROMPTS, b"{")
    with pytest.raises(UnreadableSidecar):
        delete(hand)
    assert below(hand) == ["a.png", "prompt_metadata.json"]


def update_files(hand, **updates):
    return editor(hand).update_files(updates)


def test_of_many_files_all_are_described_in_one_edit_or_none(hand):
    hand.upload("a.png", "b.png")
    with pytest.raises(NoSuchFile, match=r"c\.png"):
        update_files(hand, **{"a.png": {"good": False}, "c.png": {"good": False}})
    assert PROMPTS not in hand.store.objects
    assert update_files(hand, **{"a.png": {"good": False}, "b.png": {"good": False}}).attempts == 1
    assert descriptions(hand) == {"a.png": {"good": False}, "b.png": {"good": False}}


@pytest.mark.parametrize("filename", ["a.txt", "collection.json", "prompt_metadata.json", "metadata.jsonl"])
def test_what_describes_others_is_not_described(hand, filename):
    hand.upload("a.txt", "collection.json", "prompt_metadata.json", "metadata.jsonl")
    with pytest.raises(NoSuchFile, match="describes other files"):
        update_files(hand, **{filename: {"good": False}})


def test_all_files_are_hidden_in_one_edit_and_captions_sidecars_and_folders_are_none(hand):
    hand.upload("a.png", "a.txt", "deep/b.png", "collection.json")
    hand.store.upload(f"{PREFIX}folder/", b"")
    count, edited = editor(hand).hide_all()
    assert (count, edited.s3_key) == (2, PROMPTS)
    assert descriptions(hand) == {"a.png": {"hidden": True}, "deep/b.png": {"hidden": True}}


def test_too_many_are_not_hidden_at_all(hand, monkeypatch):
    monkeypatch.setattr(collection_editor, "MAX_HIDDEN", 2)
    hand.upload("a.png", "b.png", "c.png")
    with pytest.raises(TooManyFiles):
        editor(hand).hide_all()
    assert PROMPTS not in hand.store.objects


def delete_all(hand, seconds_left=lambda: 20.0, collection=STYLE):
    return editor(hand, seconds_left, collection).delete_all()


def test_everything_of_a_collection_is_deleted_and_nothing_beside_it(hand):
    hand.upload("a.png", last_modified=MORNING)
    hand.upload("a.txt", "deep/b.png", "collection.json", last_modified=NOON)
    hand.store.upload("styles/160/a.png", b"")
    assert delete_all(hand) == DeletionResult(
        4, (), complete=True, change_token=ChangeToken(s3_key=PREFIX, deleted_until=NOON)
    )
    assert hand.store.list("").keys == ("styles/160/a.png",)
    assert delete_all(hand) == DeletionResult(0, (), complete=True, change_token=None)


def test_the_sidecars_go_last_and_stay_where_time_ends(hand):
    hand.store.page = 2
    hand.upload("a.png", "b.png", "c.png", "collection.json", "d.png", "prompt_metadata.json")
    left = iter([20.0, 20.0, 7.9])
    found = delete_all(hand, lambda: next(left))
    assert found == DeletionResult(3, (), complete=False, change_token=None)
    assert below(hand) == ["collection.json", "d.png", "prompt_metadata.json"]
    assert delete_all(hand).complete
    assert below(hand) == []


def test_what_is_uploaded_meanwhile_stays_and_so_does_what_describes_it(hand, monkeypatch):
    hand.upload("a.png", "b.png", "prompt_metadata.json")
    delete_listed = hand.store.delete_listed

    def delete_later(objects):
        hand.upload("a.png", body=b"newer", last_modified=EVENING)
        return delete_listed(objects)

    monkeypatch.setattr(hand.store, "delete_listed", delete_later)
    found = delete_all(hand)
    assert (found.deleted, found.kept, found.complete, found.change_token) == (
        1,
        (f"{PREFIX}a.png", PROMPTS),
        False,
        None,
    )
    assert below(hand) == ["a.png", "prompt_metadata.json"]


def test_a_nested_collection_stays():
    nested = parse_collections("style=styles/{style_id}/, draft=styles/16/drafts/{draft_id}/", "_manifests/")
    hand = Hand(collections=nested)
    hand.upload("a.png", "drafts/1/a.png", "drafts/b.png")
    assert delete_all(hand, collection=nested.named("style", "16")).deleted == 2
    assert below(hand) == ["drafts/1/a.png"]


@pytest.mark.parametrize(("key", "there"), [("a.png", True), ("", False), (None, False)])
def test_a_collection_exists_with_an_object_or_a_manifest(hand, key, there):
    if key is not None:
        hand.upload(key)
    assert is_there(hand.store, hand.collections, STYLE) is there
    hand.store.upload(STYLE.head_key, b"{}")
    assert is_there(hand.store, hand.collections, STYLE)
