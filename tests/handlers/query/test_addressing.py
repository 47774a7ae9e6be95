"""Behind every gateway, a request changes the object that the client named, or none."""

import json
from urllib.parse import quote, unquote

import pytest
from handlers.lambda_answers import Reply
from handlers.lambda_events import Context, http_request, s3_event
from handlers.query.test_query import is_problem

import edit_handler
import query_handler
from s3_manifest.manifest.jobs import Sweep

STYLE, ACTOR = "styles/16/", "system_actors/training_data/0042_male/"
PAIRS = [("50%.png", "50%25.png"), ("a b.png", "a%20b.png"), ("a/b.png", "a%2Fb.png"), ("a.png", "a.png?v=2")]
FILE_ROUTES = [
    ("DELETE", "/api/manifests/style/16/files", STYLE),
    ("DELETE", "/api/training-data/42/images", ACTOR),
    ("PATCH", "/api/manifests/style/16/files", STYLE),
    ("PATCH", "/api/styles/16/images", STYLE),
    ("PATCH", "/api/actors/42/training-data", ACTOR),
]


@pytest.fixture
def send(account):
    """Sends a request with a raw query string to the function that handles its method."""

    def send(method, path, raw_query="", body=None, headers=None):
        text = None if body is None else json.dumps(body)
        event = http_request(path, None, headers, method, text, raw_query)
        function = query_handler if method == "GET" else edit_handler
        return Reply(function.handler(event, Context(29.0, function_name="edit")))

    return send


@pytest.fixture
def put(account):
    def put(*keys):
        for key in keys:
            account.put(key)
        account.requests.clear()

    return put


def nothing_changed(account):
    return [request for request in account.requests if request.method not in {"GET", "HEAD"}] == []


def body_of(method):
    return {"good": False} if method == "PATCH" else None


@pytest.mark.parametrize(("method", "path", "prefix"), FILE_ROUTES)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("which", [0, 1])
def test_a_filename_in_the_query_changes_that_file_and_no_similar_one(
    account, send, put, method, path, prefix, pair, which
):
    name, other = pair[which], pair[1 - which]
    put(prefix + name, prefix + other)
    more = "&delete_from_s3=true" if method == "DELETE" else ""
    reply = send(method, path, f"filename={quote(name, safe='')}{more}", body_of(method))
    assert reply.status == 200
    if method == "DELETE":
        assert reply.json["s3_key"] == prefix + name
        assert set(account.below(prefix)) == {prefix + other}
    else:
        assert json.loads(account.read(f"{prefix}prompt_metadata.json")) == {name: {"good": False}}


@pytest.mark.parametrize(("method", "path", "prefix"), FILE_ROUTES)
@pytest.mark.parametrize("existing", [("50%.png", "50%25.png"), ("50%.png",), ("50%25.png",)], ids=str)
@pytest.mark.parametrize("raw_path", ["50%25.png", "50%2525.png"])
def test_an_ambiguous_path_is_400_whichever_files_exist(account, send, put, method, path, prefix, existing, raw_path):
    put(*(prefix + name for name in existing))
    etags = {"if-match": ", ".join(account.truth(prefix).values())}
    account.requests.clear()
    reply = send(method, f"{path}/{raw_path}", "delete_from_s3=true", body_of(method), etags)
    assert is_problem(reply, 400, parameter="path")
    assert "filename=" in reply.json["detail"]
    assert account.requests == []


@pytest.mark.parametrize(("method", "path", "prefix"), FILE_ROUTES)
def test_a_path_possibly_truncated_at_a_question_mark_is_409(account, send, put, method, path, prefix):
    put(f"{prefix}a.png", f"{prefix}a.png?v=2")
    reply = send(method, f"{path}/a.png", "delete_from_s3=true", body_of(method))
    assert is_problem(reply, 409)
    assert "a.png?v=2" in reply.json["detail"]
    assert nothing_changed(account)


def test_a_title_is_not_set_through_a_possibly_truncated_path(account, send, put):
    put("styles/16/a.png", "styles/16?x/a.png")
    assert is_problem(send("PATCH", "/api/styles/16", "", {"title": "x"}), 409)
    assert nothing_changed(account)
    assert send("PATCH", "/api/styles/-", "id=16", {"title": "x"}).status == 200
    assert account.sent("PUT")[-1].key == "styles/16/collection.json"


@pytest.mark.parametrize(("method", "path", "prefix"), FILE_ROUTES)
def test_a_plain_filename_in_the_path_is_accepted(account, send, put, method, path, prefix):
    put(f"{prefix}sub/a b+1.png")
    assert send(method, f"{path}/sub/a b+1.png", "", body_of(method)).status == 200


