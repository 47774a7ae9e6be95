"""Edits that keep existing descriptions, and several generations in one edit."""

import json

import pytest
from unit.values import STYLE

from s3_manifest.edits.collection_json import declare_generations, set_title
from s3_manifest.edits.prompt_metadata import update_descriptions
from s3_manifest.edits.sidecar_editor import RetryPolicy, SidecarEditor, UnreadableSidecar
from s3_manifest.sidecars.content import GenerationDeclaration
from s3_manifest.sidecars.formats import COLLECTION_JSON, PROMPT_METADATA_JSON
from s3_manifest.storage.memory import MemoryStore


def editor(store):
    return SidecarEditor(store, STYLE, RetryPolicy(lambda: 60, lambda _: None, lambda: 0.5, lambda: 1))


@pytest.fixture
def store():
    return MemoryStore()


def sidecar(store, filename=PROMPT_METADATA_JSON):
    return json.loads(store.get(STYLE.prefix + filename).body)


def generation(id_, **metadata):
    return GenerationDeclaration(generation_id=id_, type="flux", generated_at="2025-01-01", metadata=metadata)


@pytest.mark.parametrize(
    ("before", "more", "after"),
    [
        ({}, {"prompt": "new"}, {"prompt": "new"}),
        ({"prompt": "old"}, {"prompt": "new", "good": False}, {"prompt": "old", "good": False}),
        ({"prompt": None}, {"prompt": "new"}, {"prompt": "new"}),
        ({"good": False}, {"good": True}, {"good": False}),
        ("old", {"prompt": "new", "good": False}, {"prompt": "old", "good": False}),
    ],
)
def test_only_new_sets_only_fields_without_a_value(store, before, more, after):
    store.upload(STYLE.prefix + PROMPT_METADATA_JSON, json.dumps({"a.png": before}).encode())
    update_descriptions(editor(store), {"a.png": more}, only_new=True)
    assert sidecar(store) == {"a.png": after}


@pytest.mark.parametrize(("before", "after"), [({}, "New"), ({"title": None}, "New"), ({"title": "Old"}, "Old")])
def test_an_existing_title_stays(store, before, after):
    store.upload(STYLE.prefix + COLLECTION_JSON, json.dumps(before).encode())
    set_title(editor(store), "New", only_new=True)
    assert sidecar(store, COLLECTION_JSON) == {"title": after}


def test_several_generations_are_declared_at_once(store):
    declare_generations(
        editor(store),
        [generation(1), generation(2)],
    )
    declare_generations(
        editor(store),
        [generation(2, seed=1), generation(3)],
    )
    declared = sidecar(store, COLLECTION_JSON)["generations"]
    assert [(generation["generation_id"], generation["metadata"]) for generation in declared] == [
        (1, {}),
        (2, {"seed": 1}),
        (3, {}),
    ]


def test_a_repeat_of_a_declaration_writes_nothing(store):
    for generations in ([generation(1), generation(2)], [generation(1)]):
        edited = declare_generations(
            editor(store),
            generations,
        )
    assert edited.edit == 1


def test_only_new_keeps_a_declared_generation(store):
    declare_generations(
        editor(store),
        [generation(1, seed=1)],
    )
    declare_generations(editor(store), [generation(1, seed=2), generation(2)], only_new=True)
    declared = sidecar(store, COLLECTION_JSON)["generations"]
    assert [(generation["generation_id"], generation["metadata"]) for generation in declared] == [
        (1, {"seed": 1}),
        (2, {}),
    ]


def test_invalid_entries_among_generations_stay(store):
    store.upload(STYLE.prefix + COLLECTION_JSON, b'{"generations": [7, {"generation_id": 1}], "theirs": 1}')
    declare_generations(
        editor(store),
        [generation(1)],
    )
    declared = sidecar(store, COLLECTION_JSON)
    assert declared["generations"][:2] == [7, {"generation_id": 1}]
    assert declared["theirs"] == 1


def test_generations_that_are_not_a_list_are_not_overwritten(store):
    store.upload(STYLE.prefix + COLLECTION_JSON, b'{"generations": {}}')
    with pytest.raises(UnreadableSidecar, match="its generations are not a list"):
        declare_generations(
            editor(store),
            [generation(1)],
        )
