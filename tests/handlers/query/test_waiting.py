"""The query function: a client waits for a manifest to change, or to reflect the client's own edit."""

import base64

import pytest
from handlers.lambda_events import s3_event

from s3_manifest.aws import runtime
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.query.cursors import encode_cursor
from s3_manifest.query.waiting import Clock

ACTOR = "system_actors/training_data/0042/"
ROUTES = [
    ("styles/16/", "/api/manifests/style/16", {}),
    ("styles/16/", "/api/s3/manifest", {"styleId": "16"}),
    (ACTOR, "/api/s3/manifest", {"actorId": "42"}),
    (ACTOR, "/api/training-data/42", {}),
]


class Waits:
    """A clock that only waiting advances, and the actions due at each second."""

    def __init__(self):
        self.seconds = 0.0
        self.happens = []

    def sleep(self, seconds):
        self.seconds += seconds
        for due, action in [event for event in self.happens if event[0] <= self.seconds]:
            self.happens.remove((due, action))
            action()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    waits = Waits()
    monkeypatch.setattr(runtime, "clock", lambda: Clock(lambda: waits.seconds, waits.sleep))
    return waits


@pytest.fixture(params=ROUTES, ids=lambda route: route[1] + str(route[2]))
def manifest_route(request, account, reconcile, get):
    """Requests the manifest through each route; ``put`` uploads a file and updates the manifest."""
    prefix, path, query = request.param

    class ManifestRoute:
        prefix: str

        def __call__(self, headers=None, **more):
            return get(path, headers, **query, **more)

        def put(self, name, body=b"data"):
            etag = account.put(prefix + name, body)
            reconcile({"1": s3_event(prefix + name)})
            return etag

    manifest_route = ManifestRoute()
    manifest_route.prefix = prefix
    manifest_route.put("a.png")
    account.requests.clear()
    return manifest_route


def test_a_request_with_the_current_etag_waits_for_the_next_revision(manifest_route, waits):
    etag = manifest_route().etag
    waits.happens = [(3, lambda: manifest_route.put("b.png"))]
    reply = manifest_route({"if-none-match": etag}, wait=20)
    assert (reply.status, reply.json["revision"]) == (200, 2)
    assert reply.etag != etag
    assert 3 <= waits.seconds < 4.5


def test_an_etag_that_stays_current_is_304_after_the_wait(account, manifest_route, waits):
    etag = manifest_route().etag
    account.requests.clear()
    reply = manifest_route({"if-none-match": etag}, wait=5)
    assert (reply.status, reply.etag, waits.seconds) == (304, etag, pytest.approx(5))
    assert len(account.sent("GET")) < 30


def test_an_outdated_etag_returns_the_manifest_without_a_wait(manifest_route, waits):
    etag = manifest_route().etag
    manifest_route.put("b.png")
    assert manifest_route({"if-none-match": etag}, wait=20).json["revision"] == 2
    assert waits.seconds == 0


@pytest.mark.parametrize("wait", [0, 20])
def test_an_existing_manifest_is_returned_without_a_wait(manifest_route, waits, wait):
    reply = manifest_route(wait=wait)
    assert (reply.status, waits.seconds) == (200, 0)
    assert "x-manifest-reflected" not in reply.headers


def upload_of(manifest_route):
    return ChangeToken(s3_key=f"{manifest_route.prefix}b.png", uploaded_md5="8d777f385d3dfec8815d20f7496026dc")


def test_a_request_waits_until_the_manifest_reflects_a_change(manifest_route, waits):
    waits.happens = [(2, lambda: manifest_route.put("x.png")), (4, lambda: manifest_route.put("b.png"))]
    reply = manifest_route(wait=20, reflects=encode_cursor(upload_of(manifest_route)))
    assert (reply.status, reply.headers["x-manifest-reflected"], reply.json["revision"]) == (200, "true", 3)
    assert 4 <= waits.seconds < 5.5


def test_a_manifest_that_does_not_reflect_the_change_in_time_is_returned_and_marked(manifest_route, waits):
    reply = manifest_route(wait=3, reflects=encode_cursor(upload_of(manifest_route)))
    assert (reply.status, reply.headers["x-manifest-reflected"], reply.json["revision"]) == (200, "false", 1)
    assert waits.seconds == pytest.approx(3)


