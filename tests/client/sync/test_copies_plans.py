"""``--dry-run``, ``--plan`` and ``--apply``: plans can be inspected before they are applied."""

import json
from pathlib import Path

import pytest
from client.sides import bytes_by_name, content_of
from client.transfers import random_bytes

from s3_manifest_cli.client.sync.plan import Action, Plan, encode
from s3_manifest_cli.client.transfer.download import PART


@pytest.fixture
def plan(sides):
    return sides.folder.parent / "plan.jsonl"


@pytest.fixture
def differing(sides):
    """A folder and a collection that differ, so that every verb has something to do."""
    sides.put("differs.png", "s3.png", "same.png")
    sides.write("differs.png", body=b"mine")
    sides.write("mine.png", "same.png")
    return sides


def everything(sides):
    return sides.files, sides.objects, {path.name: path.stat().st_mtime_ns for path in sides.folder.rglob("*")}


@pytest.mark.parametrize(
    ("verb", "how"), [("pull", "--plan"), ("push", "--dry-run"), ("sync", "--plan"), ("restore", "--dry-run")]
)
def test_planning_changes_nothing(differing, plan, verb, how):
    before = everything(differing)
    options = [how, plan] if how == "--plan" else [how]
    places = {"pull": ["style/16", differing.folder], "restore": ["style/16", differing.folder]}
    where = places.get(verb, [differing.folder, "style/16"])
    answer = differing.call(verb, *where, *options, "--delete", exit_code=1)
    assert everything(differing) == before
    assert {request.method for request in differing.proxy.seen} <= {"GET"}
    assert "Would " in answer.stdout
    assert plan.exists() == (how == "--plan")


def test_a_dry_run_lists_each_file(differing):
    folder = differing.folder
    lines = differing.pull("--dry-run", "--delete", exit_code=1).stdout.splitlines()
    assert lines == [
        "download      differs.png",
        "delete local  mine.png",
        "download      s3.png",
        f"Would download 2 files (43 bytes) from style/16 to {folder}; delete 1 file from {folder}.",
    ]
    differing.pull("--delete")
    assert differing.pull("--dry-run").stdout == "Nothing to do.\n"


def test_a_plan_is_applied_and_lines_of_it_may_be_removed(differing, plan):
    differing.pull("--delete", "--plan", plan, exit_code=1)
    first, *lines = plan.read_text().splitlines(keepends=True)
    assert [json.loads(line)["filename"] for line in lines] == ["differs.png", "mine.png", "s3.png"]
    plan.write_text(first + "".join(line for line in lines if "differs" not in line))
    answer = differing.call("pull", "--apply", plan)
    assert f"Downloaded 1 file (19 bytes) from style/16 to {differing.folder}; deleted 1 file from" in answer.stdout
    assert differing.files == bytes_by_name("same.png", "s3.png") | {"differs.png": b"mine"}
    assert "Downloaded 1 file" in differing.call("pull", "--apply", plan).stdout  # s3.png was downloaded before


def test_a_stale_plan_leaves_changed_files_untouched(differing, plan):
    differing.pull("--delete", "--plan", plan, exit_code=1)
    differing.write("differs.png", body=b"changed again")
    differing.write("mine.png", body=b"changed again")
    differing.put("s3.png", body=b"changed again")
    answer = differing.call("pull", "--apply", plan, exit_code=3)
    assert differing.files == bytes_by_name("same.png") | dict.fromkeys(("differs.png", "mine.png"), b"changed again")
    assert "3 files failed. Run the command again" in answer.stdout
    differing.push("--delete", "--plan", plan, exit_code=1)
    differing.write("mine.png", body=b"and again")
    differing.put_uncommitted("differs.png", b"and again")
    differing.put_uncommitted("s3.png", b"and again")
    differing.call("push", "--apply", plan, exit_code=3)
    assert differing.objects == bytes_by_name("same.png") | dict.fromkeys(("differs.png", "s3.png"), b"and again")


def test_a_plan_can_be_applied_from_another_working_directory(differing, plan, monkeypatch):
    monkeypatch.chdir(differing.folder.parent)
    differing.call("pull", "style/16", "dest", "--plan", plan, exit_code=1)
    monkeypatch.chdir("/")
    differing.call("pull", "--apply", plan)
    assert differing.files == bytes_by_name("differs.png", "s3.png", "same.png", "mine.png")
    assert not Path("/dest").exists()


