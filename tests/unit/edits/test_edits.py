"""Edits of sidecars: their result, and that concurrent edits are never lost."""

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from unit.values import NOON, PREFIX, STYLE

from s3_manifest.edits.collection_json import declare_generation, set_title
from s3_manifest.edits.prompt_metadata import read_descriptions, remove_descriptions, update_descriptions
from s3_manifest.edits.sidecar_editor import (
    RetryPolicy,
    SidecarEditor,
    SidecarTooLarge,
    TooManyConflicts,
    UnreadableSidecar,
)
from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest.sidecars import formats
from s3_manifest.sidecars.content import GenerationDeclaration
from s3_manifest.sidecars.formats import edit_number
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import OutcomeUnknown, ReadFailed, WriteRefused

PROMPTS, COLLECTION = f"{PREFIX}prompt_metadata.json", f"{PREFIX}collection.json"


@dataclass
class Sidecars(MemoryStore):
    """A bucket that calls functions before and after its writes, each once."""

    before_put: list[Any] = field(default_factory=list)
    after_put: list[Any] = field(default_factory=list)
    puts: int = 0

    def put(self, key, body, *, replaces, metadata):
        self.puts += 1
        if self.before_put:
            self.before_put.pop(0)()
        etag = super().put(key, body, replaces=replaces, metadata=metadata)
        if self.after_put:
            self.after_put.pop(0)()
        return etag

    def fields(self, key=PROMPTS):
        return json.loads(self.objects[key][1])

    def edit(self, key=PROMPTS):
        return edit_number(self.objects[key][0].metadata)


@pytest.fixture
def store():
    return Sidecars()


def editor(store, seconds_left=lambda: 20.0, slept=None, now_ms=lambda: 1_000):
    policy = RetryPolicy(seconds_left, (slept if slept is not None else []).append, lambda: 0.5, now_ms)
    return SidecarEditor(store, STYLE, policy)


def lost(key=PROMPTS):
    def answer():
        raise OutcomeUnknown(key, "the answer was lost")

    return answer


@pytest.mark.parametrize(
    ("before", "descriptions", "after"),
    [
        (None, {"a.png": {"good": False}}, {"a.png": {"good": False}}),
        (None, {"a.png": {"good": None}}, None),
        ({}, {"a.png": {"prompt": "größe"}}, {"a.png": {"prompt": "größe"}}),
        ({"a.png": {"good": False}}, {"a.png": {"prompt": "x"}}, {"a.png": {"good": False, "prompt": "x"}}),
        ({"a.png": {"good": False, "prompt": "x"}}, {"a.png": {"good": None}}, {"a.png": {"prompt": "x"}}),
        ({"a.png": {"good": False}}, {"a.png": {"good": None}}, {}),
        ({"a.png": {"good": False}}, {"b.png": {"good": True}}, {"a.png": {"good": False}, "b.png": {"good": True}}),
        (
            {"a.png": "short for a prompt"},
            {"a.png": {"good": True}},
            {"a.png": {"prompt": "short for a prompt", "good": True}},
        ),
        ({"a.png": "x"}, {"a.png": {"prompt": "x"}}, {"a.png": "x"}),
        (
            {"a.png": {"theirs": [1.5, 10**30]}},
            {"a.png": {"labels": []}},
            {"a.png": {"theirs": [1.5, 10**30], "labels": []}},
        ),
        ({"a.png": 7}, {"b.png": {"good": True}}, {"a.png": 7, "b.png": {"good": True}}),
    ],
    ids=str,
)
def test_fields_of_files_are_set_and_other_fields_stay(store, before, descriptions, after):
    if before is not None:
        store.upload(PROMPTS, json.dumps(before).encode())
    update_descriptions(
        editor(store),
        descriptions,
    )
    assert (store.fields() if PROMPTS in store.objects else None) == after


def test_a_repeat_writes_nothing_and_returns_the_same_edit(store):
    first = update_descriptions(
        editor(store),
        {"a.png": {"good": False}},
    )
    again = update_descriptions(
        editor(store),
        {"a.png": {"good": False}},
    )
    assert (first.attempts, again.attempts, store.puts) == (1, 0, 1)
    assert again._replace(attempts=1) == first
    assert store.edit() == first.edit


def test_an_edit_without_effect_adds_an_edit_number_to_a_sidecar_that_has_none(store):
    store.upload(PROMPTS, b'{"a.png": {"good": false}}')
    assert (
        update_descriptions(
            editor(store),
            {"a.png": {"good": False}},
        ).edit
        == store.edit()
        == 1_000
    )


