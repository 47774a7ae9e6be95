"""The rescan function queues the requested sweeps and names the invalid parameter of a bad request."""

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest
from handlers.lambda_answers import Reply
from handlers.lambda_events import Context
from handlers.query.test_query import is_problem
from handlers.query.test_query_parameters import ODD_IDS

import rescan_handler
from s3_manifest.manifest.jobs import Sweep, SweepAll, decode_job
from s3_manifest.manifest.model import timestamp

ALL = "/api/manifests/rescan"
JSON = {"content-type": "application/json; charset=utf-8"}
STYLE = {"kind": "style", "id": "16"}


@pytest.fixture(autouse=True)
def no_request_to_s3(account):
    yield
    assert account.requests == []


def item(kind, id_):
    return f"/api/manifests/{kind}/{id_}/rescan"


def body(*collections):
    return json.dumps({"collections": collections})


def test_a_collection_is_queued_and_the_response_links_to_its_manifest(account, post):
    before = timestamp(datetime.now(UTC))
    reply = post(item("style", "16"))
    assert (reply.status, reply.headers["content-type"]) == (202, "application/json")
    assert before <= reply.json["requested_at"] <= timestamp(datetime.now(UTC))
    assert reply.json | {"requested_at": ""} == {
        "status": "queued",
        "collections": 1,
        "manifest": "/api/manifests/style/16",
        "requested_at": "",
    }
    assert account.jobs() == [Sweep(kind="style", id="16")]


@pytest.mark.parametrize(("value", "rebuild"), [("true", True), ("false", False)])
def test_the_rebuild_parameter_is_passed_to_the_job(account, post, value, rebuild):
    assert post(item("style", "16"), rebuild=value).status == 202
    assert account.jobs() == [Sweep(kind="style", id="16", rebuild=rebuild)]


@pytest.mark.parametrize("id_", ODD_IDS)
def test_an_odd_id_in_the_query_is_queued_unchanged_and_the_response_links_to_it(account, post, id_):
    reply = post(item("style", "-"), id=id_)
    assert account.jobs() == [Sweep(kind="style", id=id_)]
    path, _, query = reply.json["manifest"].partition("?")
    assert (path, parse_qsl(query, errors="strict")) == ("/api/manifests/style/-", [("id", id_)])


@pytest.mark.parametrize("id_", ODD_IDS)
def test_an_odd_id_in_the_path_is_queued_unchanged_or_rejected(account, post, id_):
    reply = post(item("style", id_))
    if unquote(id_) == id_:
        assert account.jobs() == [Sweep(kind="style", id=id_)]
    else:
        assert is_problem(reply, 400, parameter="path")
        assert "/api/manifests/style/-/rescan?id=" in reply.json["detail"]
        assert account.jobs() == []


@pytest.mark.parametrize("path", [item("color", "16"), item("style", "x" * 1100), item("", "16"), item("style", "a/b")])
def test_an_impossible_collection_is_404(account, post, path):
    assert is_problem(post(path), 404)
    assert account.jobs() == []


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_a_body_every_collection_is_queued(account, post, nothing):
    reply = post(ALL, nothing)
    assert (reply.status, reply.json["collections"], reply.json["manifest"]) == (202, "all", "/api/manifests")
    assert account.jobs() == [SweepAll()]


@pytest.mark.parametrize(
    "headers", [JSON, {}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}]
)
def test_the_collections_in_the_body_are_queued_for_any_content_type(account, post, headers):
    reply = post(ALL, body(STYLE, {"kind": "actor", "id": "größe 🎨"}), headers)
    assert (reply.status, reply.json["collections"]) == (202, 2)
    assert account.jobs() == [Sweep(kind="style", id="16"), Sweep(kind="actor", id="größe 🎨")]


def test_a_collection_named_twice_is_queued_once(account, post):
    assert post(ALL, body(STYLE, {"kind": "actor", "id": "16"}, STYLE)).json["collections"] == 2
    assert account.jobs() == [Sweep(kind="style", id="16"), Sweep(kind="actor", id="16")]


def test_a_thousand_collections_are_queued_together(post, monkeypatch):
    # Bypasses moto, which takes seconds for so many messages.
    queued = []
    monkeypatch.setattr("s3_manifest.aws.runtime.enqueue", queued.extend)
    reply = post(ALL, body(*({"kind": "style", "id": str(number)} for number in range(1000))))
    assert (reply.status, reply.json["collections"]) == (202, 1000)
    assert queued == [Sweep(kind="style", id=str(number)) for number in range(1000)]


@pytest.mark.parametrize(
    ("bad", "parameter"),
    [
        ("{", "body"),
        (" ", "body"),
        ("collections=16", "body"),
        ("[" * 100_000, "body"),
        ('{"collections": [{"kind": "style", "id": NaN}]}', "body"),
        ("[]", "body"),
        ("16", "body"),
        ("{}", "collections"),
        (body(), "collections"),
        (body(*[STYLE] * 1001), "collections"),
        (json.dumps({"collections": STYLE}), "collections"),
        (json.dumps({"collections": [STYLE], "rebuild": True}), "rebuild"),
        (body(STYLE, "17"), "collections.1"),
        (body(STYLE, {"kind": "style"}), "collections.1.id"),
        (body(STYLE, {"kind": "style", "id": 17}), "collections.1.id"),
        (body(STYLE, STYLE | {"title": "x"}), "collections.1.title"),
        (body(STYLE, STYLE, {"kind": "color", "id": "17"}), "collections.2"),
        (body(STYLE, {"kind": "style", "id": "a/b"}), "collections.1"),
        (body(STYLE, {"kind": "style", "id": ""}), "collections.1"),
        (body(STYLE, {"kind": "style", "id": "x" * 1100}), "collections.1"),
    ],
)
@pytest.mark.parametrize("headers", [JSON, {"content-type": "application/octet-stream"}])
def test_a_bad_body_is_400_with_the_invalid_parameter_and_queues_nothing(account, post, bad, parameter, headers):
    assert is_problem(post(ALL, bad, headers), 400, parameter=parameter)
    assert account.jobs() == []


def test_a_body_that_is_not_utf8_is_400(account, post, monkeypatch):
    monkeypatch.setattr("handlers.lambda_events.base64.b64encode", lambda _: b"/////w==")
    assert is_problem(post(ALL, "\xff"), 400, parameter="body")
    assert account.jobs() == []


def test_a_bad_parameter_is_400_and_named(account, post):
    assert is_problem(post(item("style", "16"), rebuild="perhaps"), 400, parameter="rebuild")
    assert account.jobs() == []


def test_an_unknown_path_is_404(account, post):
    assert is_problem(post("/api/manifests/style/16"), 404)
    assert account.jobs() == []


@pytest.mark.parametrize("path", [ALL, item("style", "16")])
def test_a_rescan_that_cannot_be_queued_is_503_with_the_reason_in_the_log(account, post, log, path):
    account.sqs.delete_queue(QueueUrl=account.sweep_queue_url)
    assert is_problem(post(path), 503)
    (line,) = log()
    assert (line["message"], line["level"]) == ("unavailable", "ERROR")
    assert account.sweep_queue_url in line["reason"]


def test_the_sample_request_queues_the_sample_message(account):
    samples = Path(__file__).parents[3] / "events"
    request = json.loads((samples / "http-post-rescan.json").read_text())
    assert Reply(rescan_handler.handler(request, Context(function_name="rescan"))).status == 202
    (message,) = json.loads((samples / "sqs-sweep.json").read_text())["Records"]
    assert account.jobs() == [decode_job(message["body"])] == [Sweep(kind="style", id="16")]