def test_without_a_wait_the_response_reports_immediately_whether_the_change_is_reflected(manifest_route, waits):
    assert manifest_route(reflects=encode_cursor(upload_of(manifest_route))).headers["x-manifest-reflected"] == "false"
    manifest_route.put("b.png")
    assert manifest_route(reflects=encode_cursor(upload_of(manifest_route))).headers["x-manifest-reflected"] == "true"
    assert waits.seconds == 0


def test_a_request_waits_until_the_manifest_reflects_a_deletion(account, manifest_route, waits, reconcile):
    etag = manifest_route.put("b.png")
    key = f"{manifest_route.prefix}b.png"
    account.delete(key)
    waits.happens = [(1, lambda: reconcile({"1": s3_event(key, event="ObjectRemoved:Delete")}))]
    reply = manifest_route(wait=20, reflects=encode_cursor(ChangeToken(s3_key=key, deleted_etag=etag)))
    assert (reply.headers["x-manifest-reflected"], reply.json["revision"]) == ("true", 3)


def test_a_request_with_a_change_token_and_an_etag_waits_for_the_change(manifest_route, waits):
    etag = manifest_route().etag
    waits.happens = [(2, lambda: manifest_route.put("b.png"))]
    token = encode_cursor(upload_of(manifest_route))
    assert manifest_route({"if-none-match": etag}, wait=20, reflects=token).json["revision"] == 2
    reply = manifest_route({"if-none-match": manifest_route().etag}, reflects=token)
    assert (reply.status, reply.headers["x-manifest-reflected"]) == (304, "true")


def test_an_invalid_or_foreign_change_token_is_400(manifest_route):
    for token in (
        "x",
        "größe",
        base64.urlsafe_b64encode(b"[]").decode(),
        encode_cursor(ChangeToken(s3_key="styles/17/a.png", uploaded_md5="x")),
        encode_cursor(ChangeToken(s3_key=f"{manifest_route.prefix}a.png")),
        encode_cursor(ChangeToken(s3_key=f"{manifest_route.prefix}a.png", uploaded_md5="x", edit_number=1)),
    ):
        reply = manifest_route(reflects=token)
        assert (reply.status, reply.json["parameter"]) == (400, "reflects")


def test_a_wait_outside_the_bounds_is_400(manifest_route):
    for wait in ("21", "-0.1", "x", "", "inf", "nan"):
        reply = manifest_route(wait=wait)
        assert (reply.status, reply.json["parameter"]) == (400, "wait")


@pytest.mark.parametrize(("path", "query"), [(path, query) for prefix, path, query in ROUTES if prefix != ACTOR])
def test_a_request_waits_for_a_manifest_that_does_not_exist_yet(account, get, reconcile, waits, path, query):
    account.put("styles/16/a.png")
    waits.happens = [(2, lambda: reconcile({"1": s3_event("styles/16/a.png")}))]
    assert get(path, **query).status == 404
    assert get(path, wait=1, **query).status == 404
    assert get(path, wait=20, **query).status == 200


@pytest.mark.parametrize("wait_query", [{"wait": 1}, {"reflects": "x"}])
@pytest.mark.parametrize("past", [{"revision": 1}, {"at": "2026-01-01"}])
def test_a_wait_for_a_past_revision_is_400(get, wait_query, past):
    reply = get("/api/manifests/style/16", **wait_query, **past)
    assert (reply.status, reply.json["parameter"]) == (400, *wait_query)


@pytest.mark.parametrize(("most", "waited"), [("0", 0), ("3", 3), ("20", 15)])
@pytest.mark.parametrize("how", ["a tag", "a change", "a manifest", "a rescan"])
def test_no_request_waits_longer_than_the_deployment_allows(
    manifest_route, account, get, waits, monkeypatch, new_process, how, most, waited
):
    etag = manifest_route().etag
    token = encode_cursor(ChangeToken(s3_key=f"{manifest_route.prefix}b.png", uploaded_md5="0" * 32))
    monkeypatch.setenv("MAX_WAIT_SECONDS", most)
    new_process()
    match how:
        case "a tag":
            assert manifest_route({"if-none-match": etag}, wait=15).status == 304
        case "a change":
            reply = manifest_route(reflects=token, wait=15)
            assert (reply.headers["x-manifest-reflected"], reply.headers["retry-after"]) == ("false", "1")
        case "a manifest":
            assert get("/api/s3/manifest", styleId="nothing", wait=15).status == 404
        case "a rescan":
            account.put(f"{ACTOR}a.png")
            get("/api/training-data/0042", force_rescan="true", wait=15)
    assert waits.seconds == pytest.approx(waited)