@pytest.mark.parametrize(("now_ms", "expected"), [(500, 1_001), (1_000, 1_001), (1_001, 1_001), (5_000, 5_000)])
def test_each_edit_has_a_greater_number_whatever_the_clock(store, now_ms, expected):
    update_descriptions(
        editor(store, now_ms=lambda: 1_000),
        {"a.png": {"good": False}},
    )
    assert (
        update_descriptions(
            editor(store, now_ms=lambda: now_ms),
            {"a.png": {"good": True}},
        ).edit
        == expected
    )


@pytest.mark.parametrize(
    ("before", "title", "after"),
    [
        (None, "Dynamic Größe", {"title": "Dynamic Größe"}),
        ({"title": "old", "generations": [{"theirs": 1}]}, "new", {"title": "new", "generations": [{"theirs": 1}]}),
        ({"title": "old", "x": 1}, None, {"x": 1}),
        (None, None, None),
    ],
    ids=str,
)
def test_a_title_is_set_and_removed(store, before, title, after):
    if before is not None:
        store.upload(COLLECTION, json.dumps(before).encode())
    set_title(
        editor(store),
        title,
    )
    assert (store.fields(COLLECTION) if COLLECTION in store.objects else None) == after


@pytest.mark.parametrize(
    ("before", "descriptions", "after", "is_edit"),
    [
        ({"a.png": {"good": False}, "b.png": "x"}, {"a.png": {"good": False}}, {"b.png": "x"}, True),
        ({"a.png": "x"}, {"a.png": {"prompt": "x"}}, {}, True),
        # Another edit has described a new file of this name in the meantime.
        ({"a.png": {"good": True}}, {"a.png": {"good": False}}, {"a.png": {"good": True}}, False),
        ({"b.png": "x"}, {"a.png": {"good": False}}, {"b.png": "x"}, False),
        ({"b.png": "x"}, {}, {"b.png": "x"}, False),
    ],
    ids=str,
)
def test_only_the_expected_descriptions_are_removed(store, before, descriptions, after, is_edit):
    store.upload(PROMPTS, json.dumps(before).encode())
    assert (
        remove_descriptions(
            editor(store),
            descriptions,
        )
        is not None
    ) == is_edit
    assert store.fields() == after
    assert store.puts == is_edit


def test_without_a_sidecar_nothing_is_removed(store):
    assert (
        remove_descriptions(
            editor(store),
            {"a.png": {"good": False}},
        )
        is None
    )
    assert store.objects == {}


def test_descriptions_of_some_files_are_read(store):
    store.upload(PROMPTS, b'{"a.png": "x", "b.png": {"good": false}, "broken.png": 7}')
    assert read_descriptions(editor(store), ["a.png", "b.png", "c.png"]) == {
        "a.png": {"prompt": "x"},
        "b.png": {"good": False},
    }
    with pytest.raises(UnreadableSidecar, match=r"broken\.png"):
        read_descriptions(editor(store), ["broken.png"])
    assert read_descriptions(editor(Sidecars()), ["a.png"]) == {}


BROKEN = [b"", b"{", b"[]", b'"x"', b"\xff", b'{"a.png": 7}', b'{"a.png": []}']


@pytest.mark.parametrize("body", BROKEN)
def test_a_broken_sidecar_is_refused_with_the_remedy_and_left_unchanged(store, body):
    store.upload(PROMPTS, body)
    for edit in (
        lambda: update_descriptions(
            editor(store),
            {"a.png": {"good": True}},
        ),
        lambda: remove_descriptions(
            editor(store),
            {"a.png": {"good": True}},
        ),
    ):
        with pytest.raises(UnreadableSidecar, match=r"^styles/16/prompt_metadata\.json: .*Repair"):
            edit()
    assert (store.objects[PROMPTS][1], store.puts) == (body, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"generations": {}}',
        b'{"generations": [{"generation_id": 7, "generated_at": "yesterday"}]}',
        b'{"generations": [{"generation_id": 7, "generated_at": 7}]}',
        b'{"generations": [{"generation_id": 7, "metadata": 7}]}',
    ],
)
def test_a_broken_collection_json_is_refused_and_left_unchanged(store, body):
    store.upload(COLLECTION, body)
    with pytest.raises(UnreadableSidecar, match=r"^styles/16/collection\.json: .*Repair"):
        declare_generation(
            editor(store),
            GenerationRequest(generation_id=7),
            NOON,
            0,
        )
    assert (store.objects[COLLECTION][1], store.puts) == (body, 0)