@pytest.mark.parametrize("id_", ["we b+1%", "50%25", "a?b", "..", "-", "files", "größe,&="])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/manifests/style/-/files", {"files": {"a.png": {"good": False}}}),
        ("PATCH", "/api/styles/-/images", {"files": {"a.png": {"good": False}}}),
        ("PATCH", "/api/styles/-/images/a.png", {"good": False}),
        ("PATCH", "/api/manifests/style/-", {"title": "x"}),
        ("PATCH", "/api/styles/-", {"title": "x"}),
        ("DELETE", "/api/manifests/style/-", None),
        ("DELETE", "/api/manifests/style/-/files/a.png", None),
    ],
)
def test_an_id_in_the_query_changes_that_collection_and_no_similar_one(account, send, put, method, path, body, id_):
    similar = {unquote(id_), id_.replace("+", " "), id_.partition("?")[0], id_.replace("%", "%25"), "16"} - {id_}
    put(*(f"styles/{item}/a.png" for item in (id_, *similar)))
    of_all = method == "DELETE" and "files" not in path
    query = f"id={quote(id_, safe='')}" + (f"&confirm={quote(id_, safe='')}" if of_all else "")
    reply = send(method, path, query, body)
    assert reply.status == 200
    assert {request.key.rpartition("/")[0] for request in account.sent("PUT")} == {f"styles/{id_}"}
    manifest, _, manifest_query = reply.json["manifest"].partition("?")
    assert send("GET", manifest, manifest_query.replace("wait=20", "wait=0")).status == 404


@pytest.mark.parametrize("id_", ["we b+1%", "50%25", "a?b", "-"])
@pytest.mark.parametrize("tail", ["", "/changes", "/removed"])
def test_an_id_in_the_query_returns_that_collection_and_no_similar_one(send, put, reconcile, id_, tail):
    for item in {id_, unquote(id_), id_.replace("+", " "), id_.partition("?")[0]}:
        put(f"styles/{item}/a.png")
        reconcile({"1": s3_event(f"styles/{item}/a.png")})
    reply = send("GET", f"/api/manifests/style/-{tail}", f"id={quote(id_, safe='')}")
    assert (reply.status, reply.json["style_id"]) == (200, id_)


def test_an_actor_may_be_named_in_the_query(account, send, put, reconcile):
    put(f"{ACTOR}a.png")
    reconcile({"1": s3_event(f"{ACTOR}a.png")})
    for path in ("/api/training-data/-", "/api/actors/-/training-data"):
        assert send("GET", path, "id=42").json["actor_name"] == "0042_male"
    assert send("POST", "/api/training-data/-/rescan", "id=0042_male").status == 202
    assert account.jobs() == [Sweep(kind="actor", id="0042_male")]


@pytest.mark.parametrize(
    ("method", "path", "query", "parameter"),
    [
        ("DELETE", "/api/manifests/style/16/files", "", "filename"),
        ("DELETE", "/api/manifests/style/16/files", "filename=", "filename"),
        ("DELETE", "/api/manifests/style/16/files", "filename=a.png&filename=b.png", "filename"),
        ("DELETE", "/api/manifests/style/16/files", "filename=%FF", "query"),
        ("DELETE", "/api/manifests/style/16/files/a.png", "filename=b.png", "filename"),
        ("DELETE", "/api/manifests/style/16/files", "id=17&filename=a.png", "id"),
        ("PATCH", "/api/manifests/style/16/files", "filename=", "filename"),
        ("PATCH", "/api/manifests/style/16/files", "", "good"),
        ("GET", "/api/manifests/style/50%25", "", "path"),
        ("GET", "/api/manifests/style/16", "limit=1&limit=2", "limit"),
    ],
)
def test_a_name_that_is_missing_or_given_twice_is_400_and_nothing_is_changed(
    account, send, put, method, path, query, parameter
):
    put(f"{STYLE}a.png", f"{STYLE}b.png", "styles/17/a.png")
    assert is_problem(send(method, path, query, body_of(method)), 400, parameter=parameter)
    assert nothing_changed(account)


@pytest.mark.parametrize(
    ("body", "parameter"), [({"files": {"a.png": {"good": False}}}, "files"), ({}, "body"), ({"good": 1}, "good")]
)
def test_a_bad_body_for_a_file_in_the_query_is_400(account, send, put, body, parameter):
    put(f"{STYLE}a.png")
    assert is_problem(send("PATCH", "/api/styles/16/images", "filename=a.png", body), 400, parameter=parameter)
    assert nothing_changed(account)


@pytest.mark.parametrize("path", ["/api/training-data/42/images/a.png", "/api/manifests/actor/0042_male/files/a.png"])
def test_confirm_on_the_route_of_a_file_is_400_and_changes_nothing(account, send, put, path):
    put(f"{ACTOR}a.png")
    reply = send("DELETE", path, "confirm=42%2Fimages%2Fa.png&delete_from_s3=true")
    assert is_problem(reply, 400, parameter="confirm")
    assert nothing_changed(account)