def test_a_sync_is_planned_and_applied(differing, plan):
    differing.sync("--plan", plan, exit_code=1)
    answer = differing.call("sync", "--apply", plan, exit_code=1)
    assert "1 conflict: " in answer.stdout
    assert differing.files["s3.png"] == content_of("s3.png")
    assert differing.objects["mine.png"] == content_of("mine.png")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"verb": "push"}, "is a plan for 'push'"),
        ({"s3_bucket": "another"}, "s3://another/styles/16/, which is not in this deployment"),
        ({"s3_prefix": "styles/17/"}, "not in this deployment"),
        ({"id": "17"}, "not in this deployment"),
        ({"kind": "nonsense"}, "not in this deployment"),
        ({"folder": ""}, "is not an absolute path: ''"),
        ({"folder": "dest"}, "is not an absolute path: 'dest'"),
        ({"plan": 2}, "line 1 of the plan: plan"),
        ({"extra": 2}, "line 1 of the plan: extra"),
    ],
)
def test_a_plan_with_an_invalid_header_is_wrong_usage(sides, plan, changed, message):
    download = Action(action="download", filename="a.png", state="s3_only", size=1, etag="e")
    place = {"kind": "style", "id": "16", "s3_bucket": sides.bucket.name, "s3_prefix": "styles/16/", "revision": 1}
    good = Plan(verb="pull", folder=str(sides.folder), actions=(download,), **place)
    first, *lines = encode(good)
    plan.write_bytes(b"\n".join([json.dumps(json.loads(first) | changed).encode(), *lines]))
    answer = sides.call("pull", "--apply", plan, exit_code=2)
    assert message in answer.stderr
    assert sides.files == {}
    assert sides.proxy.seen == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}", b"\x1f\x8b", b"null"])
def test_a_file_that_is_not_a_plan_is_wrong_usage(sides, plan, content):
    plan.write_bytes(content)
    assert "plan" in sides.call("pull", "--apply", plan, exit_code=2).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["pull"],
        ["pull", "style/16"],
        ["push", "somewhere"],
        ["pull", "style/16", "somewhere", "--apply", "PLAN"],
        ["pull", "--apply", "no such plan"],
        ["restore", "style/16", "somewhere", "--in-s3"],
        ["pull", "nonsense", "somewhere"],
        ["sync", "somewhere", "style/16", "--prefer", "neither"],
    ],
)
def test_wrong_usage_is_2_and_changes_nothing(sides, plan, arguments):
    plan.write_bytes(b"{}")
    sides.call(*(plan if argument == "PLAN" else argument for argument in arguments), exit_code=2)
    assert not Path("somewhere").exists()
    assert sides.proxy.seen == []


def test_a_plan_that_cannot_be_written_is_an_error(differing, tmp_path):
    answer = differing.pull("--plan", tmp_path / "nowhere/plan", exit_code=2)
    assert "here is no folder" in answer.stderr


def test_with_json_stdout_is_a_single_document(differing, plan):
    document = json.loads(differing.pull("--dry-run", "--json", "--delete", exit_code=1).stdout)
    assert (document["verb"], document["folder"]) == ("pull", str(differing.folder))
    assert [action["action"] for action in document["actions"]] == ["download", "delete_local", "download"]
    assert json.loads(differing.pull("--plan", plan, "--json", exit_code=1).stdout)["actions"]
    differing.put_uncommitted("s3.png", b"late")
    document = json.loads(differing.pull("--json", exit_code=3).stdout)
    assert document["done"] == {"download": 1}
    assert (document["failed"], document["conflicts"], document["shown"]) == (1, 0, None)
    assert [(file["filename"], bool(file["error"])) for file in document["files"]] == [
        ("differs.png", False),
        ("s3.png", True),
    ]
    assert json.loads(differing.push("--json", "--wait", 0.1, exit_code=1).stdout)["shown"] is False


def test_quiet_prints_only_errors(differing):
    differing.put_uncommitted("s3.png", b"late")
    answer = differing.pull("--quiet", exit_code=3)
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    differing.commit("s3.png")
    assert differing.pull("--quiet").output == ""
    assert differing.pull("--quiet", "--dry-run").output == ""


