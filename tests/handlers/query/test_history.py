"""The query function: the changes of each revision, complete and in order."""

import json
from datetime import timedelta
from hashlib import sha256

import pytest
from handlers.lambda_events import s3_event
from handlers.query.test_query import is_problem
from handlers.scenarios import NOON, PATH, PREFIX, Scenario, follow

from s3_manifest.manifest.changes import decode_record, encode_record
from s3_manifest.manifest.model import timestamp
from s3_manifest.storage import heads

CHANGES, REMOVED = f"{PATH}/changes", f"{PATH}/removed"
HEAD = f"_manifests/{PREFIX}manifest.json"


@pytest.fixture
def scenario(account, reconcile, monkeypatch):
    return Scenario(account, reconcile, monkeypatch)


@pytest.fixture(params=["inline", "paged"])
def long_scenario(request, scenario, monkeypatch):
    """21 revisions, with a checkpoint at every seventh."""
    if request.param == "paged":
        request.getfixturevalue("small_pages")
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 7)
    scenario.live(21)
    assert bool(scenario.account.manifest(PREFIX).get("pages")) is (request.param == "paged")
    return scenario


@pytest.mark.parametrize("limit", [1, 17, 1000])
def test_the_changes_add_up_to_the_manifest_of_every_revision(get, long_scenario, limit):
    files, revisions = {}, []
    for change in follow(get, 0, limit):
        for file_change in change["added"]:
            assert (file_change["before"], file_change["filename"] in files) == (None, False)
            files[file_change["filename"]] = file_change["after"]
        for file_change in change["modified"]:
            assert file_change["before"] == files[file_change["filename"]] != file_change["after"]
            files[file_change["filename"]] = file_change["after"]
        for file_change in change["removed"]:
            assert (file_change["before"], file_change["after"]) == (files.pop(file_change["filename"]), None)
        manifests = long_scenario.manifests[change["revision"]]
        assert [files[name] for name in sorted(files)] == manifests["files"]
        assert change["title"] == manifests["style_title"]
        assert change["commit"] == manifests["last_change"]
        assert change["committed_at"] == timestamp(long_scenario.at[change["revision"]])
        for name in ("complete", "total_files", "total_size_bytes"):
            assert change[name] == manifests[name]
        revisions.append(change["revision"])
    assert revisions == list(range(1, long_scenario.revision + 1))


def test_changes_can_be_read_from_any_revision(get, long_scenario):
    all_changes = follow(get, 0, 1000)
    for since in range(long_scenario.revision + 1):
        assert get(CHANGES, since=since, limit=3).json["changes"] == all_changes[since : since + 3]


def test_an_up_to_date_follower_gets_nothing_until_something_changes(get, scenario):
    scenario.add("a.png")
    reply = get(CHANGES, since=1)
    assert (reply.status, reply.json["changes"], reply.json["next"], reply.json["more"]) == (200, [], 1, False)
    scenario.send_events("a.png")  # a commit that changes nothing
    assert get(CHANGES, since=1).json["changes"] == []
    scenario.add("b.png")
    (change,) = get(CHANGES, since=1).json["changes"]
    assert (change["revision"], [file_change["filename"] for file_change in change["added"]]) == (2, ["b.png"])


def test_each_change_has_its_cause_and_its_commit_time(account, get, scenario):
    scenario.put("listed.png")
    scenario.add("a.png")
    scenario.put("a.png", body=b"newer")
    scenario.send_events("a.png", event="ObjectCreated:CompleteMultipartUpload")
    scenario.delete("a.png")
    scenario.send_events("a.png", event="LifecycleExpiration:Delete")
    first, second, third = get(CHANGES).json["changes"]
    assert {file_change["filename"]: file_change["cause"] for file_change in first["added"]} == {
        "a.png": "ObjectCreated:Put",
        "listed.png": "sweep",
    }
    (altered,), (removed,) = second["modified"], third["removed"]
    assert (altered["cause"], removed["cause"]) == (
        "ObjectCreated:CompleteMultipartUpload",
        "LifecycleExpiration:Delete",
    )
    assert (altered["before"]["size_bytes"], altered["after"]["size_bytes"]) == (4, 5)
    times = [timestamp(NOON + timedelta(minutes=n)) for n in range(3)]
    assert [change["committed_at"] for change in (first, second, third)] == times


