"""The README's tables of what proves it: no row without a test that there is, and no name without a row."""

import ast
import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import get_args, get_origin

import click
import pytest
from pydantic import BaseModel

import query_handler
from s3_manifest.http import api_docs, edit_routes, rescan_routes, upload_routes, web
from s3_manifest.http.edit_requests import Reflection
from s3_manifest.query import stats, training
from s3_manifest.sidecars import formats
from s3_manifest_cli import training_data
from s3_manifest_cli.main import main
from s3_manifest_cli.migration.plan import Status

TESTS = Path(__file__).parents[2]
README = (TESTS.parent / "README.md").read_text()
SECTION = README.partition("\n## What proves it\n")[2].partition("\n## ")[0]
HEADINGS = re.findall(r"^### (.+)$", SECTION, re.MULTILINE)
METHODS = ("GET ", "POST ", "PUT ", "PATCH ", "DELETE ")

MODELS = {
    "GET /api/actors/{}/training-data": training.TrainingData,
    "GET /api/training-data/{}": training.ActorManifest,
    "GET /api/stats": stats.Stats,
    "PATCH /api/actors/{}/training-data/{}": edit_routes.Amended,
    "the same, asked": edit_routes.Change,
    "PATCH /api/styles/{}": edit_routes.Retitled,
    "DELETE /api/training-data/{}/images/{}": edit_routes.Deleted,
    "DELETE /api/training-data/{}": edit_routes.Emptied,
    "POST /api/training-data/{}/uploads": upload_routes.Planned,
}


CLIENT = README.partition("\n## Client\n")[2].partition("\n### ")[0]


def commands():
    """Each command's usage, without its options, and what its help begins with."""
    top = click.Context(main, info_name="s3-manifest")
    for name in main.list_commands(top):
        command = main.get_command(top, name)
        pieces = command.collect_usage_pieces(click.Context(command, info_name=name, parent=top))
        usage = " ".join([name, *(piece for piece in pieces if piece != "[OPTIONS]")])
        yield usage, " ".join(command.help.partition("\n\n")[0].split()).removesuffix(".")


def test_each_command_is_told_as_its_help_tells_it():
    told = re.findall(r"^\| `(.+?)` \| (.+) \|$", CLIENT, re.MULTILINE)
    assert told == [one for one in commands() if not one[0].startswith("local ")]


@pytest.mark.parametrize("name", [name for usage, _ in commands() if (name := usage.split()[0]) != "local"])
def test_each_command_has_the_options_that_the_readme_says_every_one_has(name):
    command = main.get_command(None, name)
    options = {option for one in command.params for option in one.opts}
    if name not in {"migrate", "doctor"}:
        assert {"--json", "--quiet", "--bucket", "--stack", "--api-url", "--profile"} <= options
    assert all(one.help for one in command.params if isinstance(one, click.Option))
    assert all(word in CLIENT for word in ("`--json`", "`--quiet`", "`--bucket`", "`--stack`", "`--api-url`"))


def rows(heading):
    """The cells of each row of a table, without its head."""
    table = SECTION.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def coded(cell):
    return re.findall(r"`([^`]+)`", cell)


def plain(request):
    """A request without its query, whatever its parameters are called."""
    return re.sub(r"{\w+}", "{}", request.partition("?")[0])


@cache
def functions_in(path):
    body = ast.parse((TESTS / path).read_text()).body if (TESTS / path).is_file() else []
    return {one.name for one in body if isinstance(one, ast.FunctionDef)}


def test_there_is_a_table_for_each_part():
    assert HEADINGS == ["Endpoints", "Fields", "Files beside the data", "Client", "Python", "Migration"]
    assert all(rows(heading) for heading in HEADINGS)


@pytest.mark.parametrize(
    "row", [row for heading in HEADINGS for row in rows(heading)], ids=lambda row: " ".join(row[:-1])[:80]
)
def test_each_row_names_tests_that_there_are(row):
    tests = coded(row[-1])
    assert row[-1] == ", ".join(f"`{test}`" for test in tests) != ""
    for test in tests:
        path, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions_in(path), test


def test_each_request_of_the_api_has_one_row_and_no_other_has():
    document = json.loads(web.openapi(query_handler.app, rescan_routes.app, edit_routes.app))
    requests = [f"{method.upper()} {plain(path)}" for path, methods in document["paths"].items() for method in methods]
    told = [plain(name) for row in rows("Endpoints") for name in coded(row[0]) if name.startswith(METHODS)]
    assert sorted(told) == sorted(requests)


def models_in(annotation, mark=""):
    """The models of a field, each with what is put after the field's name: ``[]`` where there are several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, mark
    for inner in get_args(annotation):
        yield from models_in(inner, "[]" if get_origin(annotation) is tuple else mark)


def fields_of(where, model):
    """A model's fields and those of the models in it, each with where it is."""
    of_each_edit = Reflection.model_fields if issubclass(model, Reflection) else {}
    for name, field in model.model_fields.items():
        if name not in of_each_edit:
            yield where, name
        for inner, mark in models_in(field.annotation):
            yield from fields_of(f"{name}{mark}" if where in MODELS else f"{where}.{name}{mark}", inner)


def fields_told():
    of = []
    for answer, fields, _ in rows("Fields"):
        if answer:
            of = [plain(name) for name in coded(answer)] or [answer]
        yield from ((one, field) for one in of for field in coded(fields))


def test_each_field_has_a_row():
    expected = {found for where, model in MODELS.items() for found in fields_of(where, model)}
    expected |= {("each edit", name) for name in Reflection.model_fields}
    expected |= {("202 instead of either", name) for name in api_docs.UNDER_WAY["properties"]}
    expected |= {("POST /api/training-data/{}/rescan", name) for name in api_docs.QUEUED["properties"]}
    assert set(fields_told()) == expected


def test_each_public_name_of_the_python_api_has_a_row():
    classes = (training_data.TrainingDataAPI, training_data.TrainingDataManifest, training_data.TrainingDataSync)
    public = {
        f"{of.__name__}.{name}"
        for of in classes
        for name, _ in inspect.getmembers(of, inspect.isfunction)
        if not name.startswith("_")
    }
    told = set()
    for names, _ in rows("Python"):
        of = coded(names)[0].partition(".")[0]
        told |= {of + name if name.startswith(".") else name for name in coded(names)}
    assert told == public | {"get_training_data_api"}


@pytest.mark.parametrize("name", [*formats.SIDECARS, "<name>.txt"])
def test_each_sidecar_has_a_row(name):
    assert any(name in coded(row[0]) for row in rows("Files beside the data"))


def test_each_status_of_a_plan_has_a_row():
    assert {name for row in rows("Migration") for name in coded(row[0])} >= {status.value for status in Status}
