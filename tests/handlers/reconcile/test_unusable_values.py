"""Values that JSON readers cannot hold: none is accepted over HTTP, and existing ones do no harm."""

import gzip
import json
from math import isfinite

import pytest
from handlers.lambda_events import s3_event
from handlers.query.test_query import is_problem

from s3_manifest.sidecars.formats import read_sidecar

PROMPTS, COLLECTION = "styles/16/prompt_metadata.json", "styles/16/collection.json"
UPLOADS = "/api/styles/16/uploads"
IMAGE = '{"filename": "b.png", "size": 4, "md5": "8d777f385d3dfec8815d20f7496026dc"}'
HALF = '"an owl \\ud83e"'


def nested(levels):
    return "[" * levels + "]" * levels


UNUSABLE = ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" * 30, HALF, nested(198), nested(5000)]


def strict(text):
    """Parses a text as the strictest JSON readers do."""

    def finite(token):
        number = float(token)
        assert isfinite(number), token
        return number

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_float=finite, parse_constant=refuse)


def metadata_of(value):
    return f'{{"images": [{IMAGE}], "generation": {{"metadata": {value}}}}}'


@pytest.fixture(autouse=True)
def files(account):
    for name in ("a.png", "b.png"):
        account.put(f"styles/16/{name}")
    account.requests.clear()


def untouched(account):
    return [request for request in account.requests if request.method not in {"GET", "HEAD"}] == []


@pytest.mark.parametrize("value", UNUSABLE, ids=lambda value: value[:12])
@pytest.mark.parametrize("where", ['{{"x": {}}}', '{{"x": [1, {{"y": [{}]}}]}}'], ids=["on top", "within"])
def test_a_body_with_an_unusable_value_is_400_and_nothing_is_written(account, edit, value, where):
    reply = edit("POST", UPLOADS, metadata_of(where.format(value)))
    assert is_problem(reply, 400)
    assert untouched(account)


@pytest.mark.parametrize("body", ['{"prompt": "an owl \\ud83e"}', '{"labels": ["\\udc80"]}', '{"\\ud83e": 1}'])
def test_a_lone_surrogate_in_a_body_is_400(account, edit, body):
    assert is_problem(edit("PATCH", "/api/styles/16/images/a.png", body), 400)
    assert untouched(account)


@pytest.mark.parametrize("levels", [1, 50, 90, 94, 95, 96, 97, 98, 99, 100, 101, 150])
def test_nested_metadata_is_read_back_unchanged_or_rejected(account, edit, levels):
    reply = edit("POST", UPLOADS, metadata_of(f'{{"x": {nested(levels)}}}'))
    if reply.status == 200:
        description = read_sidecar("collection.json", account.read(COLLECTION))
        assert description.problems == ()
        (generation,) = description.generations
        assert json.dumps(dict(generation.metadata)) == f'{{"x": {nested(levels)}}}'
    else:
        assert is_problem(reply, 400)
        assert untouched(account)
    assert (reply.status == 200) == (levels < 97)


@pytest.mark.parametrize("value", ["1e400", "1" * 5000, HALF, nested(198), '"\\udfff\\ud800"', "-1E999"], ids=str)
def test_an_existing_unusable_value_survives_edits_of_other_files(account, edit, value):
    account.put(PROMPTS, f'{{"a.png": {{"prompt": "fox", "score": {value}}}, "gone.png": {value}}}'.encode())
    assert edit("PATCH", "/api/styles/16/images/b.png", {"good": False}).status == 200
    written = account.read(PROMPTS).decode()
    descriptions = read_sidecar("prompt_metadata.json", written.encode()).files
    assert (descriptions["a.png"].prompt, descriptions["b.png"].good) == ("fox", False)
    assert "Infinity" not in written
    assert "NaN" not in written
    assert "".join(written.split()).count("".join(value.split())) == 2
    if value != nested(198):
        json.loads(written, parse_int=str)


