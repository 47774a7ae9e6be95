"""The query function: the manifest as it was at an earlier revision or time, and pages of one revision."""

from datetime import UTC, timedelta, timezone

import pytest
from handlers.lambda_events import s3_event
from handlers.query.test_query import is_problem
from handlers.scenarios import NOON, PATH, PREFIX, Scenario, read_all

from s3_manifest.manifest.model import timestamp
from s3_manifest.storage import heads

HEAD = f"_manifests/{PREFIX}manifest.json"


@pytest.fixture
def scenario(account, reconcile, monkeypatch):
    return Scenario(account, reconcile, monkeypatch)


@pytest.fixture(params=["inline", "paged"])
def long_scenario(request, scenario, monkeypatch):
    """16 revisions, with a checkpoint at every fifth."""
    if request.param == "paged":
        request.getfixturevalue("small_pages")
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 5)
    scenario.live(16)
    return scenario


def test_every_past_revision_is_returned_whole_and_in_pages(get, long_scenario):
    assert len(long_scenario.account.below(f"_manifests/{PREFIX}checkpoints/")) == 3
    for revision, manifests in long_scenario.manifests.items():
        assert read_all(get, 1000, revision=revision) == manifests
        assert read_all(get, 4, revision=revision) == manifests


def test_a_time_returns_the_manifest_at_that_time(get, long_scenario):
    for revision, manifests in long_scenario.manifests.items():
        moment = long_scenario.at[revision]
        for at in (moment, moment + timedelta(seconds=59, milliseconds=999)):
            assert read_all(get, 1000, at=timestamp(at)) == manifests


def test_a_time_may_have_any_zone_or_none(get, scenario):
    scenario.add("a.png")
    scenario.add("b.png")
    moment = NOON + timedelta(seconds=30)
    for at in (
        moment.isoformat(),
        moment.astimezone(timezone(timedelta(hours=14))).isoformat(),
        moment.replace(tzinfo=None).isoformat(),
        (moment + timedelta(milliseconds=1)).astimezone(UTC).isoformat(),
    ):
        assert get(PATH, at=at).json["revision"] == 1
    assert get(PATH, at="2999-01-01").json["revision"] == 2


def test_a_time_returns_the_last_of_several_revisions_in_one_millisecond(get, scenario):
    scenario.add("a.png")
    later = scenario.clock.moment
    for name in ("b.png", "c.png", "d.png"):
        scenario.clock.moment = later
        scenario.add(name)
    assert get(PATH, at=timestamp(later)).json["revision"] == 4
    assert get(PATH, at=timestamp(later - timedelta(milliseconds=1))).json["revision"] == 1


def test_a_time_before_the_first_commit_is_404_and_one_with_expired_history_is_410(account, get, scenario):
    scenario.live(6)
    before = timestamp(NOON - timedelta(milliseconds=1))
    assert is_problem(get(PATH, at=before), 404)
    for record in scenario.records()[:2]:
        account.delete(record)
    reply = get(PATH, at=before)
    assert is_problem(reply, 410)
    assert "revision 3" in reply.json["detail"]
    assert is_problem(get(PATH, at=timestamp(scenario.at[2])), 410)
    assert get(PATH, at=timestamp(scenario.at[3])).json["revision"] == 3


def test_an_expired_revision_is_410_and_a_future_one_404(account, get, scenario):
    scenario.live(6)
    for record in scenario.records()[:2]:
        account.delete(record)
    for revision in (1, 2):
        assert is_problem(get(PATH, revision=revision), 410)
    assert get(PATH, revision=3, limit=1000).json == scenario.manifests[3] | {"cursor": None}
    assert is_problem(get(PATH, revision=7), 404)
    assert is_problem(get(PATH, revision=10**30), 404)


def test_a_revision_without_its_checkpoint_is_410(account, get, scenario, monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 3)
    scenario.live(8)
    first, _ = account.below(f"_manifests/{PREFIX}checkpoints/")
    account.delete(first)
    assert [get(PATH, revision=n).status for n in range(1, 9)] == [410] * 3 + [200] * 5


def test_the_current_revision_is_returned_without_history(account, get, scenario):
    scenario.live(4)
    for record in scenario.records():
        account.delete(record)
    assert get(PATH, revision=4, limit=1000).json == scenario.manifests[4] | {"cursor": None}
    assert get(PATH, limit=1000).json == scenario.manifests[4] | {"cursor": None}
    assert is_problem(get(PATH, revision=3), 410)


