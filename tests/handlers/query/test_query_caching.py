"""The query function returns 304 for a current ETag, with one request to S3."""

import pytest
from handlers.lambda_events import s3_event

HEAD = "_manifests/styles/16/manifest.json"
ROUTES = [("/api/manifests/style/16", {}), ("/api/s3/manifest", {"styleId": "16"})]


@pytest.fixture(autouse=True)
def manifest(account, reconcile):
    account.put("styles/16/a.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    account.requests.clear()


@pytest.mark.parametrize(("path", "query"), ROUTES)
@pytest.mark.parametrize(
    "etags",
    ["{etag}", "W/{etag}", '"other", {etag}', '{etag}, "other"', 'W/"other",W/{etag}', "*", '"a","b",{etag},"c"'],
)
def test_a_current_etag_is_304_with_one_request(account, get, path, query, etags):
    etag = get(path, **query).etag
    account.requests.clear()
    reply = get(path, {"if-none-match": etags.format(etag=etag)}, **query)
    assert (reply.status, reply.text, reply.etag) == (304, "", etag)
    assert reply.headers["cache-control"] == "no-cache"
    assert [(request.method, request.key) for request in account.requests] == [("GET", HEAD)]


@pytest.mark.parametrize(("path", "query"), ROUTES)
@pytest.mark.parametrize("etags", ['"other"', 'W/"other"', '"other", "another"', "", ","])
def test_another_etag_returns_the_manifest(account, get, path, query, etags):
    reply = get(path, {"if-none-match": etags}, **query)
    assert (reply.status, reply.json["style_id"]) == (200, "16")
    assert [(request.method, request.key) for request in account.requests] == [("GET", HEAD)]


@pytest.mark.parametrize(("path", "query"), ROUTES)
def test_header_names_are_case_insensitive(get, path, query):
    etag = get(path, **query).etag
    assert get(path, {"If-None-Match": etag}, **query).status == 304


@pytest.mark.parametrize(("path", "query"), ROUTES)
def test_a_commit_changes_the_etag(account, get, reconcile, path, query):
    etag = get(path, **query).etag
    account.put("styles/16/b.png")
    reconcile({"1": s3_event("styles/16/b.png")})
    reply = get(path, {"if-none-match": etag}, **query)
    assert (reply.status, reply.json["total_files"]) == (200, 2)
    assert reply.etag != etag


@pytest.mark.parametrize(("path", "query"), [("/api/manifests/style/99", {}), ("/api/s3/manifest", {"styleId": "99"})])
@pytest.mark.parametrize("etags", ["*", '"a"', '"a", "b"'])
def test_a_missing_manifest_is_404_for_any_etag(get, path, query, etags):
    assert get(path, {"if-none-match": etags}, **query).status == 404


@pytest.mark.parametrize(("path", "query"), ROUTES)
@pytest.mark.parametrize("etags", ["{etag}", "*", '"other", {etag}'])
def test_the_current_etag_of_an_unreadable_manifest_is_304(account, get, path, query, etags):
    etag = account.put(HEAD, b"{")
    assert get(path, {"if-none-match": etags.format(etag=etag)}, **query).status == 304
    assert get(path, {"if-none-match": '"other"'}, **query).status == 503