@pytest.mark.parametrize(("key", "most"), [(PROMPTS, "MAX_SIDECAR_BYTES"), (COLLECTION, "MAX_COLLECTION_BYTES")])
def test_an_edit_that_exceeds_the_size_limit_of_sidecars_is_rejected(store, monkeypatch, key, most):
    monkeypatch.setattr(formats, most, 100)

    def edit(text):
        if key == PROMPTS:
            update_descriptions(
                editor(store),
                {"a.png": {"prompt": text}},
            )
        else:
            set_title(
                editor(store),
                text,
            )

    edit("x" * 50)
    before = store.objects[key]
    with pytest.raises(SidecarTooLarge, match="100"):
        edit("x" * 100)
    assert store.objects[key] == before


def test_50_000_files_fit_into_a_sidecar(store):
    descriptions = {
        f"image_{number:05d}.png": {"good": False, "prompt": f"a lighthouse at dawn, no. {number}"}
        for number in range(50_000)
    }
    update_descriptions(
        editor(store),
        descriptions,
    )
    assert len(store.objects[PROMPTS][1]) < formats.MAX_SIDECAR_BYTES


@pytest.mark.parametrize(
    ("declared", "generation_request", "above", "declaration"),
    [
        ([], GenerationRequest(), 0, GenerationDeclaration(generation_id=1, generated_at=NOON)),
        ([], GenerationRequest(), 6, GenerationDeclaration(generation_id=7, generated_at=NOON)),
        (
            [{"generation_id": 3}, {"generation_id": "9"}, 7, {}],
            GenerationRequest(),
            2,
            GenerationDeclaration(generation_id=4, generated_at=NOON),
        ),
        (
            [{"generation_id": 3, "type": "batch"}],
            GenerationRequest(type="x"),
            2,
            GenerationDeclaration(generation_id=4, type="x", generated_at=NOON),
        ),
        (
            [],
            GenerationRequest(generation_id="run a", metadata={"model": "sdxl"}),
            5,
            GenerationDeclaration(generation_id="run a", generated_at=NOON, metadata={"model": "sdxl"}),
        ),
        (
            [{"generation_id": 7, "generated_at": "2026-01-01T00:00:00.000Z", "metadata": {"a": 1}}],
            GenerationRequest(generation_id=7),
            0,
            GenerationDeclaration(generation_id=7, generated_at="2026-01-01T00:00:00.000Z", metadata={"a": 1}),
        ),
        (
            [{"generation_id": 7, "generated_at": "2026-01-01T00:00:00.000Z", "metadata": {"a": 1}}],
            GenerationRequest(generation_id=7, generated_at="2026-02-01T00:00:00.000Z", metadata={"b": 1}),
            0,
            GenerationDeclaration(generation_id=7, generated_at="2026-02-01T00:00:00.000Z", metadata={"b": 1}),
        ),
    ],
    ids=str,
)
def test_a_declaration_replaces_given_fields_of_the_same_generation(
    store, declared, generation_request, above, declaration
):
    store.upload(COLLECTION, json.dumps({"title": "t", "generations": declared}).encode())
    assert (
        declare_generation(
            editor(store),
            generation_request,
            NOON,
            above,
        )[1]
        == declaration
    )
    after = store.fields(COLLECTION)
    assert after["title"] == "t"
    assert [
        generation
        for generation in after["generations"]
        if generation in declared or generation == declaration.model_dump(mode="json")
    ] == after["generations"]
    assert declaration.model_dump(mode="json") in after["generations"]


def test_other_fields_of_a_generation_stay(store):
    store.upload(COLLECTION, b'{"generations": [{"generation_id": 7, "theirs": 1}]}')
    declare_generation(
        editor(store),
        GenerationRequest(generation_id=7, type="declared"),
        NOON,
        0,
    )
    (generation,) = store.fields(COLLECTION)["generations"]
    assert (generation["theirs"], generation["generated_at"]) == (1, NOON)


def test_a_repeated_declaration_with_an_id_writes_nothing(store):
    for _ in range(3):
        declare_generation(
            editor(store),
            GenerationRequest(generation_id=7),
            NOON,
            0,
        )
    assert store.puts == 1


def test_each_declaration_without_an_id_gets_its_own_id(store):
    ids = [
        declare_generation(
            editor(store),
            GenerationRequest(),
            NOON,
            0,
        )[1].generation_id
        for _ in range(3)
    ]
    assert ids == [1, 2, 3]