@pytest.mark.parametrize("old", [1, 2, 3, 5])
def test_a_time_after_a_manifest_was_recreated_returns_its_new_revision(account, get, scenario, old):
    scenario.live(old)
    account.delete(HEAD)
    scenario.add("new.png")
    scenario.add("later.png")
    assert get(PATH, at=timestamp(scenario.clock.moment)).json.get("revision") == old + 2
    assert get(PATH, at=timestamp(scenario.at[old + 1])).json.get("revision") == old + 1
    # Revisions of the deleted manifest are returned or expired, and never mixed with new ones.
    for revision in range(1, old + 1):
        reply = get(PATH, revision=revision, limit=1000)
        assert reply.status == 410 or reply.json == scenario.manifests[revision] | {"cursor": None}
        reply = get(PATH, at=timestamp(scenario.at[revision]), limit=1000)
        assert reply.status in {404, 410} or reply.json == scenario.manifests[revision] | {"cursor": None}


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("revision", "0"),
        ("revision", "-1"),
        ("revision", "x"),
        ("revision", ""),
        ("revision", "1.5"),
        ("revision", "last"),
        ("at", "x"),
        ("at", ""),
        ("at", "2026-13-01"),
        ("at", "2026-03-01T25:00:00Z"),
        ("at", "0001-01-01T00:00:00+14:00"),
        ("at", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_a_bad_parameter_is_400_and_named(get, account, scenario, parameter, value):
    scenario.add("a.png")
    account.requests.clear()
    assert is_problem(get(PATH, **{parameter: value}), 400, parameter=parameter)
    assert account.sent("PUT") == []


def test_a_revision_and_a_time_together_are_400(get, account):
    assert is_problem(get(PATH, revision=1, at="2026-03-01"), 400, parameter="at")
    assert account.requests == []


def test_a_past_revision_has_no_etag_and_ignores_if_none_match(get, scenario):
    scenario.add("a.png")
    scenario.add("b.png")
    etag = get(PATH).etag
    for query in ({"revision": 1}, {"at": timestamp(NOON)}):
        reply = get(PATH, {"if-none-match": etag}, **query)
        assert (reply.status, reply.json["revision"], "etag" in reply.headers) == (200, 1, False)
    assert get(PATH, {"if-none-match": etag}, revision=2).json["revision"] == 2


def test_filters_apply_to_past_revisions(get, scenario):
    scenario.add("a.png", "b.jpg", "c.png")
    scenario.remove("a.png")
    scenario.add("d.png")
    assert get(PATH, revision=1, glob="*.png").filenames == ["a.png", "c.png"]
    assert get(PATH, revision=2, prefix="c").filenames == ["c.png"]
    assert get(PATH, revision=2, prefix="d").filenames == []
    later = timestamp(NOON - timedelta(days=10000))
    assert get(PATH, revision=1, modified_after=later).json["total_files"] == 3


@pytest.mark.parametrize("query", [{}, {"revision": 9}, {"glob": "*[02468].png"}])
def test_all_pages_return_one_revision_despite_concurrent_commits(get, long_scenario, query):
    before = long_scenario.revision
    files, cursor, revisions = [], {}, set()
    while cursor is not None:
        reply = get(PATH, limit=3, **query, **cursor)
        assert reply.status == 200, reply.text
        files += reply.json["files"]
        revisions.add(reply.json["revision"])
        cursor = reply.json["cursor"] and {"cursor": reply.json["cursor"]}
        if long_scenario.revision < before + 6:
            long_scenario.live(len(long_scenario.manifests) + 1, seed=long_scenario.revision)
    assert long_scenario.revision > before
    read = query.get("revision", before)
    assert revisions == {read}
    expected = long_scenario.manifests[read]["files"]
    if "glob" in query:
        expected = [
            file for file in expected if file["filename"].endswith(("0.png", "2.png", "4.png", "6.png", "8.png"))
        ]
    assert files == expected


def test_a_cursor_determines_the_revision_without_other_parameters(get, scenario):
    scenario.live(5)
    first = get(PATH, limit=1, revision=3)
    second = get(PATH, cursor=first.json["cursor"])
    assert first.json["files"] + second.json["files"] == scenario.manifests[3]["files"]
    scenario.live(6, seed=1)
    later = get(PATH, cursor=first.json["cursor"], revision=1)
    assert (later.json["revision"], later.json["files"]) == (3, second.json["files"])


def test_a_cursor_is_409_once_its_history_expired_or_the_manifest_was_recreated(account, get, reconcile, scenario):
    scenario.live(5)
    cursors = [get(PATH, limit=1, revision=n).json["cursor"] for n in (2, 5)]
    scenario.live(6, seed=1)
    for record in scenario.records()[:3]:
        account.delete(record)
    reply = get(PATH, cursor=cursors[0])
    assert is_problem(reply, 409, parameter="cursor")
    assert "Start again without a cursor" in reply.json["detail"]
    assert get(PATH, cursor=cursors[1]).json["revision"] == 5
    account.delete(HEAD)
    scenario.add("new.png")
    assert is_problem(get(PATH, cursor=cursors[1]), 409, parameter="cursor")
    account.delete(HEAD)
    assert is_problem(get(PATH, cursor=cursors[1]), 404)


def test_a_cursor_of_a_manifest_restored_to_an_earlier_revision_is_404_or_409(account, get, scenario):
    scenario.live(3)
    early = account.read(HEAD)
    scenario.live(5)
    cursor = get(PATH, limit=1).json["cursor"]
    account.put(HEAD, early)
    assert get(PATH, cursor=cursor).status in {404, 409}
    assert get(f"{PATH}/changes", since=5).status == 404


def test_an_old_revision_reads_only_the_records_up_to_its_checkpoint(account, get, scenario, monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 5)
    scenario.live(14)
    for revision in (1, 5, 6, 10, 11, 13):
        account.requests.clear()
        assert get(PATH, revision=revision, limit=1000).json == scenario.manifests[revision] | {"cursor": None}
        read = [request.key for request in account.requests if "/changes/" in request.key]
        assert len(read) <= 5
    account.requests.clear()
    assert get(PATH, at=timestamp(scenario.at[11]), limit=1000).json["revision"] == 11
    assert len(account.requests) < 20


def test_reading_the_past_writes_nothing(account, get, reconcile, scenario):
    scenario.live(4)
    account.requests.clear()
    for query in ({"revision": 1}, {"at": timestamp(NOON)}, {}):
        get(PATH, **query)
    get(f"{PATH}/changes")
    get(f"{PATH}/removed")
    assert {request.method for request in account.requests} == {"GET"}
    assert all(request.key.startswith("_manifests/") or not request.key for request in account.requests)


def test_a_change_in_another_collection_does_not_affect_the_past(account, get, reconcile, scenario):
    scenario.add("a.png")
    account.put("styles/17/b.png")
    reconcile({"m": s3_event("styles/17/b.png")})
    assert get(PATH, revision=1).json["files"] == scenario.manifests[1]["files"]
