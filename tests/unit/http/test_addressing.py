"""How a request names a file: any name in its query string, in its path only what gateways pass on unchanged."""

from urllib.parse import quote, unquote, urlsplit

import pytest

from s3_manifest.http.addressing import address, id_in, query_of, route_of, url
from s3_manifest.query.cursors import BadParameter

NAMES = [
    "16",
    "50%.png",
    "50%25.png",
    "we b+1%",
    "a?b#c&d=e;f,g/h",
    "größe 日本語 🎨",
    "e\u0301",
    "..",
    ".",
    "-",
    "\n\t\x7f",
    "\ufffd",
    "+%2B%20",
]
FILES = "/api/manifests/style/16/files"


def as_an_http_api(path):
    return unquote(path).partition("?")[0]


def as_it_was_sent(path):
    return path


def as_one_that_keeps_the_percent_sign(path):
    return unquote(path.replace("%25", "%2525"))


GATEWAYS = [as_an_http_api, as_it_was_sent, as_one_that_keeps_the_percent_sign]


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("name", NAMES)
def test_an_address_names_the_same_collection_behind_every_gateway(name, gateway):
    parts = urlsplit(url(*address("/api/manifests/style/{}/changes", name, {"since": "0"})))
    query = query_of(parts.query)
    route = route_of(gateway(parts.path), query)
    assert route == f"/api/manifests/style/{quote(name, safe='')}/changes"
    assert query["since"] == "0"


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_path_yields_the_sent_name_or_is_rejected(name, gateway):
    try:
        route = route_of(gateway(f"{FILES}/{quote(name, safe='')}"), {})
    except BadParameter:
        return
    # An HTTP API cuts the path off at a question mark; nothing can recover the rest.
    assert unquote(route.removeprefix(f"{FILES}/")) == (name.partition("?")[0] if gateway is as_an_http_api else name)


@pytest.mark.parametrize("name", NAMES)
def test_the_id_is_found_in_the_path_or_the_query_of_a_url(name):
    assert id_in(url(*address("/api/manifests/style/{}", name, {"reflects": "x", "wait": 20}))) == name


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ("", {}),
        ("filename=50%25.png", {"filename": "50%.png"}),
        ("filename=50%2525.png", {"filename": "50%25.png"}),
        ("filename=50%.png", {"filename": "50%.png"}),
        ("filename=a+b%2Bc%20d", {"filename": "a b+c d"}),
        ("filename=a/b%2Fc?d", {"filename": "a/b/c?d"}),
        ("filename=a,b", {"filename": "a,b"}),
        ("filename=a=b", {"filename": "a=b"}),
        ("filename", {"filename": ""}),
        ("&&filename=&", {"filename": ""}),
        ("f%69lename=a", {"filename": "a"}),
        ("filename=%C3%BC", {"filename": "ü"}),
        ("filename=ü", {"filename": "ü"}),
    ],
)
def test_a_query_string_is_decoded_once_by_the_url_standard(raw, query):
    assert query_of(raw) == query


@pytest.mark.parametrize(
    ("raw", "parameter"),
    [
        ("filename=a&filename=b", "filename"),
        ("filename=a&filename=a", "filename"),
        ("filename=a&f%69lename=b", "filename"),
        ("delete_from_s3=false&delete_from_s3=true", "delete_from_s3"),
        ("filename=%FF.png", "query"),
        ("filename=%ED%A0%80", "query"),
        ("filename=%C3", "query"),
        ("%FF=1", "query"),
        ("&".join(f"a{number}=" for number in range(101)), "query"),
    ],
)
def test_an_ambiguous_query_string_is_refused(raw, parameter):
    with pytest.raises(BadParameter) as error:
        query_of(raw)
    assert error.value.parameter == parameter


@pytest.mark.parametrize(
    ("path", "query", "parameter"),
    [
        (f"{FILES}/a.png", {"filename": "b.png"}, "filename"),
        (f"{FILES}/a.png", {"filename": "a.png"}, "filename"),
        (FILES, {"id": "17"}, "id"),
        (FILES, {"id": "16"}, "id"),
        ("/api/manifests/style/-", {"id": ""}, "id"),
        ("/api/styles/50%25/images", {}, "path"),
        ("/api/actors/../training-data", {}, "path"),
        (f"{FILES}/\ufffd.png", {}, "path"),
        (f"{FILES}/a/../b.png", {}, "path"),
    ],
)
def test_an_ambiguous_path_or_a_name_in_path_and_query_is_refused(path, query, parameter):
    with pytest.raises(BadParameter) as error:
        route_of(path, query)
    assert error.value.parameter == parameter


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (f"{FILES}/50%25.png", "/api/manifests/style/-/files?id=…&filename=…"),
        ("/api/training-data/42/images/a%20b", "/api/training-data/-/images?id=…&filename=…"),
        ("/api/actors/42/training-data/a%20b/c", "/api/actors/-/training-data?id=…&filename=…"),
        ("/api/styles/a%20b/images/c", "/api/styles/-/images?id=…&filename=…"),
        ("/api/styles/a%20b/uploads", "/api/styles/-/uploads?id=…"),
        ("/api/manifests/style/a%20b", "/api/manifests/style/-?id=…"),
    ],
)
def test_the_error_for_an_ambiguous_path_names_the_unambiguous_form(path, form):
    with pytest.raises(BadParameter, match=rf"Use the query: {form.replace('?', '[?]')}$"):
        route_of(path, {})