def test_a_declaration_that_loses_a_conflict_gets_the_next_id(store):
    store.before_put = [
        lambda: declare_generation(
            editor(store),
            GenerationRequest(),
            NOON,
            0,
        )
    ]
    assert (
        declare_generation(
            editor(store),
            GenerationRequest(),
            NOON,
            0,
        )[1].generation_id
        == 2
    )
    assert [generation["generation_id"] for generation in store.fields(COLLECTION)["generations"]] == [1, 2]


def test_a_generation_whose_response_was_lost_is_not_declared_twice(store):
    store.after_put = [lost(COLLECTION)]
    edited, declaration = declare_generation(
        editor(store),
        GenerationRequest(),
        NOON,
        0,
    )
    assert (declaration.generation_id, store.puts) == (1, 1)
    assert edited.edit == store.edit(COLLECTION)
    assert len(store.fields(COLLECTION)["generations"]) == 1


@pytest.mark.parametrize("written", [True, False], ids=["written", "not written"])
def test_an_edit_whose_response_was_lost_takes_effect(store, written):
    (store.after_put if written else store.before_put).append(lost())
    edited = update_descriptions(
        editor(store),
        {"a.png": {"good": False}},
    )
    assert store.fields() == {"a.png": {"good": False}}
    assert edited.edit == store.edit()


def test_concurrent_edits_are_merged(store):
    def other_edits():
        update_descriptions(
            editor(store),
            {"a.png": {"prompt": "theirs"}, "b.png": {"good": False}},
        )

    store.before_put = [other_edits]
    edited = update_descriptions(
        editor(store),
        {"a.png": {"good": False}},
    )
    assert store.fields() == {"a.png": {"prompt": "theirs", "good": False}, "b.png": {"good": False}}
    assert (edited.attempts, edited.edit) == (2, 1_001)


def test_pauses_between_attempts_double_up_to_a_maximum(store):
    slept = []
    store.before_put = [lambda: store.upload(PROMPTS, b'{"n": "%d"}' % random.getrandbits(60))] * 8
    update_descriptions(
        editor(store, slept=slept),
        {"a.png": {"good": False}},
    )
    assert slept == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5]


def test_an_edit_raises_too_many_conflicts_before_its_time_runs_out(store):
    left = iter([5.0, 2.6, 2.1, 0.0])
    store.before_put = [lambda: store.upload(PROMPTS, b'{"n": "%d"}' % random.getrandbits(60))] * 8
    with pytest.raises(TooManyConflicts, match=r"prompt_metadata\.json"):
        update_descriptions(
            editor(store, lambda: next(left)),
            {"a.png": {"good": False}},
        )
    assert store.puts == 3


@pytest.mark.parametrize("error", [ReadFailed(PROMPTS, "503"), WriteRefused(PROMPTS, "403")], ids=repr)
def test_a_failed_read_or_refused_write_is_not_retried(store, error):
    def refuse():
        raise error

    store.before_put = [refuse]
    with pytest.raises(type(error)):
        update_descriptions(
            editor(store),
            {"a.png": {"good": False}},
        )
    assert store.puts == 1


class Interleaved(MemoryStore):
    """A bucket in which another edit may run completely before any request."""

    def __init__(self, chance, other_edits):
        super().__init__()
        self.chance, self.other_edits = chance, other_edits

    def _other_edit(self):
        if self.other_edits and self.chance.random() < 0.5:
            self.other_edits.pop()()

    def get(self, key):
        self._other_edit()
        return super().get(key)

    def put(self, key, body, *, replaces, metadata):
        self._other_edit()
        etag = super().put(key, body, replaces=replaces, metadata=metadata)
        if self.chance.random() < 0.2:
            raise OutcomeUnknown(key, "the answer was lost")
        return etag


@pytest.mark.parametrize("seed", range(50))
def test_edits_interleaved_at_any_request_are_never_lost(seed):
    chance, acknowledged, other_edits = random.Random(seed), [], []
    store = Interleaved(chance, other_edits)

    def edit(number):
        descriptions = {f"{chance.randrange(3)}.png": {"prompt": str(number), f"own {number}": number}}
        acknowledged.append(
            (
                update_descriptions(
                    editor(store, lambda: 1e9),
                    descriptions,
                ).edit,
                descriptions,
            )
        )

    other_edits += [lambda number=number: edit(number) for number in range(20)]
    while other_edits:
        other_edits.pop()()
    expected = {}
    for _, descriptions in sorted(acknowledged, key=lambda generation: generation[0]):
        for filename, fields in descriptions.items():
            expected[filename] = expected.get(filename, {}) | fields
    assert json.loads(store.objects[PROMPTS][1]) == expected
    assert len(acknowledged) == 20
