"""``info``, ``history``, ``diff``, ``status``, ``verify`` and ``rescan`` as commands: output and exit codes."""

import json

import pytest
from click.testing import CliRunner
from handlers.lambda_events import BUCKET, REGION

from s3_manifest_cli import NotYet
from s3_manifest_cli.client.bulk import for_each
from s3_manifest_cli.commands import rescan
from s3_manifest_cli.main import main


@pytest.fixture
def run(api, session, tmp_path, monkeypatch):
    """Runs a command through the HTTP API; returns its exit code and its output."""
    for name, value in {
        "S3_MANIFEST_API_URL": api.url,
        "S3_MANIFEST_API_TOKEN": "token",
        "S3_MANIFEST_CACHE": str(tmp_path / "cache"),
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    runner = CliRunner()

    def run(*arguments):
        result = runner.invoke(main, list(map(str, arguments)), catch_exceptions=False)
        return result.exit_code, result.stdout

    return run


def as_json(ran):
    return ran[0], json.loads(ran[1])


def test_info_shows_the_facts(run, scenario, get_manifest):
    scenario.add("a.png")
    scenario.add("collection.json", body=b'{"title": "Dynamic", "generations": [{"generation_id": 7, "type": "lora"}]}')
    code, text = run("info", "style/16")
    assert code == 0
    for line in ("style/16  Dynamic", "s3://storyboard-user-files/styles/16/", "1 (4 bytes)", "s3_event 1: 1 file,"):
        assert line in text
    code, facts = as_json(run("info", "style/16", "--json"))
    assert (code, facts) == (0, get_manifest())
    assert as_json(run("info", "style/16", "--revision", 1, "--json"))[1]["style_title"] is None


@pytest.fixture
def get_manifest(account):
    """The facts of the stored canonical manifest."""

    def get_manifest():
        head = account.manifest("styles/16/")
        return {name: value for name, value in head.items() if name not in {"files", "captions", "hidden"}}

    return get_manifest


def test_info_shows_that_a_manifest_was_never_verified(run, scenario, account):
    scenario.add("a.png")
    head = account.manifest("styles/16/") | {"last_verified_at": None, "complete": False}
    account.put("_manifests/styles/16/manifest.json", json.dumps(head).encode())
    code, text = run("info", "style/16")
    assert code == 0
    assert "last verified  never" in text
    assert "revision       1, incomplete" in text
    assert "s3-manifest rescan style/16" in text


def test_history_shows_the_changes_of_each_revision(run, scenario):
    scenario.add("a.png", "b.png")
    scenario.add("a.png", body=b"newer")
    scenario.remove("b.png")
    code, text = run("history", "style/16", "--files")
    assert code == 0
    assert text.splitlines() == [
        "revision 1  2026-03-01T12:00:00.000Z  +2  -> 2 files, 8 bytes",
        "  + a.png  (ObjectCreated:Put)",
        "  + b.png  (ObjectCreated:Put)",
        "revision 2  2026-03-01T12:01:00.000Z  *1  -> 2 files, 9 bytes",
        "  * a.png  (ObjectCreated:Put)",
        "revision 3  2026-03-01T12:02:00.000Z  -1  -> 1 file, 5 bytes",
        "  - b.png  (ObjectRemoved:Delete)",
    ]
    code, text = run("history", "style/16", "--since", 0, "--limit", 1)
    assert "s3-manifest history style/16 --since 1" in text
    scenario.account.delete(scenario.records()[0])
    code, found = as_json(run("history", "style/16", "--json"))
    assert [change["revision"] for change in found["changes"]] == [2, 3]
    assert [(entry["first"], entry["last"]) for entry in found["untold"]] == [(1, 1)]
    assert "revision 1: not available" in run("history", "style/16")[1]


def test_history_is_followed_until_it_is_interrupted(run, scenario, monkeypatch):
    scenario.add("a.png")

    def interrupted(_manifests, _collection, _since):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr("s3_manifest_cli.commands.history.follow", interrupted)
    code, text = run("history", "style/16", "--follow", "--json")
    assert code == 130
    assert [json.loads(line)["revision"] for line in text.splitlines()] == [1]


def test_diff_shows_differences_and_its_exit_code_is_1(run, scenario):
    scenario.add("a.png", "b.png")
    scenario.add("b.png", body=b"newer")
    scenario.add("prompt_metadata.json", "c.png", body=b'{"a.png": {"prompt": "a fox", "good": false}}')
    code, text = run("diff", "style/16@1", "style/16")
    assert code == 1
    assert text.splitlines()[2:] == [
        "~ a.png",
        "    prompt: None -> 'a fox'",
        "    good: True -> False",
        "* b.png",
        "+ c.png",
        "1 added, 1 modified, 1 described.",
    ]
    code, found = as_json(run("diff", "style/16@2", "style/16@1", "--json"))
    assert (code, [(entry["filename"], entry["sort"]) for entry in found["files"]]) == (1, [("b.png", "modified")])
    assert run("diff", "style/16@3", "style/16")[0] == 0
    assert run("diff", "style/16@nope", "style/16")[0] == 2
    assert run("diff", "style/16@9", "style/16")[0] == 3


def test_status_and_verify_show_differences(run, add, write, folder):
    add({"styles/16/a.png": b"data", "styles/16/b.png": b"data"})
    write({"a.png": b"data", "b.png": b"atad", "extra.png": b""})
    for command in ("status", "verify"):
        code, text = run(command, folder, "style/16")
        assert code == 1
        assert "* b.png" in text
        assert "+ extra.png" in text
        assert run(command, folder, "style/16", "--quiet") == (1, "")
    write({"b.png": b"data"})
    assert run("verify", folder, "style/16")[0] == 1
    code, text = run("verify", folder, "style/16", "--allow-extra", "--combined")
    assert (code, text.splitlines()) == (
        0,
        [
            "= a.png  (proven by md5 and crc32)",
            "= b.png  (proven by md5 and crc32)",
            "+ extra.png",
        ],
    )
    code, found = as_json(run("verify", folder, "style/16", "--exclude", "extra*", "--json"))
    assert (code, found["proofs"], found["totals"]["synced"]) == (0, {"md5": 2}, 2)


def test_verify_remote_reads_the_bucket_that_the_manifest_names(run, add, account):
    add({"styles/16/a.png": b"data"})
    code, text = run("verify", "--remote", "style/16")
    assert code == 0
    assert "right               1  match the manifest" in text
    account.put("styles/16/new.png")
    code, text = run("verify", "--remote", "style/16", "--settle", 0)
    assert code == 1
    assert "unexpected  new.png" in text
    assert "s3-manifest rescan style/16" in text
    code, found = as_json(run("verify", "--remote", "style/16", "--settle", 0, "--read", "--json"))
    assert (code, found["md5"]["read"], found["totals"]["unexpected"]) == (1, 1, 1)
    assert BUCKET in run("verify", "--remote", "style/16", "--settle", 0)[1]


def test_rescan_requests_and_waits(run, add, account):
    add({"styles/16/a.png": b"data"})
    code, text = run("rescan", "style/16")
    assert (code, "rescan requested at" in text, len(account.jobs())) == (0, True, 1)
    assert run("rescan", "style/16", "--wait", 0)[0] == 3
    assert [entry["id"] for entry in as_json(run("rescan", "style/16", "--json"))[1]] == ["16"]


@pytest.mark.parametrize("named", [["style/*"], ["style/16", "style/17"], ["--all"], ["--from", "NAMES"]], ids=" ".join)
def test_a_rescan_of_many_collections_is_requested_for_each(run, add, account, sweep, tmp_path, named):
    add({"styles/16/a.png": b"data", "styles/17/a.png": b"data", "styles/18/a.png": b"data"})
    (tmp_path / "names").write_text("style/16\nstyle/17\nstyle/18")
    named = [str(tmp_path / "names") if word == "NAMES" else word for word in named]
    expected = [f"style/{number}" for number in (16, 17, 18)][: 2 if named[0] == "style/16" else 3]
    code, text = run("rescan", *named)
    assert code == 0
    *lines, total, hint = text.splitlines()
    assert [line.partition(": rescan requested at ")[0] for line in sorted(lines)] == expected
    assert total == f"{len(expected)} collections: {len(expected)} requested"
    assert hint.startswith("Done once")
    assert len(account.jobs()) == (1 if named == ["--all"] else len(expected))
    code, text = run("rescan", *named, "--json")
    *documents, total = map(json.loads, text.splitlines())
    assert sorted(f"{document['kind']}/{document['id']}" for document in documents) == expected
    assert total["total"]["counts"] == {"requested": len(expected)}


def test_waiting_for_many_rescans_names_those_that_are_late(run, add):
    add({"styles/16/a.png": b"data", "styles/17/a.png": b"data"})
    code, text = run("rescan", "style/*", "--wait", 0, "--json")
    first, second, total = sorted(map(json.loads, text.splitlines()), key=lambda line: line.get("id", "z"))
    assert (code, first["code"], second["code"], total["exit_code"]) == (3, "not_yet", "not_yet", 3)


def test_all_rescans_are_requested_before_the_first_is_waited_for(run, add, account, monkeypatch):
    requested = []

    def wait_for(*_):
        requested.append(len(account.jobs()))
        raise NotYet("late")

    monkeypatch.setattr(for_each, "_COLLECTIONS", 1)
    monkeypatch.setattr(rescan, "wait_for", wait_for)
    add({"styles/16/a.png": b"data", "styles/17/a.png": b"data"})
    assert run("rescan", "style/*", "--wait", 60)[0] == 3
    assert requested == [2, 0]  # reading the jobs deletes them


WRONG = (
    ("info",),
    ("info", "16"),
    ("info", "style/16", "--revision", "0"),
    ("info", "style/16", "--revision", "1", "--at", "2026-01-01"),
    ("history", "style/16", "--since", "-1"),
    ("history", "style/16", "--limit", "0"),
    ("diff", "style/16"),
    ("verify", "style/16"),
    ("verify", "--remote", "here", "style/16"),
    ("verify", "--remote", "style/16", "--allow-extra"),
    ("verify", "--remote", "style/16", "--include", "*.png"),
    ("verify", "here", "style/16", "--read"),
    ("rescan",),
    ("rescan", "style/16", "--all"),
    ("rescan", "style/16", "--wait", "-1"),
)


def test_wrong_usage_is_an_error_before_any_request(run, api):
    for arguments in WRONG:
        assert (run(*arguments)[0], api.requests) == (2, []), arguments


def test_a_missing_manifest_is_an_error(run):
    for arguments in (("info", "style/16"), ("history", "style/16"), ("diff", "style/16", "style/17")):
        assert run(*arguments)[0] == 3
