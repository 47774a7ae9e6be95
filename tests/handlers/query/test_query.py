"""The query function: every route and every documented status."""

import json

import pytest
from handlers.conftest import forget_settings
from handlers.lambda_events import s3_event

PAGE = "/api/manifests/style/16"
WHOLE = "/api/s3/manifest"
WAITING = {"wait": "query", "reflects": "query", "if-none-match": "header"}


@pytest.fixture(autouse=True)
def manifests(account, reconcile):
    for name in ("a.png", "b.jpg", "c/d.png", "c/e.jpg", "collection.json"):
        account.put(f"styles/16/{name}", json.dumps({"title": "Dynamic Größe"}).encode())
    account.put("styles/17/a.png")
    account.put("system_actors/training_data/0007/a.png")
    reconcile({"1": s3_event("styles/16/a.png", "styles/17/a.png", "system_actors/training_data/0007/a.png")})
    account.requests.clear()


ACTOR_PARAMETERS = {"actor_id": "path", "id": "query", "force_rescan": "query"}


def is_problem(reply, status, **more):
    """Returns whether the response is an RFC 9457 problem with this status and these fields."""
    return (
        reply.status == status
        and reply.headers["content-type"] == "application/problem+json"
        and reply.json["status"] == status
        and bool(reply.json["title"])
        and bool(reply.json["detail"])
        and {name: reply.json.get(name) for name in more} == more
    )


@pytest.mark.parametrize(
    ("query", "prefix"),
    [({"styleId": "16"}, "styles/16/"), ({"actorId": "0007"}, "system_actors/training_data/0007/")],
)
def test_the_whole_manifest_is_returned_as_stored(account, get, query, prefix):
    reply = get(WHOLE, **query)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json == account.manifest(prefix)
    assert "etag" in reply.headers
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.raw["isBase64Encoded"] is False


def test_the_function_needs_no_more_settings_than_the_template_gives_it(get, monkeypatch, new_process):
    for name in ("SWEEP_QUEUE_URL", "EVENT_BUS", "HISTORY_DAYS", "MD5_MAX_BYTES"):
        monkeypatch.delenv(name)
    new_process()
    assert get(PAGE).status == get(WHOLE, styleId="16").status == get("/api/manifests").status == 200


@pytest.mark.parametrize(
    ("query", "kind"),
    [({"styleId": "99"}, "style"), ({"actorId": "16"}, "actor"), ({"styleId": "16/../17"}, "style")],
)
def test_a_collection_without_a_manifest_is_404_and_the_message_names_its_kind(get, query, kind):
    reply = get(WHOLE, **query)
    assert reply.status == 404
    assert reply.json == {
        "error": "Manifest not found",
        "message": f"No S3 uploads have been made for this {kind} yet",
    }


@pytest.mark.parametrize("query", [{}, {"styleId": "16", "actorId": "0007"}, {"unknown": "16"}])
def test_a_request_without_exactly_one_id_is_400(account, get, query):
    assert is_problem(get(WHOLE, **query), 400, parameter="styleId")
    assert account.requests == []


EDITING_POSTS = ("/uploads", "/training-data/{actor_id}/rescan")


def without_other_lists(manifest):
    return {name: value for name, value in manifest.items() if name not in ("captions", "hidden")}


def test_a_page_is_the_manifest_with_some_of_its_files(account, get):
    manifest = without_other_lists(account.manifest("styles/16/"))
    first = get(PAGE, limit=3)
    assert first.status == 200
    assert first.json == manifest | {"files": manifest["files"][:3], "cursor": first.json["cursor"]}
    second = get(PAGE, limit=3, cursor=first.json["cursor"])
    assert second.json == manifest | {"files": manifest["files"][3:], "cursor": None}
    assert (first.json["total_files"], len(second.json["files"])) == (4, 1)


def test_a_full_last_page_has_no_cursor(get):
    assert get(PAGE, limit=4).json["cursor"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"prefix": "c/"}, ["c/d.png", "c/e.jpg"]),
        ({"glob": "*.png"}, ["a.png", "c/d.png"]),
        ({"glob": "[ab].???", "prefix": "b"}, ["b.jpg"]),
        ({"prefix": "nothing"}, []),
        ({"modified_after": "2000-01-01T00:00:00Z"}, ["a.png", "b.jpg", "c/d.png", "c/e.jpg"]),
        ({"modified_after": "2000-01-01"}, ["a.png", "b.jpg", "c/d.png", "c/e.jpg"]),
        ({"modified_after": "0900-01-01T00:00:00Z"}, ["a.png", "b.jpg", "c/d.png", "c/e.jpg"]),
        ({"modified_after": "2999-01-01T00:00:00+02:00"}, []),
    ],
)
def test_a_filtered_page_has_the_totals_of_all_files(get, query, expected):
    reply = get(PAGE, **query)
    assert (reply.status, reply.filenames, reply.json["total_files"]) == (200, expected, 4)