def test_a_change_of_only_the_title_is_listed(get, scenario):
    scenario.add("a.png")
    scenario.add("collection.json", body=b'{"title": "Dynamic"}')
    (change,) = get(CHANGES, since=1).json["changes"]
    assert (change["title"], change["added"], change["modified"], change["removed"]) == ("Dynamic", [], [], [])


def test_the_s3_key_of_each_change_leads_to_its_record(account, get, long_scenario):
    for change in follow(get, 0, 1000):
        record = json.loads(account.read(change["s3_key"]))
        assert {name: record[name] for name in ("added", "modified", "removed")} == {
            name: change[name] for name in ("added", "modified", "removed")
        }
        assert (record["revision"], record["commit"]) == (change["revision"], change["commit"])


def test_removed_files_are_listed_in_their_last_state_even_if_uploaded_again(get, scenario):
    scenario.add("a.png", "b.png")
    scenario.add("a.png", body=b"last")
    scenario.remove("a.png")
    scenario.add("a.png", body=b"back")
    scenario.remove("a.png", "b.png")
    scenario.add("b.png")
    reply = get(REMOVED)
    assert (reply.status, reply.json["more"], reply.json["next"]) == (200, False, 6)
    assert [(file_change["filename"], file_change["revision"]) for file_change in reply.json["removed"]] == [
        ("a.png", 3),
        ("a.png", 5),
        ("b.png", 5),
    ]
    for file_change in reply.json["removed"]:
        before = {file["filename"]: file for file in scenario.manifests[file_change["revision"] - 1]["files"]}
        assert file_change["file"] == before[file_change["filename"]]
        assert file_change["removed_at"] == timestamp(scenario.at[file_change["revision"]])
        assert file_change["cause"] == "ObjectRemoved:Delete"
    assert [file_change["file"]["size_bytes"] for file_change in reply.json["removed"]] == [4, 4, 4]


@pytest.mark.parametrize("limit", [1, 3])
def test_removed_files_are_listed_in_pages_without_gaps(get, long_scenario, limit):
    removed, since, more = [], 0, True
    while more:
        reply = get(REMOVED, since=since, limit=limit)
        removed += reply.json["removed"]
        assert since < reply.json["next"] <= since + limit
        since, more = reply.json["next"], reply.json["more"]
    assert removed == get(REMOVED, limit=1000).json["removed"]
    assert [(file_change["filename"], file_change["revision"]) for file_change in removed] == [
        (file_change["filename"], change["revision"])
        for change in follow(get, 0, 1000)
        for file_change in change["removed"]
    ]


def test_a_since_beyond_the_last_revision_is_404(get, scenario):
    scenario.add("a.png")
    for path in (CHANGES, REMOVED):
        reply = get(path, since=2)
        assert is_problem(reply, 404)
        assert "the last is 1" in reply.json["detail"]


@pytest.mark.parametrize("path", [f"{PATH}/changes", f"{PATH}/removed"])
def test_a_collection_without_a_manifest_has_no_history(account, get, path):
    assert is_problem(get(path), 404)
    assert is_problem(get(path.replace("style/16", "voice/16")), 404)


@pytest.mark.parametrize("path", [CHANGES, REMOVED])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("since", "-1"),
        ("since", "x"),
        ("since", ""),
        ("since", "1.5"),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "1001"),
        ("limit", "all"),
    ],
)
def test_a_bad_parameter_is_400_and_named(account, get, path, parameter, value):
    assert is_problem(get(path, **{parameter: value}), 400, parameter=parameter)
    assert account.requests == []


@pytest.mark.parametrize("path", [CHANGES, REMOVED])
def test_an_enormous_since_is_400_or_404(get, scenario, path):
    scenario.add("a.png")
    for since in (10**12 - 1, 10**12, 10**13, 2**63, 10**30, 10**400):
        assert get(path, since=since).status in {400, 404}