@pytest.mark.parametrize("verb", ["pull", "push", "sync"])
def test_applying_a_plan_again_changes_nothing(sides, plan, verb):
    sides.put("same.png", "s3.png", "both.png", "deep/s3.png")
    sides.write("same.png", "here.png", "deep/here.png")
    sides.write("both.png", body=b"mine")
    options = ["--prefer", "local"] if verb == "sync" else ["--delete"]
    getattr(sides, verb)(*options, "--plan", plan, exit_code=1)
    sides.call(verb, "--apply", plan)
    before = (sides.files, sides.objects)
    assert before[0] == before[1]
    for _ in range(2):
        answer = sides.call(verb, "--apply", plan)
        assert "failed" not in answer.stdout
        assert (sides.files, sides.objects) == before


def test_applying_a_plan_again_without_the_cache_succeeds(sides, plan):
    sides.put("a.png", "b.png")
    sides.write("b.png", body=b"mine")
    sides.pull("--plan", plan, exit_code=1)
    sides.call("pull", "--apply", plan)
    sides.cache = sides.cache.with_name("another cache")
    sides.call("pull", "--apply", plan)
    assert sides.files == bytes_by_name("a.png", "b.png")


def test_applying_a_plan_again_does_not_download_a_large_file_again(sides, plan):
    body = random_bytes(PART + 1)
    sides.put("large.bin", body=body)
    sides.pull("--plan", plan, exit_code=1)
    sides.call("pull", "--apply", plan)
    sides.proxy.seen.clear()
    sides.call("pull", "--apply", plan)
    assert (sides.files, sides.gets()) == ({"large.bin": body}, [])


def test_applying_a_plan_keeps_a_new_local_file_of_the_same_size_with_other_bytes(sides, plan):
    sides.put("a.png", body=b"theirs")
    sides.pull("--plan", plan, exit_code=1)
    sides.write("a.png", body=b"mine!!")
    sides.call("pull", "--apply", plan, exit_code=3)
    assert sides.files == {"a.png": b"mine!!"}


def test_applying_a_plan_of_a_restore_in_s3_again_changes_nothing(sides, plan):
    sides.bucket.client.put_bucket_versioning(Bucket=sides.bucket.name, VersioningConfiguration={"Status": "Enabled"})
    sides.put("a.png", "b.png")
    sides.put("a.png", body=b"another")
    sides.put("c.png")
    sides.restore("--in-s3", "--revision", 1, "--delete", "--plan", plan, exit_code=1)
    for _ in range(3):
        sides.call("restore", "--apply", plan)
        assert sides.objects == bytes_by_name("a.png", "b.png")


@pytest.mark.parametrize("verb", ["pull", "push", "sync", "restore"])
def test_a_dry_run_lists_the_deletions_that_would_be_refused(sides, plan, verb):
    sides.put("a.png", "b.png")
    sides.write("a.png")
    sides.sync()
    if verb == "sync":
        sides.delete("b.png")
        sides.commit("b.png")
    else:
        sides.write("extra.png")
    target = [sides.folder, "style/16"] if verb in ("push", "sync") else ["style/16", sides.folder]
    if verb == "push":
        (sides.folder / "b.png").unlink()
    limit = ["--delete", "--max-delete", 0]
    answer = sides.call(verb, *target, *limit, "--dry-run", exit_code=1)
    assert "delete " in answer.stdout
    assert "Would delete 1 file; the limit is 0. Pass --max-delete 1 to allow it." in answer.stderr
    document = json.loads(sides.call(verb, *target, *limit, "--dry-run", "--json", exit_code=1).stdout)
    assert document["refused"].startswith("Would delete 1 file")
    assert [action["action"].startswith("delete") for action in document["actions"]].count(True) == 1
    assert "not written" in sides.call(verb, *target, *limit, "--plan", plan, exit_code=3).stderr
    assert not plan.exists()
    assert "Would delete 1 file; the limit is 0." in sides.call(verb, *target, *limit, exit_code=3).stderr
    allowed = json.loads(sides.call(verb, *target, "--delete", "--dry-run", "--json", exit_code=1).stdout)
    assert allowed["refused"] is None


def test_a_dry_run_lists_the_deletions_that_an_incomplete_manifest_would_refuse(sides):
    sides.commit_incomplete("a.png")
    sides.write("extra.png", "more.png")
    answer = sides.pull("--delete", "--dry-run", exit_code=3)
    assert "delete local  extra.png" in answer.stdout
    assert "Nothing is deleted, because the manifest of style/16 is incomplete." in answer.stderr