def test_a_filter_applies_to_every_page(get):
    first = get(PAGE, limit=1, glob="*.png")
    second = get(PAGE, limit=1, glob="*.png", cursor=first.json["cursor"])
    assert (first.filenames, second.filenames, second.json["cursor"]) == (["a.png"], ["c/d.png"], None)


def test_modified_after_omits_files_that_are_not_newer(account, get):
    # The uploads may fall into two seconds.
    moment = max(file["last_modified"] for file in account.files("styles/16/").values())
    assert get(PAGE, modified_after=moment).filenames == []
    assert len(get(PAGE, modified_after=f"{int(moment[:4]) - 1}{moment[4:]}").filenames) == 4


@pytest.mark.parametrize("path", ["/api/manifests/style/99", "/api/manifests/voice/16", "/api/manifests/actor/16"])
def test_a_missing_collection_or_kind_is_404(get, path):
    assert is_problem(get(path), 404)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/",
        "/api/manifests/",
        "/api/manifests/style",
        "/api/manifests/style/16/files",
        "/API/manifests",
    ],
)
def test_a_missing_route_is_404(account, get, path):
    assert is_problem(get(path), 404)
    assert account.requests == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_methods_other_than_get_are_404(account, get, method):
    assert is_problem(get(PAGE, method=method), 404)
    assert account.requests == []


def test_a_cursor_continues_its_revision_after_later_commits(account, get, reconcile):
    before = without_other_lists(account.manifest("styles/16/"))
    first = get(PAGE, limit=1)
    account.put("styles/16/aa.png")
    account.put("styles/16/b.jpg", b"overwritten")
    account.delete("styles/16/c/d.png")
    reconcile({"1": s3_event("styles/16/aa.png", "styles/16/b.jpg", "styles/16/c/d.png")})
    assert account.manifest("styles/16/")["revision"] == 2
    second = get(PAGE, limit=1, cursor=first.json["cursor"])
    third = get(PAGE, cursor=second.json["cursor"])
    assert second.json == before | {"files": before["files"][1:2], "cursor": second.json["cursor"]}
    assert third.json == before | {"files": before["files"][2:], "cursor": None}
    assert get(PAGE).filenames == ["a.png", "aa.png", "b.jpg", "c/e.jpg"]


def test_a_cursor_of_an_expired_revision_is_409(account, get, reconcile):
    cursor = get(PAGE, limit=1).json["cursor"]
    account.put("styles/16/new.png")
    reconcile({"1": s3_event("styles/16/new.png")})
    for record in account.below("_manifests/styles/16/changes/"):
        account.delete(record)
    reply = get(PAGE, limit=1, cursor=cursor)
    assert is_problem(reply, 409, parameter="cursor")
    assert "Start again without a cursor" in reply.json["detail"]


def test_a_cursor_survives_a_commit_without_changes(get, reconcile):
    cursor = get(PAGE, limit=1).json["cursor"]
    reconcile({"1": s3_event("styles/16/a.png")})
    assert get(PAGE, limit=1, cursor=cursor).filenames == ["b.jpg"]


def test_a_cursor_of_a_manifest_that_was_recreated_is_409(account, get, reconcile):
    cursor = get(PAGE, limit=1).json["cursor"]
    manifest = account.manifest("styles/16/") | {"created_at": "2001-01-01T00:00:00.000Z"}
    account.put("_manifests/styles/16/manifest.json", json.dumps(manifest).encode())
    assert is_problem(get(PAGE, limit=1, cursor=cursor), 409, parameter="cursor")


@pytest.mark.parametrize(("path", "query"), [(PAGE, {}), (WHOLE, {"styleId": "16"})])
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (503, "SlowDown"), (404, "NoSuchBucket")])
def test_an_unreadable_manifest_is_503_with_the_reason_in_the_log(
    account, get, log, impatience, path, query, status, code
):
    account.refuse("GET", "_manifests/styles/16/manifest.json", status, code)
    assert is_problem(get(path, **query), 503)
    assert [code in line["reason"] for line in log() if line["level"] == "ERROR"] == [True]


@pytest.mark.parametrize(("path", "query"), [(PAGE, {}), (WHOLE, {"styleId": "16"})])
def test_a_manifest_of_a_newer_schema_is_503(account, get, path, query):
    account.put("_manifests/styles/16/manifest.json", json.dumps({"schema": 2}).encode())
    assert is_problem(get(path, **query), 503)


def test_the_catalog_lists_every_collection_with_its_totals(account, get):
    reply = get("/api/manifests")
    assert reply.status == 200
    rows = {(row["kind"], row[f"{row['kind']}_id"]): row for row in reply.json["collections"]}
    assert list(rows) == [("actor", "0007"), ("style", "16"), ("style", "17")]
    manifest = account.manifest("styles/16/")
    row = rows["style", "16"]
    assert row == {name: manifest[name] for name in row}
    assert (row["style_title"], row["total_files"], row["complete"]) == ("Dynamic Größe", 4, True)
    assert reply.json["cursor"] is None
    assert account.sent("PUT") == []


