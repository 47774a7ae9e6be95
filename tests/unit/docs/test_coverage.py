"""The coverage page: every row names tests that exist, and every route, field and public name has a row."""

import ast
import inspect
import json
import re
from functools import cache
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel
from unit.docs.pages import PROJECT, code_in, headings, page, rows, section

import query_handler
from s3_manifest.http import edit_requests, edit_routes, openapi, rescan_routes, upload_routes
from s3_manifest.http.edit_requests import ChangeResponse
from s3_manifest.query import stats, training
from s3_manifest.sidecars import formats
from s3_manifest_cli import training_data
from s3_manifest_cli.migration.plan import Status

TESTS = PROJECT / "tests"
PAGE = page("coverage")
HEADINGS = headings(PAGE)[1:]
METHODS = ("GET ", "POST ", "PUT ", "PATCH ", "DELETE ")

MODELS = {
    "GET /api/actors/{}/training-data": training.TrainingData,
    "GET /api/training-data/{}": training.ActorManifest,
    "GET /api/stats": stats.Stats,
    "PATCH /api/actors/{}/training-data/{}": edit_requests.UpdateFilesResponse,
    "its request body": edit_requests.FileUpdate,
    "PATCH /api/styles/{}": edit_requests.SetTitleResponse,
    "DELETE /api/training-data/{}/images/{}": edit_requests.DeleteFileResponse,
    "DELETE /api/training-data/{}": edit_requests.DeleteCollectionResponse,
    "POST /api/training-data/{}/uploads": upload_routes.UploadPlanResponse,
}


@cache
def coverage(heading):
    return rows(section(PAGE, heading))


def without_query(request):
    """A request without its query; all names of path parameters become ``{}``."""
    return re.sub(r"{\w+}", "{}", request.partition("?")[0])


@cache
def functions_in(path):
    body = ast.parse((TESTS / path).read_text()).body if (TESTS / path).is_file() else []
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_each_part_has_a_table():
    parts = ["Endpoints", "Fields", "Files beside the data", "Client", "Python", "Several buckets", "Migration"]
    assert parts == HEADINGS
    assert all(coverage(heading) for heading in HEADINGS)


@pytest.mark.parametrize(
    "row", [row for heading in HEADINGS for row in coverage(heading)], ids=lambda row: " ".join(row[:-1])[:80]
)
def test_each_row_names_existing_tests(row):
    tests = code_in(row[-1])
    assert row[-1] == ", ".join(f"`{test}`" for test in tests) != ""
    for test in tests:
        path, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions_in(path), test


def test_each_request_of_the_api_has_exactly_one_row_and_no_other_request_has_any():
    document = json.loads(openapi.document(query_handler.app, rescan_routes.app, edit_routes.app))
    requests = [
        f"{method.upper()} {without_query(path)}" for path, methods in document["paths"].items() for method in methods
    ]
    cells = [cell for row in coverage("Endpoints") for cell in code_in(row[0]) if cell.startswith(METHODS)]
    assert sorted(map(without_query, cells)) == sorted(requests)


def models_in(annotation, suffix=""):
    """The models of a field, each with the suffix of the field's name: ``[]`` for a tuple of models."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, suffix
    for argument in get_args(annotation):
        yield from models_in(argument, "[]" if get_origin(annotation) is tuple else suffix)


def fields_of(answer, model):
    """A model's fields and those of the models in it, each as ``(answer or object, field)``."""
    reflection = ChangeResponse.model_fields if issubclass(model, ChangeResponse) else {}
    for name, field in model.model_fields.items():
        if name not in reflection:
            yield answer, name
        for nested, suffix in models_in(field.annotation):
            yield from fields_of(f"{name}{suffix}" if answer in MODELS else f"{answer}.{name}{suffix}", nested)


def documented_fields():
    answers = []
    for cell, fields, _ in coverage("Fields"):
        if cell:
            answers = [without_query(name) for name in code_in(cell)] or [cell]
        yield from ((answer, field) for answer in answers for field in code_in(fields))


def test_each_field_has_a_row():
    expected = {field for answer, model in MODELS.items() for field in fields_of(answer, model)}
    expected |= {("every edit", name) for name in ChangeResponse.model_fields}
    expected |= {("202 of both", name) for name in openapi.IN_PROGRESS["properties"]}
    expected |= {("POST /api/training-data/{}/rescan", name) for name in openapi.QUEUED["properties"]}
    assert set(documented_fields()) == expected


def test_each_public_name_of_the_python_api_has_a_row():
    classes = (training_data.TrainingDataAPI, training_data.TrainingDataManifest, training_data.TrainingDataSync)
    public = {
        f"{class_.__name__}.{name}"
        for class_ in classes
        for name, _ in inspect.getmembers(class_, inspect.isfunction)
        if not name.startswith("_")
    }
    documented = set()
    for names, _ in coverage("Python"):
        class_name = code_in(names)[0].partition(".")[0]
        documented |= {class_name + name if name.startswith(".") else name for name in code_in(names)}
    assert documented == public | {"get_training_data_api"}


@pytest.mark.parametrize("name", [*formats.SIDECARS, "<name>.txt"])
def test_each_sidecar_has_a_row(name):
    assert any(name in code_in(row[0]) for row in coverage("Files beside the data"))


def test_each_status_of_a_migration_plan_has_a_row():
    assert {name for row in coverage("Migration") for name in code_in(row[0])} >= {status.value for status in Status}