def test_an_expired_revision_is_410_with_the_next_step(account, get, scenario):
    scenario.live(12)
    for record in scenario.records()[:5]:  # the garbage collector deletes the oldest first
        account.delete(record)
    for since in range(5):
        for limit in (1, 3, 100):
            reply = get(CHANGES, since=since, limit=limit)
            assert is_problem(reply, 410, oldest=6)
            assert "the oldest kept is 6" in reply.json["detail"]
        assert is_problem(get(REMOVED, since=since), 410, oldest=6)
        assert is_problem(get(PATH, revision=since + 1), 410, oldest=6)
    assert is_problem(get(PATH, at="2026-03-01T12:01:30Z"), 410, oldest=6)
    assert [change["revision"] for change in follow(get, 5, 2)] == list(range(6, 13))
    assert get(REMOVED).json["since"] == 5


def test_a_follower_continues_with_only_the_last_record(account, get, scenario):
    scenario.live(5)
    for record in scenario.records()[:-1]:
        account.delete(record)
    assert is_problem(get(CHANGES, since=3), 410)
    assert [change["revision"] for change in follow(get, 4, 10)] == [5]
    scenario.live(6, seed=2)
    assert [change["revision"] for change in follow(get, 4, 10)] == [5, 6]


def test_a_gap_in_the_records_is_410_and_never_skipped(account, get, scenario):
    scenario.live(9)
    account.delete(scenario.records()[4])
    assert is_problem(get(CHANGES, since=0), 410, oldest=6)
    assert is_problem(get(CHANGES, since=0, limit=5), 410, oldest=6)
    # The record after the gap links to the one before it, so the changes before the gap are valid.
    assert [change["revision"] for change in get(CHANGES, since=0, limit=3).json["changes"]] == [1, 2, 3]
    assert is_problem(get(CHANGES, since=4), 410, oldest=6)
    assert [change["revision"] for change in follow(get, 5, 10)] == [6, 7, 8, 9]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_follower_continues_from_the_oldest_retained_revision_to_the_end(account, get, scenario, limit):
    """Across two gaps and a recreated manifest."""
    scenario.live(9)
    records = scenario.records()
    account.delete(HEAD)
    scenario.add("new.png")
    scenario.live(14, seed=2)
    for record in (records[1], records[6]):
        account.delete(record)
    revisions, since = [], 0
    while since < scenario.revision:
        reply = get(CHANGES, since=since, limit=limit)
        assert reply.status in {200, 410}
        next_since = reply.json["next"] if reply.status == 200 else reply.json["oldest"] - 1
        assert next_since > since
        revisions += [change["revision"] for change in reply.json.get("changes", ())]
        since = next_since
    assert revisions[-4:] == [11, 12, 13, 14]


def test_records_of_lost_commits_are_never_listed(account, get, scenario):
    scenario.live(12)
    all_changes, removed = follow(get, 0, 7), get(REMOVED).json
    past = [get(PATH, revision=n, limit=1000).text for n in range(1, 12)]
    for revision in range(1, 14):
        link = next((key for key in scenario.records() if key.rpartition("/")[2].startswith(f"{revision:012}-")), None)
        previous = link.removesuffix(".json").rpartition("-")[2] if link else scenario.manifests[12]["last_change"]
        for commit in ("0" * 32, "f" * 32):  # sorted before and after the valid record
            account.put(f"_manifests/{PREFIX}changes/{revision:012}-{commit}-{previous}.json", b"garbage")
    for name in ("readme.txt", "000000000003.json", "x-y-z.json", "000000000003-a-b.json.bak", "0-a-b.json"):
        account.put(f"_manifests/{PREFIX}changes/{name}", b"garbage")
    assert follow(get, 0, 1) == all_changes
    assert follow(get, 0, 7) == all_changes
    assert get(REMOVED).json == removed
    assert [get(PATH, revision=n, limit=1000).text for n in range(1, 12)] == past
    scenario.live(14, seed=3)
    assert [change["revision"] for change in follow(get, 0, 7)] == list(range(1, 15))


