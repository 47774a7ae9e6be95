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
from s3_manifest.http import api_docs, edit_routes, rescan_routes, upload_routes, web
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
    "PATCH /api/actors/{}/training-data/{}": edit_routes.UpdateFilesResponse,
    "its request body": edit_routes.FileUpdate,
    "PATCH /api/styles/{}": edit_routes.SetTitleResponse,
    "DELETE /api/training-data/{}/images/{}": edit_routes.DeleteFileResponse,
    "DELETE /api/training-data/{}": edit_routes.DeleteCollectionResponse,
    "POST /api/training-data/{}/uploads": upload_routes.UploadPlanResponse,
}


@cache
def coverage(heading):
    return rows(section(PAGE, heading))


def plain(request):
    """A request without its query, whatever its parameters are called."""
    return re.sub(r"{\w+}", "{}", request.partition("?")[0])


@cache
def functions_in(path):
    body = ast.parse((TESTS / path).read_text()).body if (TESTS / path).is_file() else []
    return {one.name for one in body if isinstance(one, ast.FunctionDef)}


def test_there_is_a_table_for_each_part():
    assert HEADINGS == ["Endpoints", "Fields", "Files beside the data", "Client", "Python", "Migration"]
    assert all(coverage(heading) for heading in HEADINGS)


@pytest.mark.parametrize(
    "row", [row for heading in HEADINGS for row in coverage(heading)], ids=lambda row: " ".join(row[:-1])[:80]
)
def test_each_row_names_tests_that_there_are(row):
    tests = code_in(row[-1])
    assert row[-1] == ", ".join(f"`{test}`" for test in tests) != ""
    for test in tests:
        path, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions_in(path), test


def test_each_request_of_the_api_has_one_row_and_no_other_has():
    document = json.loads(web.openapi(query_handler.app, rescan_routes.app, edit_routes.app))
    requests = [f"{method.upper()} {plain(path)}" for path, methods in document["paths"].items() for method in methods]
    told = [plain(name) for row in coverage("Endpoints") for name in code_in(row[0]) if name.startswith(METHODS)]
    assert sorted(told) == sorted(requests)


def models_in(annotation, mark=""):
    """The models of a field, each with what is put after the field's name: ``[]`` where there are several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, mark
    for inner in get_args(annotation):
        yield from models_in(inner, "[]" if get_origin(annotation) is tuple else mark)


def fields_of(where, model):
    """A model's fields and those of the models in it, each with where it is."""
    of_each_edit = ChangeResponse.model_fields if issubclass(model, ChangeResponse) else {}
    for name, field in model.model_fields.items():
        if name not in of_each_edit:
            yield where, name
        for inner, mark in models_in(field.annotation):
            yield from fields_of(f"{name}{mark}" if where in MODELS else f"{where}.{name}{mark}", inner)


def fields_told():
    of = []
    for answer, fields, _ in coverage("Fields"):
        if answer:
            of = [plain(name) for name in code_in(answer)] or [answer]
        yield from ((one, field) for one in of for field in code_in(fields))


def test_each_field_has_a_row():
    expected = {found for where, model in MODELS.items() for found in fields_of(where, model)}
    expected |= {("every edit", name) for name in ChangeResponse.model_fields}
    expected |= {("202 of both", name) for name in api_docs.UNDER_WAY["properties"]}
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
    for names, _ in coverage("Python"):
        of = code_in(names)[0].partition(".")[0]
        told |= {of + name if name.startswith(".") else name for name in code_in(names)}
    assert told == public | {"get_training_data_api"}


@pytest.mark.parametrize("name", [*formats.SIDECARS, "<name>.txt"])
def test_each_sidecar_has_a_row(name):
    assert any(name in code_in(row[0]) for row in coverage("Files beside the data"))


def test_each_status_of_a_plan_has_a_row():
    assert {name for row in coverage("Migration") for name in code_in(row[0])} >= {status.value for status in Status}
