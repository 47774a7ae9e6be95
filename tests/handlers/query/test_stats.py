"""The query function: statistics of the stored files and of their growth."""

from datetime import timedelta

import pytest
from handlers.lambda_events import BUCKET, s3_event
from handlers.scenarios import Clock

from s3_manifest.aws import runtime
from s3_manifest.http import catalog_routes

STATS = "/api/stats"


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    for module in (runtime, catalog_routes):
        monkeypatch.setattr(module, "datetime", clock)
    return clock


@pytest.fixture
def stored(account, reconcile, clock):
    """A style created two days ago that grew yesterday; another style and an actor created today."""

    def put(key, body):
        account.put(key, body)
        reconcile({"1": s3_event(key)})

    put("styles/16/a.png", b"x" * 10)
    clock.moment += timedelta(days=1)
    put("styles/16/b.png", b"x" * 20)
    clock.moment += timedelta(days=1)
    put("styles/17/collection.json", b'{"title": "Snow"}')
    put("styles/17/a.png", b"x" * 5)
    put("system_actors/training_data/0042/a.png", b"x" * 7)
    account.requests.clear()


def test_totals_are_listed_by_kind_and_by_collection(get, stored):
    reply = get(STATS)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    stats = reply.json
    assert (stats["total_collections"], stats["total_files"], stats["total_size_bytes"]) == (3, 4, 42)
    assert stats["kinds"] == [
        {"kind": "actor", "total_collections": 1, "total_files": 1, "total_size_bytes": 7},
        {"kind": "style", "total_collections": 2, "total_files": 3, "total_size_bytes": 35},
    ]
    assert [(row["kind"], row["id"], row["total_files"]) for row in stats["collections"]] == [
        ("actor", "0042", 1),
        ("style", "16", 2),
        ("style", "17", 1),
    ]
    assert stats["collections"][1]["revision"] == 2
    assert [row["id"] for row in stats["largest"]] == ["16", "0042", "17"]
    assert {row["id"] for row in stats["newest"][:2]} == {"0042", "17"}
    assert (stats["partial"], stats["cursor"], stats["growth_partial"]) == (False, None, False)
    assert (stats["largest_files"], stats["newest_files"]) == (None, None)


def test_the_statistics_match_the_manifests(account, get, stored):
    def row(kind, id_, title, prefix):
        manifest = account.manifest(prefix)
        same = ("revision", "complete", "total_files", "total_size_bytes", "created_at", "last_synced")
        place = {"s3_bucket": BUCKET, "s3_prefix": prefix}
        return {"kind": kind, "id": id_, "title": title} | place | {name: manifest[name] for name in same}

    actor = row("actor", "0042", None, "system_actors/training_data/0042/")
    old, young = row("style", "16", None, "styles/16/"), row("style", "17", "Snow", "styles/17/")
    assert get(STATS, days=1).json == {
        "total_collections": 3,
        "total_files": 4,
        "total_size_bytes": 42,
        "kinds": [
            {"kind": "actor", "total_collections": 1, "total_files": 1, "total_size_bytes": 7},
            {"kind": "style", "total_collections": 2, "total_files": 3, "total_size_bytes": 35},
        ],
        "collections": [actor, old, young],
        "largest": [old, actor, young],
        "unreadable": [],
        "newest": [actor, young, old],
        "largest_files": None,
        "newest_files": None,
        "growth": [{"day": "2026-03-03", "total_collections": 3, "total_files": 4, "total_size_bytes": 42}],
        "growth_partial": False,
        "problems": [],
        "partial": False,
        "cursor": None,
    }


def test_the_files_of_one_collection_are_listed_with_all_fields(account, get, stored):
    stats = get(STATS, kind="style", id="16", days=0).json
    files = account.files("styles/16/")
    facts = ("filename", "s3_key", "size_bytes", "last_modified")
    a, b = ({fact: files[name][fact] for fact in facts} for name in ("a.png", "b.png"))
    assert stats["largest_files"] == [b, a]
    assert sorted(stats["newest_files"], key=lambda row: row["filename"]) == [a, b]