@pytest.mark.parametrize("revisions", [1, 5])
def test_a_follower_of_a_recreated_manifest_gets_410_and_continues_at_its_first_revision(
    account, get, scenario, revisions
):
    scenario.live(revisions)
    account.delete(HEAD)
    scenario.add("new.png")
    assert scenario.revision == revisions + 1
    for since in range(1, revisions + 1):
        reply = get(CHANGES, since=since)
        assert is_problem(reply, 410), since
        assert get(CHANGES, since=reply.json["oldest"] - 1).json["changes"] == []
    assert [change["revision"] for change in get(CHANGES, since=0).json["changes"]] == [scenario.revision]
    assert f"recreated or repaired with revision {scenario.revision}" in get(CHANGES, since=revisions).json["detail"]
    assert get(CHANGES, since=scenario.revision).json["changes"] == []
    scenario.add("later.png")
    assert [change["revision"] for change in follow(get, revisions + 1, 10)] == [scenario.revision]


def test_a_recreated_manifest_lists_the_files_removed_since(account, get, scenario):
    scenario.live(5)
    account.delete(HEAD)
    scenario.add("new.png")
    scenario.remove("new.png")
    reply = get(REMOVED)
    assert reply.status == 200
    assert [(file_change["filename"], file_change["revision"]) for file_change in reply.json["removed"]][-1:] == [
        ("new.png", 7)
    ]


@pytest.mark.parametrize("path", [CHANGES, REMOVED])
def test_an_unreadable_record_or_head_is_503_with_the_reason_in_the_log(account, get, log, scenario, impatience, path):
    scenario.live(3)
    record = scenario.records()[1]
    account.refuse("GET", record, 403)
    assert is_problem(get(path, since=0), 503)
    account.faults.clear()
    newer = account.read(record).replace(b'"schema":1', b'"schema":2')
    account.put(record, newer[: newer.rindex(b',"sha256"')] + b"}")
    assert is_problem(get(path, since=0), 503)
    account.put(HEAD, b"{}")
    assert is_problem(get(path, since=0), 503)
    reasons = [line["reason"] for line in log() if line["level"] == "ERROR"]
    assert [key in reason for key, reason in zip((record, record, HEAD), reasons, strict=True)] == [True] * 3


def test_a_record_of_an_earlier_version_has_the_current_field_names(account, get, scenario):
    scenario.live(3)
    _, second, _ = scenario.records()
    before = get(CHANGES, since=0).json
    body = account.read(second).replace(b'"modified":', b'"altered":')
    body = body[: body.rindex(b',"sha256"')]
    account.put(second, body + b',"sha256":"%s"}' % sha256(body).hexdigest().encode())
    assert get(CHANGES, since=0).json == before


@pytest.mark.parametrize("path", [CHANGES, REMOVED])
@pytest.mark.parametrize("harm", ["lost", "emptied", "altered", "cut off", "another one"])
def test_a_missing_or_damaged_record_is_410_and_later_records_can_be_read(account, get, scenario, path, harm):
    scenario.live(5)
    _, second, third, *_ = scenario.records()
    body = account.read(third)
    harmed = {
        "emptied": b"{}",
        "altered": body.replace(b'"total_files":', b'"total_files":1'),
        "cut off": body[:-30],
        "another one": account.read(second),
    }
    if harm in harmed:
        account.put(third, harmed[harm])
    else:
        account.delete(third)
    reply = get(path, since=1)
    assert is_problem(reply, 410)
    assert reply.json["oldest"] == 4
    assert get(path, since=3).json["next"] == 5
    assert get(path, since=0, limit=1).json["next"] == 1


def test_history_that_cannot_be_listed_is_503(account, get, scenario, impatience):
    scenario.live(3)
    account.refuse("GET", "", 403)
    for path, query in ((CHANGES, {}), (REMOVED, {}), (PATH, {"revision": 1}), (PATH, {"at": "2026-03-01T12:00:30Z"})):
        assert is_problem(get(path, **query), 503)


