"""The query function: invalid parameters are named, and unusual but valid ones are accepted."""

import base64
import json
import random
from urllib.parse import unquote

import pytest
from handlers.account import answer
from handlers.lambda_events import s3_event

PAGE = "/api/manifests/style/16"
WHOLE = "/api/s3/manifest"
CATALOG = "/api/manifests"
ODD_IDS = [
    "größe 日本語",
    "sp ace",
    "a+b",
    "100%",
    "50%25",
    "a%2Fb",
    "a,b",
    "a&b=c;d",
    "(x)[y]{z}",
    "~!$'*:@",
    "🎨",
    "Monet\u2019s garden",
    "e\u0301te\u0301",
    "हिन्दी",
    'say "cheese"',
    "a\\b",
    "a?b#c",
]


def as_cursor(position: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


ODD_PATHS = [(f"{CATALOG}/style/", ""), (f"{CATALOG}/", "/16"), ("/api/", ""), ("/", "")]
BAD = [
    ("limit", "0"),
    ("limit", "-1"),
    ("limit", "x"),
    ("limit", ""),
    ("limit", "1001"),
    ("limit", "9" * 400),
    ("limit", "1.5"),
    ("limit", "NaN"),
    ("cursor", "x"),
    ("cursor", "größe"),
    ("cursor", "%%%%"),
    ("cursor", as_cursor([])),
    ("cursor", as_cursor(None)),
    ("cursor", as_cursor({"revision": "x"})),
    ("cursor", as_cursor({"after": 1})),
    ("modified_after", "x"),
    ("modified_after", ""),
    ("modified_after", "2026-13-01"),
    ("modified_after", "2026-01-01T25:00:00Z"),
    ("glob", "x" * 201),
]


@pytest.fixture
def manifest(account, reconcile):
    account.put("styles/16/a.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    account.requests.clear()


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [(PAGE, *bad) for bad in BAD] + [(CATALOG, *bad) for bad in BAD if bad[0] in {"limit", "cursor"}],
)
def test_a_bad_parameter_is_400_and_named(get, manifest, path, parameter, value):
    reply = get(path, **{parameter: value})
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert reply.json["parameter"] == parameter
    assert reply.json["status"] == 400
    assert "Traceback" not in reply.text


@pytest.mark.parametrize("parameter", ["styleId", "actorId"])
def test_an_empty_id_is_400_and_named(get, account, parameter):
    reply = get(WHOLE, **{parameter: ""})
    assert (reply.status, reply.json["parameter"]) == (400, parameter)
    assert account.requests == []


@pytest.mark.parametrize("limit", [1, 1000])
def test_the_smallest_and_the_largest_limit_are_accepted(get, manifest, limit):
    assert get(PAGE, limit=limit).status == get("/api/manifests", limit=limit).status == 200


def test_the_longest_glob_is_accepted(get, manifest):
    assert get(PAGE, glob="*" * 200).filenames == ["a.png"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_cannot_express_is_no_server_error(get, manifest, moment):
    assert get(PAGE, modified_after=moment).status in {200, 400}


@pytest.mark.parametrize("id_", ODD_IDS)
def test_an_odd_id_finds_its_manifest_on_every_route(account, get, reconcile, id_):
    # Ids that a careless decoder would confuse with it.
    others = {id_.split(",")[0], id_.replace("%25", "%"), id_.replace("+", " ")} - {id_}
    for item in (id_, *others):
        account.put(f"styles/{item}/a.png")
        reconcile({"1": s3_event(f"styles/{item}/a.png")})
    whole = get(WHOLE, styleId=id_)
    assert (whole.status, whole.json.get("style_id")) == (200, id_)
    page = get("/api/manifests/style/-", id=id_)
    assert (page.status, page.json.get("style_id")) == (200, id_)
    by_path = get(f"/api/manifests/style/{id_}")
    if unquote(id_) == id_:
        assert by_path.json == page.json
    else:
        assert (by_path.status, by_path.json["parameter"]) == (400, "path")
    assert id_ in {row["style_id"] for row in get("/api/manifests").json["collections"]}


@pytest.mark.parametrize("name", ["größe 日本語.png", "a,b.png", "a+b%20c.png", "[x].png", "a,b/c.png"])
def test_odd_filenames_are_found_by_prefix_and_glob(account, get, reconcile, name):
    for item in (name, name[0], "z"):
        account.put(f"styles/16/{item}")
    reconcile({"1": s3_event("styles/16/z")})
    assert get(PAGE, prefix=name[:-4]).filenames == [name]
    assert get(PAGE, glob="[[]".join(name.split("["))).filenames == [name]


@pytest.mark.parametrize(("path", "query"), [(WHOLE, {"styleId": "x" * 1100}), (f"{CATALOG}/style/{'ö' * 520}", {})])
def test_an_id_longer_than_a_key_is_404(account, get, path, query):
    def refuse_long_keys(request):
        return answer(400, "KeyTooLongError") if len(request.key.encode()) > 1024 else None

    account.faults.append(refuse_long_keys)
    assert get(path, **query).status in {400, 404}


def random_text(chance: random.Random) -> str:
    alphabet = "abz019-_.~!*'();:@&=+$,/?#[]{}|\\^`\"<>% \t\n\r\0äß日🎨\u202e\ufeff\u0301"
    return "".join(chance.choices(alphabet, k=chance.choice([0, 1, 2, 5, 20, 300])))


@pytest.mark.parametrize("seed", range(10))
def test_no_request_is_a_server_error(account, get, manifest, seed):
    """300 random requests over all seeds; none may return a 5xx."""
    chance = random.Random(seed)
    cursors = [get(PAGE).json["cursor"] or "", as_cursor({"revision": 1, "created_at": "x", "after": ""})]
    odd_values = {
        "limit": ["1", "1000", "00001", "+5", " 5 ", "1e3", "0x10", "٣", "true", "null", str(2**63), str(-(2**63))],
        "cursor": [
            *cursors,
            as_cursor({"revision": 2**70, "created_at": "2026-01-01T00:00:00.000Z", "after": "\0"}),
            as_cursor({"kind": "style", "id": "a/../b"}),
            as_cursor({"kind": "\0", "id": "\n" * 2000}),
            as_cursor({"kind": "style", "id": "\ud800"}),
        ],
        "modified_after": ["0", "-1", "1e400", "99999999999999", "2026-01-01T00:00", "2026-W01", "inf", "12:00", "+1"],
        "glob": ["[", "[!", "[]-a]", "[[a]", "[a--b]", "*" * 200, "[z-a]", "(?P<x>)", "\\", "[a&&b]", "**/a*" * 40],
        "prefix": ["", "/", "..", "\0", "a" * 5000],
        "styleId": ["..", ".", "16/", "\0", "%", "*"],
        "actorId": ["..", "", "16"],
        "if-none-match": ["*", '"', "W/", 'W/"x"', ",", '"a","b"', "\u00ff"],
    }
    for _ in range(30):
        names = chance.sample(sorted(odd_values), k=chance.randrange(5))
        query = {
            name: chance.choice(odd_values[name]) if chance.random() < 0.7 else random_text(chance)
            for name in names
            if name != "if-none-match"
        }
        headers = {"if-none-match": chance.choice(odd_values["if-none-match"])} if "if-none-match" in names else {}
        before, after = chance.choice(ODD_PATHS)
        path = chance.choice([PAGE, WHOLE, CATALOG, "/api/openapi.json", before + random_text(chance) + after])
        reply = get(path, headers, **query)
        assert 200 <= reply.status < 500, (path, query, headers, reply.text)
        assert reply.status == 304 or reply.json is not None
    assert account.sent("PUT") == []