def test_a_generation_keeps_an_existing_unusable_value_when_declared_again(account, edit):
    declared = '{"generation_id": 7, "generated_at": "2026-01-01", "metadata": {"seed": 1e400, "steps": 28}}'
    account.put(COLLECTION, f'{{"generations": [{declared}]}}'.encode())
    body = f'{{"images": [{IMAGE}], "generation": {{"generation_id": 7}}}}'
    reply = edit("POST", UPLOADS, body)
    assert (reply.status, strict(reply.text)["generation"]["metadata"]) == (200, {"steps": 28})
    assert '"seed": 1e400' in account.read(COLLECTION).decode()


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "[1, {} ,NaN]", nested(950), nested(5000)], ids=lambda value: value[:12]
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/styles/16/images/b.png", {"good": False}),
        ("DELETE", "/api/manifests/style/16/files/b.png", None),
    ],
)
def test_an_edit_of_a_sidecar_that_is_not_json_is_409_and_names_the_value(account, edit, value, method, path, body):
    account.put(PROMPTS, f'{{"a.png": {{"prompt": "fox", "score": {value}}}}}'.encode())
    account.requests.clear()
    reply = edit(method, path, body)
    assert is_problem(reply, 409)
    assert "a.png.score" in reply.json["detail"]
    assert "Repair or delete it" in reply.json["detail"]
    assert untouched(account)


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(text.encode()),
        lambda text: text.replace("red fox", "red\nfox").encode(),
    ],
    ids=["a byte order mark", "UTF-16", "gzip", "a line break in a string"],
)
def test_a_sidecar_in_any_readable_encoding_can_be_edited(account, edit, encoded):
    account.put(PROMPTS, encoded('{"a.png": {"prompt": "red fox"}}'))
    assert edit("PATCH", "/api/styles/16/images/b.png", {"good": False}).status == 200
    written = strict(account.read(PROMPTS).decode())
    assert written["a.png"]["prompt"].split() == ["red", "fox"]
    assert written["b.png"] == {"good": False}


@pytest.mark.parametrize("value", ["1e400", "NaN", '[1e999, {"y": -1e999}]', "1" * 400])
def test_responses_and_heads_are_valid_json_whatever_a_sidecar_holds(account, get, reconcile, value):
    declared = f'{{"generation_id": 7, "generated_at": "2026-01-01", "metadata": {{"seed": {value}}}}}'
    account.put(COLLECTION, f'{{"title": "x", "more": {value}, "generations": [{declared}]}}'.encode())
    account.put(PROMPTS, f'{{"a.png": {{"prompt": "fox", "score": {value}, "generation_id": {value}}}}}'.encode())
    assert reconcile({"1": s3_event(COLLECTION, PROMPTS, "styles/16/a.png")}) == []
    strict(account.read("_manifests/styles/16/manifest.json"))
    for path in ("/api/manifests/style/16", "/api/manifests/style/16/changes", "/api/manifests", "/api/stats"):
        assert strict(get(path).text)
    assert strict(get("/api/s3/manifest", styleId="16").text)["style_title"] == "x"


def test_a_response_for_an_old_head_with_an_infinite_number_is_valid_json(account, get, reconcile):
    declared = '{"generation_id": 7, "generated_at": "2026-01-01", "metadata": {"seed": 123454321, "steps": 28}}'
    account.put(COLLECTION, f'{{"generations": [{declared}]}}'.encode())
    reconcile({"1": s3_event(COLLECTION, "styles/16/a.png")})
    head = account.read("_manifests/styles/16/manifest.json")
    account.put("_manifests/styles/16/manifest.json", head.replace(b"123454321", b"Infinity"))
    for reply in (get("/api/manifests/style/16"), get("/api/s3/manifest", styleId="16")):
        assert reply.status == 200
        assert strict(reply.text)["generations"][0]["metadata"] == {"steps": 28}
    reconcile({"2": s3_event("styles/16/b.png")})
    strict(account.read("_manifests/styles/16/manifest.json"))