def test_the_catalog_comes_in_pages(account, get, reconcile):
    for number in range(120):
        account.put(f"_manifests/styles/empty-{number}/other.json")
    account.put("styles/größe +/a.png")
    reconcile({"1": s3_event("styles/größe +/a.png")})
    ids, cursor = [], None
    while True:
        reply = get("/api/manifests", limit=1, **({"cursor": cursor} if cursor else {}))
        ids += [row.get("style_id") or row.get("actor_id") for row in reply.json["collections"]]
        if (cursor := reply.json["cursor"]) is None:
            break
    assert ids == ["0007", "16", "17", "größe +"]


def test_the_catalog_is_503_when_s3_refuses(account, get):
    account.refuse("HEAD", "_manifests/styles/16/manifest.json", 403)
    assert is_problem(get("/api/manifests"), 503)


def test_the_openapi_document_lists_only_routes_that_are_deployed(get, monkeypatch, new_process):
    monkeypatch.setenv("ALLOW_EDITS", "false")
    new_process()
    paths = get("/api/openapi.json").json["paths"]
    assert {method for path in paths.values() for method in path} == {"get", "post"}
    assert all("rescan" in path for path, methods in paths.items() if "post" in methods)


def test_the_openapi_document_lists_every_route_and_its_parameters(get):
    reply = get("/api/openapi.json")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json["openapi"].startswith("3.")
    routes = {
        f"{method.upper()} {path}": {parameter["name"]: parameter["in"] for parameter in route.get("parameters", ())}
        for path, methods in reply.json["paths"].items()
        for method, route in methods.items()
    }
    edit_routes = {route for route in routes if route.startswith(("DELETE", "PATCH")) or route.endswith(EDITING_POSTS)}
    assert len(edit_routes) == 18
    assert {route: parameters for route, parameters in routes.items() if route not in edit_routes} == {
        f"GET {WHOLE}": {"styleId": "query", "actorId": "query"} | WAITING,
        "GET /api/manifests": {"limit": "query", "cursor": "query"},
        "GET /api/manifests/{kind}/{collection_id}": {
            "kind": "path",
            "collection_id": "path",
            "id": "query",
            "limit": "query",
            "cursor": "query",
            "prefix": "query",
            "glob": "query",
            "modified_after": "query",
            "revision": "query",
            "at": "query",
            "list": "query",
        }
        | WAITING,
        "GET /api/manifests/{kind}/{collection_id}/changes": {
            "kind": "path",
            "collection_id": "path",
            "id": "query",
            "since": "query",
            "limit": "query",
        },
        "GET /api/manifests/{kind}/{collection_id}/removed": {
            "kind": "path",
            "collection_id": "path",
            "id": "query",
            "since": "query",
            "limit": "query",
        },
        "GET /api/actors/{actor_id}/training-data": ACTOR_PARAMETERS | WAITING,
        "GET /api/training-data/{actor_id}": ACTOR_PARAMETERS | WAITING,
        "GET /api/stats": dict.fromkeys(("kind", "id", "top", "days", "limit", "cursor"), "query"),
        "GET /api/openapi.json": {},
        "POST /api/manifests/rescan": {},
        "POST /api/manifests/{kind}/{collection_id}/rescan": {
            "kind": "path",
            "collection_id": "path",
            "id": "query",
            "rebuild": "query",
        },
    }


def test_the_catalog_and_the_statistics_name_a_bucket_that_cannot_be_read(account, get, monkeypatch):
    monkeypatch.setenv("COLLECTIONS", "style=styles/{style_id}/,actor=s3://missing-bucket/actors/{actor_id}/")
    forget_settings()
    catalog, stats = get("/api/manifests").json, get("/api/stats").json
    for answer in (catalog, stats):
        assert {row["kind"] for row in answer["collections"]} == {"style"}
        (problem,) = answer["problems"]
        assert (problem["kind"], problem["s3_bucket"]) == ("actor", "missing-bucket")
        assert "NoSuchBucket" in problem["problem"]
    assert stats["partial"]


def test_the_catalog_and_the_statistics_list_an_unreadable_manifest(account, get):
    account.put("_manifests/styles/17/manifest.json", b'{"schema": 2}')
    rows = {row.get("style_id"): row for row in get("/api/manifests").json["collections"]}
    assert rows["17"].keys() == {"kind", "style_id", "s3_bucket", "s3_prefix", "problem"}
    assert "total_files" in rows["16"]
    stats = get("/api/stats").json
    assert [item["id"] for item in stats["collections"]] == ["0007", "16"]
    assert [(item["kind"], item["id"]) for item in stats["unreadable"]] == [("style", "17")]
    assert stats["total_collections"] == 2
