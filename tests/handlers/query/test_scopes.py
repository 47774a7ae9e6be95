"""With scopes configured, a token allows exactly what its scopes allow, on every route."""

import json
import re

import pytest
from handlers.lambda_answers import Reply
from handlers.lambda_events import Context, http_request

import edit_handler
import query_handler
import rescan_handler
from s3_manifest.http import openapi

READ, EDIT, DELETE = "images/read", "images/edit", "https://example.com/images.delete"
UPLOAD = {"images": [{"filename": "new.png", "size": 3, "md5": "0" * 32}]}
FILE = "/api/manifests/style/16/files/a.png"
ACTOR = "/api/training-data/0042_male"

REQUIRED_SCOPES = {
    ("GET", "/api/manifests"): READ,
    ("GET", "/api/stats"): READ,
    ("GET", "/api/openapi.json"): READ,
    ("GET", f"{ACTOR}?wait=0"): READ,
    ("POST", "/api/manifests/rescan"): EDIT,
    ("POST", "/api/manifests/style/16/rescan"): EDIT,
    ("POST", f"{ACTOR}/rescan"): EDIT,
    ("PATCH", FILE): EDIT,
    ("PATCH", "/api/manifests/style/16"): EDIT,
    ("POST", "/api/styles/16/uploads"): EDIT,
    ("DELETE", FILE): DELETE,
    ("DELETE", f"{FILE}?delete_from_s3=true"): DELETE,
    ("DELETE", f"{FILE}?delete_from_s3=false"): DELETE,
    ("DELETE", "/api/manifests/style/16?confirm=16&delete_from_s3=true"): DELETE,
    ("DELETE", "/api/manifests/style/16?confirm=16"): DELETE,
}
BODIES = {
    ("PATCH", FILE): {"good": False},
    ("PATCH", "/api/manifests/style/16"): {"title": "Rain"},
    ("POST", "/api/styles/16/uploads"): UPLOAD,
}


@pytest.fixture
def scoped(account, monkeypatch, new_process):
    """Deploys the functions with these scopes."""

    def scoped(read=READ, edit=EDIT, delete=DELETE):
        for name, scope in {"READ": read, "EDIT": edit, "DELETE": delete}.items():
            monkeypatch.setenv(f"JWT_{name}_SCOPE", scope)
        new_process()
        account.put("styles/16/a.png", b"png")
        account.put("system_actors/training_data/0042_male/a.png", b"png")

    return scoped


def send(method, target, authorizer, body=None):
    path, _, query = target.partition("?")
    parameters = dict(pair.split("=") for pair in query.split("&")) if query else {}
    headers = {"content-type": "application/json"}
    text = None if body is None else json.dumps(body)
    event = http_request(path, parameters, headers, method, text)
    if authorizer is not None:
        event["requestContext"]["authorizer"] = authorizer
    is_rescan = path in {"/api/manifests/rescan", "/api/manifests/style/16/rescan"}
    handler = query_handler if method == "GET" else rescan_handler if is_rescan else edit_handler
    return Reply(handler.handler(event, Context(29.0)))


def token(*scopes, route_scopes=True):
    """The authorizer context of an HTTP API: claims as strings, and scopes where the route requires some."""
    claims = {"iss": "https://issuer.example.com", "sub": "someone", "exp": "1767269000", "scope": " ".join(scopes)}
    return {"jwt": {"claims": claims, "scopes": list(scopes) if route_scopes else None}}


@pytest.mark.parametrize(("method", "target"), REQUIRED_SCOPES)
def test_each_request_requires_its_scope(scoped, account, method, target):
    scoped()
    required, body = REQUIRED_SCOPES[method, target], BODIES.get((method, target))
    others = {READ, EDIT, DELETE} - {required}
    before = account.below("")
    refused = send(method, target, token(*others), body)
    assert (refused.status, refused.headers["content-type"]) == (403, "application/problem+json")
    assert required in refused.json["detail"]
    assert refused.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{required}"'
    assert account.below("") == before
    assert account.queued() == []
    assert send(method, target, token(required), body).status in {200, 202}


@pytest.mark.parametrize("function", [query_handler, rescan_handler, edit_handler])
def test_every_route_requires_a_scope(scoped, function):
    scoped()
    document = json.loads(openapi.document(function.app))
    routes = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    assert routes
    for method, path in routes:
        event = http_request(re.sub(r"{\w+}", "16", path), method=method)
        event["requestContext"]["authorizer"] = token("openid")
        assert function.handler(event, Context(29.0))["statusCode"] == 403


def test_an_overwriting_upload_requires_the_delete_scope(scoped):
    scoped()
    body = UPLOAD | {"overwrite": True}
    assert send("POST", "/api/styles/16/uploads", token(EDIT), body).status == 403
    assert send("POST", "/api/styles/16/uploads", token(EDIT, DELETE), body).status == 200
    assert send("POST", "/api/styles/16/uploads", token(EDIT), UPLOAD | {"overwrite": False}).status == 200


@pytest.mark.parametrize("path", [ACTOR, "/api/actors/42/training-data"])
def test_a_forced_rescan_requires_the_edit_scope(scoped, account, path):
    scoped()
    refused = send("GET", f"{path}?force_rescan=true&wait=0", token(READ))
    assert (refused.status, account.queued()) == (403, [])
    assert send("GET", f"{path}?force_rescan=true&wait=0", token(READ, EDIT)).status == 202
    assert len(account.queued()) == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": f"openid {DELETE}"},
        {"scp": f"[openid {DELETE}]"},
        {"scp": f"{DELETE} openid"},
        {"scope": "openid", "scp": f"[{DELETE}]"},
    ],
)
def test_scopes_are_read_from_every_claim_format_that_issuers_use(scoped, claims):
    scoped()
    assert send("DELETE", FILE, {"jwt": {"claims": claims, "scopes": None}}).status == 200


@pytest.mark.parametrize(
    "authorizer",
    [
        None,
        {},
        {"jwt": None},
        {"jwt": {"claims": None, "scopes": None}},
        {"jwt": {"claims": {"scope": ""}, "scopes": []}},
        {"jwt": {"claims": {"scope": DELETE + "d"}, "scopes": [DELETE[:-1]]}},
        {"jwt": {"claims": {"sub": DELETE, "scopes": DELETE}, "scopes": None}},
        {"iam": {"userArn": "arn:aws:iam::1:user/somebody"}},
    ],
)
def test_other_claims_and_similar_names_are_not_scopes(scoped, authorizer):
    scoped()
    assert send("DELETE", FILE, authorizer).status == 403


@pytest.mark.parametrize(
    ("scopes", "method", "target", "required"),
    [
        ({"read": "", "edit": "", "delete": ""}, "DELETE", FILE, None),
        ({"delete": ""}, "DELETE", FILE, EDIT),
        ({"edit": "", "delete": ""}, "DELETE", FILE, READ),
        ({"edit": ""}, "PATCH", FILE, READ),
        ({"read": "", "edit": ""}, "PATCH", FILE, None),
        ({"read": ""}, "GET", "/api/manifests", None),
    ],
)
def test_a_right_without_a_scope_requires_the_scope_of_the_next_weaker_right(scoped, scopes, method, target, required):
    scoped(**scopes)
    body = BODIES.get((method, target))
    if required:
        assert send(method, target, token(*({READ, EDIT, DELETE} - {required})), body).status == 403
    assert send(method, target, token(required or "openid", route_scopes=False), body).status == 200