def quotes(number):
    return {"prompt": '"' * 1500}


def enlarge(account, record, count, sort, entry_of=quotes):
    """Rewrites a change record to contain ``count`` files."""
    document = json.loads(account.read(record))
    entry = next(iter(account.files(PREFIX).values()))

    def file_change(number):
        changed = entry | {"filename": f"{number:05}.png", "s3_key": f"{PREFIX}{number:05}.png"} | entry_of(number)
        before, after = {"added": (None, changed), "modified": (changed, changed), "removed": (changed, None)}[sort]
        return {"filename": changed["filename"], "cause": "sweep", "before": before, "after": after}

    lists = {name: [] for name in ("added", "modified", "removed")} | {sort: list(map(file_change, range(count)))}
    document.pop("sha256")
    account.put(record, encode_record(decode_record(json.dumps(document | lists).encode())))


@pytest.mark.parametrize("sort", ["added", "modified", "removed"])
def test_a_change_too_large_for_a_response_links_to_its_record_instead_of_its_files(account, get, scenario, sort):
    scenario.live(5)
    enlarge(account, scenario.records()[2], 2_000, sort)
    first = get(CHANGES, since=0)
    assert [change["revision"] for change in first.json["changes"]] == [1, 2]
    second = get(CHANGES, since=first.json["next"])
    assert second.status == 200
    assert second.size < 6 * 1024 * 1024
    huge, *others = second.json["changes"]
    assert (huge["added"], huge["modified"], huge["removed"], huge["revision"]) == (None, None, None, 3)
    assert len(json.loads(account.read(huge["s3_key"]))[sort]) == 2_000
    assert [change["revision"] for change in others] == [4, 5]
    assert all(change["added"] is not None for change in others)
    assert [change["revision"] for change in follow(get, 0, 1)] == [1, 2, 3, 4, 5]


def test_large_changes_are_split_over_responses_and_no_revision_is_omitted(account, get, scenario):
    scenario.live(12)
    for number, record in enumerate(scenario.records()):
        enlarge(account, record, 100 + 60 * (number % 7), "added", quotes)
    changes, since, more = [], 0, True
    while more:
        reply = get(CHANGES, since=since)
        assert reply.size < 6 * 1024 * 1024
        changes += reply.json["changes"]
        since, more = reply.json["next"], reply.json["more"]
    assert [change["revision"] for change in changes] == list(range(1, 13))
    assert [len(change["added"]) for change in changes] == [100 + 60 * (n % 7) for n in range(12)]


def largest_entry(number):
    """The largest possible entry: its key and prompt consist of characters that are escaped twice."""
    name = '"' * 900 + f"{number:05}"
    url = "https://x/" + "%22" * 900
    return {"filename": name, "s3_key": PREFIX + name, "s3_url": url, "prompt": "\x01" * 1400}


def test_large_removals_are_split_over_responses_and_no_revision_is_omitted(account, get, scenario):
    scenario.live(6)
    for record in scenario.records():
        enlarge(account, record, 500, "removed", largest_entry)
    removed, since, more = [], 0, True
    while more:
        reply = get(REMOVED, since=since)
        assert reply.size < 6 * 1024 * 1024
        assert reply.json["next"] > since
        removed += reply.json["removed"]
        since, more = reply.json["next"], reply.json["more"]
    assert sorted({file_change["revision"] for file_change in removed}) == list(range(1, 7))


def test_a_follower_needs_few_requests(account, get, scenario):
    scenario.live(20)
    for since, limit, most in ((20, 100, 2), (19, 100, 3), (0, 10, 12)):
        account.requests.clear()
        assert get(CHANGES, since=since, limit=limit).status == 200
        assert len(account.requests) <= most


def test_changes_of_other_collections_are_not_listed(account, get, reconcile, scenario):
    scenario.add("a.png")
    account.put("styles/160/other.png")
    reconcile({"m": s3_event("styles/160/other.png")})
    assert [change["revision"] for change in follow(get, 0, 10)] == [1]
