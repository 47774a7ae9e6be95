"""The types of results: the same fields as the layer's models, and what type checkers accept."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from types import GenericAlias, UnionType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from pydantic import BaseModel
from unit.docs.pages import PROJECT
from unit.values import ACTOR, MORNING, file_observation, head_of

from s3_manifest.manifest import model
from s3_manifest.query import training
from s3_manifest.sidecars import content
from s3_manifest_cli import training_data

MODELS = {
    training_data.ActorManifest: training.ActorManifest,
    training_data.ActorImage: training.ActorImage,
    training_data.Generation: model.Generation,
    training_data.GenerationDeclaration: content.GenerationDeclaration,
    training_data.Statistics: training.Statistics,
    training_data.GenerationStatistics: training.GenerationStatistics,
}
TYPES = {model_: type_ for type_, model_ in MODELS.items()}


def json_type(annotation) -> Any:
    """The type that a field of a model has after JSON."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return json_type(arguments[0])
    if origin is tuple:
        return GenericAlias(list, (json_type(arguments[0]),))
    if origin is Mapping:
        return GenericAlias(dict, (str, arguments[1]))
    if origin in {Union, UnionType}:
        return Union[tuple(json_type(argument) for argument in arguments)]  # noqa: UP007  # of a tuple
    return TYPES.get(annotation, annotation)


@pytest.mark.parametrize(("type_", "model_"), MODELS.items(), ids=lambda value: value.__name__)
def test_a_type_has_the_fields_of_its_model_with_their_types_in_json(type_, model_):
    hints = get_type_hints(model_, include_extras=True)
    expected = {}
    for name, field in model_.model_fields.items():
        expected[name] = json_type(hints[name])
        if field.exclude_if:  # absent rather than null
            values = [value for value in get_args(expected[name]) if value is not type(None)]
            expected[name] = NotRequired[values[0] if values else expected[name]]
    assert get_type_hints(type_, include_extras=True) == expected


def test_each_model_in_a_result_has_a_type():
    def models_in(annotation):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
            for field in annotation.model_fields.values():
                yield from models_in(field.annotation)
        for argument in get_args(annotation):
            yield from models_in(argument)

    assert {*models_in(training.ActorManifest)} <= TYPES.keys()


def test_a_manifest_of_the_layer_has_the_required_keys_of_the_types():
    metadata = {"generation-id": "7", "prompt": "a lighthouse", "generated-at": MORNING}
    head = head_of(file_observation("a.jpg", metadata=metadata), file_observation("b.jpg"), collection=ACTOR)
    data = json.loads(training.actor_manifest(ACTOR, head, head.files).model_dump_json())

    def check(type_, value):
        if is_typeddict(type_):
            assert type_.__required_keys__ <= value.keys() <= type_.__annotations__.keys()
            for name, hint in get_type_hints(type_).items():
                check(hint, value.get(name))
        elif get_origin(type_) is list:
            assert value
            for item in value if is_typeddict(get_args(type_)[0]) else ():
                check(get_args(type_)[0], item)

    check(training_data.ActorManifest, data | {"images": [image | {"labels": ["x"]} for image in data["images"]]})


SCRIPT = """
import json
from s3_manifest_cli.training_data import TrainingDataSync, get_training_data_api

api = get_training_data_api()
data = api.get_training_data(actor_id="0001_european_20_female", bucket="story-boards-assets",
                             s3_prefix="system_actors/training_data/0001_european_20_female/", force_rescan=False)
print(json.dumps(data), data["total_images"] + 1, data["images"][0]["prompt"])
hidden = api.delete_training_image(actor_id="1", filename="a.png", delete_from_s3=False)
print(hidden["reflects"], api.rescan_s3(actor_id="1", bucket="story-boards-assets")["generations"][0]["type"])
TrainingDataSync().auto_initialize_manifest("1", "story-boards-assets", "x/")["statistics"]["generations"]
"""
MISTAKES = {
    'data["total_image"]': "typeddict-item",
    'data["images"][0]["promt"]': "typeddict-item",
    'data["total_images"].strip()': "attr-defined",
    "data.images": "attr-defined",
    'api.get_training_data(actor_id="1", prefix="x/")': "call-arg",
}


@pytest.mark.slow
def test_a_type_checker_accepts_the_teams_script_and_finds_misspelled_keys(tmp_path):
    lines = SCRIPT.splitlines()
    (tmp_path / "script.py").write_text("\n".join([*lines, *MISTAKES, ""]))
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = true\nmypy_path = {PROJECT}/layers/manifest:{PROJECT}/cli\n")
    command = [sys.executable, "-m", "mypy", "--config-file", config, "--cache-dir", tmp_path / "cache", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    reported = re.findall(r"^script\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    expected = [(str(len(lines) + number), code) for number, code in enumerate(MISTAKES.values(), 1)]
    assert reported == expected, done.stdout + done.stderr
