import json

import pytest
from migration.buckets import KINDS

from s3_manifest_cli.migration.decode import decode
from s3_manifest_cli.migration.merge import merge

NAME = "0042_european_30_male"
FOLDER = f"data/actors/{NAME}/training_data"
ACTOR, SYNC, STYLE = (
    f"{FOLDER}/manifest.json",
    f"data/actor_manifests/{NAME}_manifest.json",
    "data/s3_manifests/style_16_s3_manifest.json",
)
EARLY, LATE = "2025-01-01T00:00:00.000Z", "2025-02-02T00:00:00.000Z"


def legacy_collection(documents, paths=(), id_=NAME):
    """Merges the documents, by path; returns the collection with that id."""
    merged = merge([decode(path, json.dumps(content).encode()) for path, content in documents.items()], paths, KINDS)
    assert merged.problems == ()
    return merged.collections[KINDS.lookup("style" if id_ == "16" else "actor", id_)]


def prompt(documents):
    return legacy_collection(documents).images["a.png"].description.prompt


def images(*prompts, **more):
    return {"images": [{"filename": "a.png", "prompt": entry} for entry in prompts]} | more


@pytest.mark.parametrize(
    ("mine", "other", "counts"),
    [
        (images("mine", updated_at=LATE), images("other", updated_at=EARLY), "mine"),
        (images("mine", updated_at=EARLY), images("other", updated_at=LATE), "other"),
        (images("mine", updated_at=EARLY), images("other", updated_at=EARLY), "mine"),
        (images("mine"), images("other"), "mine"),
        (images("mine"), images("other", updated_at=EARLY), "other"),
        (images(None, updated_at=LATE), images("other", updated_at=EARLY), "other"),
        (images("first", "second"), images("other"), "second"),
    ],
)
def test_the_later_manifest_wins_and_the_actors_own_wins_a_tie(mine, other, counts):
    assert prompt({ACTOR: mine, SYNC: other}) == prompt({SYNC: other, ACTOR: mine}) == counts


def test_the_later_value_of_each_field_wins():
    mine = {"images": [{"filename": "a.png", "prompt": "mine", "good": False}], "updated_at": EARLY}
    description = legacy_collection({ACTOR: mine, SYNC: images("other", updated_at=LATE)}).images["a.png"].description
    assert (description.prompt, description.good) == ("other", False)


RESPONSE = {"id": "r", "model": "flux", "completed_at": LATE, "input": {"prompt": "asked"}, "output": ["a.png"]}


def test_a_response_adds_fields_that_no_manifest_has():
    documents = {ACTOR: images(None, updated_at=EARLY), f"{FOLDER}/response.json": RESPONSE}
    collection = legacy_collection(documents, [f"{FOLDER}/a.png"])
    description = collection.images["a.png"].description
    assert (description.prompt, description.generation_id, description.generation_type, description.generated_at) == (
        "asked",
        "r",
        "flux",
        LATE,
    )
    assert [entry.generation_id for entry in collection.generations] == ["r"]


def test_a_manifest_takes_precedence_over_a_response():
    run = {"generation_id": 1, "type": "kontext", "generated_at": EARLY, "images": [{"filename": "a.png"}]}
    documents = {ACTOR: {"generations": [run], **images("mine")}, f"{FOLDER}/response.json": RESPONSE}
    collection = legacy_collection(documents, [f"{FOLDER}/a.png"])
    description = collection.images["a.png"].description
    assert (description.prompt, description.generation_id, description.generation_type) == ("mine", 1, "kontext")
    assert [entry.generation_id for entry in collection.generations] == [1]


def test_an_unsaved_output_is_not_a_missing_image():
    collection = legacy_collection({ACTOR: {}, f"{FOLDER}/response.json": RESPONSE})
    assert collection.images == {}