def test_growth_is_listed_by_day(get, stored):
    growth = get(STATS, days=4).json["growth"]
    assert [tuple(point.values()) for point in growth] == [
        ("2026-02-28", 3, 0, 0),
        ("2026-03-01", 3, 1, 10),
        ("2026-03-02", 3, 2, 30),
        ("2026-03-03", 3, 4, 42),
    ]
    assert list(growth[0]) == ["day", "total_collections", "total_files", "total_size_bytes"]
    assert len(get(STATS).json["growth"]) == 30


def test_without_days_no_history_is_read(account, get, stored):
    assert get(STATS, days=0).json["growth"] == []
    assert account.sent("GET") == [request for request in account.requests if not request.key]


def test_statistics_of_one_kind(get, stored):
    stats = get(STATS, kind="style").json
    assert (stats["total_collections"], stats["total_size_bytes"]) == (2, 35)
    assert [row["id"] for row in get(STATS, kind="style", top=1).json["largest"]] == ["16"]


def test_statistics_of_one_collection_have_its_files_and_its_growth(get, stored):
    stats = get(STATS, kind="style", id="16", days=2).json
    assert [(row["id"], row["total_size_bytes"]) for row in stats["collections"]] == [("16", 30)]
    assert [(row["filename"], row["size_bytes"]) for row in stats["largest_files"]] == [("b.png", 20), ("a.png", 10)]
    assert {row["filename"] for row in stats["newest_files"]} == {"a.png", "b.png"}
    assert [point["total_size_bytes"] for point in stats["growth"]] == [30, 30]


def test_files_of_a_very_large_collection_are_not_listed(get, stored, monkeypatch):
    monkeypatch.setattr("s3_manifest.query.stats.MAX_FILES", 1)
    stats = get(STATS, kind="style", id="16").json
    assert (stats["largest_files"], stats["newest_files"], stats["total_files"]) == (None, None, 2)


def test_statistics_of_many_collections_are_paged_and_marked_partial(get, stored):
    ids, total_bytes, cursor = [], 0, None
    while True:
        stats = get(STATS, limit=2, **({"cursor": cursor} if cursor else {})).json
        assert stats["partial"] is True
        ids += [row["id"] for row in stats["collections"]]
        total_bytes += stats["total_size_bytes"]
        if (cursor := stats["cursor"]) is None:
            break
    assert (ids, total_bytes) == (["0042", "16", "17"], 42)


def test_growth_is_marked_incomplete_when_time_runs_out(get, stored, monkeypatch):
    monkeypatch.setattr(catalog_routes, "GROWTH_SECONDS", -1)
    stats = get(STATS, days=1).json
    assert (stats["growth_partial"], stats["growth"][0]["total_collections"]) == (True, 0)
    assert stats["total_size_bytes"] == 42


def test_statistics_without_collections_are_zero(get):
    stats = get(STATS, days=1).json
    assert (stats["total_collections"], stats["kinds"], stats["collections"]) == (0, [], [])
    assert stats["growth"] == [{"day": "2026-03-01", "total_collections": 0, "total_files": 0, "total_size_bytes": 0}]


@pytest.mark.parametrize(
    ("parameter", "query"),
    [
        ("kind", {"kind": "voice"}),
        ("kind", {"kind": ""}),
        ("kind", {"id": "16"}),
        ("id", {"kind": "style", "id": "a/b"}),
        ("top", {"top": "101"}),
        ("days", {"days": "91"}),
        ("limit", {"limit": "0"}),
        ("cursor", {"cursor": "x"}),
    ],
)
def test_a_bad_parameter_is_400_and_named(get, parameter, query):
    reply = get(STATS, **query)
    assert (reply.status, reply.json["parameter"]) == (400, parameter)


def test_statistics_of_a_missing_collection_are_404(get, stored):
    assert get(STATS, kind="style", id="99").status == 404


def test_statistics_are_503_if_s3_refuses_a_manifest(account, get, stored):
    account.refuse("HEAD", "_manifests/styles/16/manifest.json", 403)
    assert get(STATS).status == 503