def test_a_response_describes_the_images_in_its_folder():
    path = f"{FOLDER}/run 1/a.png"
    collection = legacy_collection({f"{FOLDER}/run 1/response.json": RESPONSE}, [path])
    assert (collection.images["run 1/a.png"].path, collection.images["run 1/a.png"].description.prompt) == (
        path,
        "asked",
    )


def test_a_response_describes_an_image_of_a_manifest_in_any_folder():
    path = f"{FOLDER}/run 1/out-0.png"
    documents = {
        ACTOR: {"images": [{"filename": "a.png", "local_path": path}]},
        f"{FOLDER}/run 1/response.json": RESPONSE | {"output": ["https://x/out-0.png"]},
    }
    collection = legacy_collection(documents, [path])
    assert list(collection.images) == ["a.png"]
    assert (collection.images["a.png"].path, collection.images["a.png"].description.prompt) == (path, "asked")


def test_a_single_output_describes_the_only_image_in_its_folder():
    collection = legacy_collection({f"{FOLDER}/run 1/response.json": RESPONSE}, [f"{FOLDER}/run 1/portrait.png"])
    assert collection.images["run 1/portrait.png"].description.prompt == "asked"


def test_an_id_is_not_a_title():
    assert legacy_collection({ACTOR: {"actor_name": NAME}}).title is None
    assert legacy_collection({ACTOR: {"actor_name": "Anna Smith"}}).title == "Anna Smith"
    late, early = {"actor_name": "Late", "updated_at": LATE}, {"actor_name": "Early", "updated_at": EARLY}
    assert legacy_collection({ACTOR: early, SYNC: late}).title == "Late"


def test_the_later_declaration_of_a_generation_wins():
    run = {"generation_id": 1, "type": "t", "generated_at": EARLY}
    early = {"generations": [run | {"metadata": {"seed": 1}}], "updated_at": EARLY}
    late = {"generations": [run | {"metadata": {"seed": 2}}], "updated_at": LATE}
    (declared,) = legacy_collection({ACTOR: early, SYNC: late}).generations
    assert declared.metadata == {"seed": 2}


def test_an_unnamed_image_in_the_folder_of_an_actor_is_an_orphan():
    paths = [
        f"{FOLDER}/a.png",
        f"{FOLDER}/deep/b.JPG",
        f"{FOLDER}/notes.txt",
        f"data/actors/{NAME}/c.png",
        "data/d.png",
    ]
    collection = legacy_collection({ACTOR: images("p")}, paths)
    assert [name for name, image in collection.images.items() if not image.mentions] == ["deep/b.JPG"]


def test_the_base_image_is_not_an_orphan():
    collection = legacy_collection({ACTOR: {"base_image_path": f"{FOLDER}/base.png"}}, [f"{FOLDER}/base.png"])
    assert collection.images == {}


def test_an_unnamed_image_in_a_folder_of_one_style_is_its_orphan():
    content = {"files": [{"filename": "a.png", "local_path": "data/x/a.png"}]}
    collection = legacy_collection({STYLE: content}, ["data/x/a.png", "data/x/b.png", "data/y/c.png"], "16")
    assert list(collection.images) == ["a.png", "b.png"]
    other_style = {
        "data/s3_manifests/style_17_s3_manifest.json": {"files": [{"filename": "b.png", "local_path": "data/x/b.png"}]}
    }
    collection = legacy_collection(
        {STYLE: content, **other_style}, ["data/x/a.png", "data/x/b.png", "data/x/c.png"], "16"
    )
    assert list(collection.images) == ["a.png"]


def test_a_second_file_with_the_same_name_is_a_duplicate_and_the_first_stays():
    content = {"images": [{"filename": "a.png", "local_path": "data/x/a.png"}]}
    collection = legacy_collection({SYNC: content}, ["data/x/a.png", f"{FOLDER}/a.png"])
    assert collection.images["a.png"].path == "data/x/a.png"
    assert [duplicate.path for duplicate in collection.duplicates] == [f"{FOLDER}/a.png"]
