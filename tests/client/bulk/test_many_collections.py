"""Commands for many collections: a line for each, a total, the worst exit code, JSON lines."""

import json

import pytest
from click.testing import CliRunner
from client.sides import bytes_by_name, content_of
from client.transfers import refusal

from s3_manifest_cli.main import main


@pytest.fixture
def three(several):
    for name in ("style/16", "style/17", "actor/0042_male"):
        several.put(name, "a.png", "sub/b.png")
    several.requests()
    return several


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_pull_downloads_each_collection_into_its_folder(three, data):
    answer = three.sides.call("pull", "style/*", data / "{id}/training_data")
    assert sorted(answer.stdout.splitlines()) == [
        "2 collections: 4 downloaded (80 bytes)",
        "style/16: 2 downloaded (40 bytes)",
        "style/17: 2 downloaded (40 bytes)",
    ]
    for style in ("16", "17"):
        assert files(data / style / "training_data") == bytes_by_name("a.png", "sub/b.png")
    assert not (data / "0042_male").exists()


def test_all_collections_are_pulled_pushed_and_compared(three, data):
    template = data / "{kind}/{id}"
    three.sides.call("pull", "--all", template)
    (data / "actor/0042_male/a.png").write_bytes(b"changed")
    (data / "style/16/sub/b.png").unlink()
    answer = three.sides.call("status", template, "--all", exit_code=1)
    assert sorted(answer.stdout.splitlines()) == [
        "3 collections: 4 synced, 1 s3_only, 1 out_of_sync",
        "actor/0042_male: 1 synced, 1 out_of_sync",
        "style/16: 1 synced, 1 s3_only",
        "style/17: 2 synced",
    ]
    answer = three.sides.call("push", template, "--all")
    assert "actor/0042_male: 1 uploaded (7 bytes)\n" in answer.stdout
    assert answer.stdout.endswith("3 collections: 1 uploaded (7 bytes)\n")
    assert three.sides.bucket.body("actors/0042_male/a.png") == b"changed"


@pytest.mark.parametrize("by", ["file", "stdin"])
def test_a_list_names_collections_and_patterns(three, data, tmp_path, by):
    text = "# styles\n\n  style/16 \nactor/*\nstyle/16\n"
    (tmp_path / "names.txt").write_text(text)
    arguments = ("pull", "--from", tmp_path / "names.txt" if by == "file" else "-", data / "{id}", "--json")
    answer = CliRunner().invoke(main, [*map(str, arguments)], env=three.sides.environment, input=text)
    assert answer.exit_code == 0, answer.output
    assert sorted(path.name for path in data.iterdir()) == ["0042_male", "16"]


def test_json_is_a_line_for_each_collection_and_then_the_total(three, data):
    three.sides.call("pull", "style/*", data / "{id}")
    (data / "16/a.png").unlink()
    (data / "17/a.png").unlink()
    (data / "17").rename(data / "elsewhere")
    first, second, total = three.lines("status", data / "{id}", "style/*", exit_code=2)
    assert (first["kind"], first["id"], first["exit_code"], first["totals"]["s3_only"]) == ("style", "16", 1, 1)
    assert (second["id"], second["exit_code"], second["code"]) == ("17", 2, "invalid")
    assert "17" in second["error"]
    assert total == {
        "total": {"collections": 2, "failed": 1, "counts": first["totals"]},
        "exit_code": 2,
    }


def test_a_collection_that_fails_is_named_and_the_others_are_done(three, data):
    three.sides.proxy.before = lambda request: (
        refusal(403, "AccessDenied") if request.key.endswith("styles/16/manifest.json") else None
    )
    answer = three.sides.call("pull", "--all", data / "{id}", exit_code=3)
    assert "style/16: " in answer.stderr
    assert "AccessDenied" in answer.stderr
    assert "3 collections, 1 failed: 4 downloaded (80 bytes)" in answer.stdout
    assert files(data / "17") == files(data / "0042_male") == bytes_by_name("a.png", "sub/b.png")


def test_a_refused_plan_of_one_collection_does_not_stop_the_others(three, data):
    three.sides.call("pull", "style/*", data / "{id}")
    for name in ("x.png", "y.png"):
        (data / "16" / name).write_bytes(b"x")
    three.put("style/17", "new.png")
    first, second, total = three.lines("pull", "style/*", data / "{id}", "--delete", "--max-delete", "1", exit_code=3)
    assert first["code"] == "refused"
    assert second["done"] == {"download": 1}
    assert total["total"]["failed"] == 1
    assert (data / "17/new.png").read_bytes() == content_of("new.png")


def test_an_unchanged_selection_costs_one_listing_and_no_request_per_collection(three, data):
    three.sides.call("pull", "style/*", data / "{id}")
    three.requests()
    three.sides.call("status", data / "{id}", "style/*")
    three.sides.call("pull", "style/*", data / "{id}")
    assert [request.partition("?")[0] for request in three.requests()] == [f"LIST /{three.sides.bucket.name}"] * 2


def test_quiet_prints_only_errors(three, data):
    three.sides.proxy.before = lambda request: (
        refusal(403, "AccessDenied") if request.key.endswith("styles/16/manifest.json") else None
    )
    answer = three.sides.call("pull", "style/*", data / "{id}", "--quiet", exit_code=3)
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "style/*", "data"], "Several collections cannot share data. Write {id}"),
        (["pull", "style/*"], "Missing argument LOCAL."),
        (["status", "data", "--all"], "Several collections cannot share data."),
        (["status", "data/{id}", "style/16", "--all"], "COLLECTION, --all and --from exclude each other."),
        (["pull", "--all", "--from", "-", "data/{id}"], "COLLECTION, --all and --from exclude each other."),
        (["pull", "--from", "-", "data/{id}"], "- names no collection."),
        (["pull", "style/*", "data/{id}", "--plan", "plan"], "--plan and --apply are for one collection."),
        (["restore", "style/*"], "Missing argument LOCAL (or --in-s3)."),
        (["pull", "style/9*", "data/{id}"], "'style/9*' matches no collection that has a manifest."),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_reported_before_anything_is_done(three, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    answer = three.sides.call(*arguments, exit_code=2)
    assert message in answer.stderr
    assert not (tmp_path / "data").exists()
    assert [request for request in three.requests() if not request.startswith("LIST")] == []


def test_ids_that_share_a_folder_are_refused_before_anything_is_done(three, data):
    three.put("actor/16", "a.png")
    three.requests()
    answer = three.sides.call("pull", "--all", data / "{id}", exit_code=2)
    assert f"actor/16 and style/16 would share {data}/16. Write {{kind}} too" in answer.stderr
    assert not data.exists()


def test_an_id_that_leads_out_of_the_folder_is_refused_and_the_others_are_pulled(three, data, tmp_path):
    three.put("style/..", "a.png")
    first, *_, total = three.lines("pull", "style/*", data / "{id}/training_data", exit_code=2)
    assert first["id"] == ".."
    assert "leads out of its folder" in first["error"]
    assert sorted(path.name for path in data.iterdir()) == ["16", "17"]
    assert not (tmp_path / "training_data").exists()
    assert total["total"]["collections"] == 3


def test_one_name_with_a_placeholder_is_a_selection_of_one(three, data):
    answer = three.sides.call("pull", "actor/42", data / "{id}")
    assert answer.stdout.startswith("actor/0042_male: 2 downloaded")
    assert (data / "0042_male/a.png").exists()


def test_one_name_keeps_its_own_output(three, data):
    answer = three.sides.call("pull", "style/16", data)
    assert answer.stdout == f"Downloaded 2 files (40 bytes) from style/16 to {data}.\n"
    assert json.loads(three.sides.call("pull", "style/16", data, "--json").stdout)["files"] == []


def test_warnings_name_their_collection(three, data):
    (data / "16").mkdir(parents=True)
    (data / "16/link.png").symlink_to(data)
    answer = three.sides.call("pull", "style/*", data / "{id}")
    assert answer.stderr.startswith("style/16: Warning: link.png: ")


def test_sync_and_restore_take_many_collections(three, data):
    three.sides.call("sync", data / "{id}", "style/*")
    (data / "16/new.png").write_bytes(b"new")
    answer = three.sides.call("sync", data / "{id}", "style/*")
    assert "style/16: 1 uploaded (3 bytes)\nstyle/17: nothing to do" in "\n".join(sorted(answer.stdout.splitlines()))
    (data / "17/a.png").unlink()
    answer = three.sides.call("restore", "style/*", data / "{id}", "--revision", 1)
    assert answer.stdout.endswith("2 collections: 1 downloaded (18 bytes)\n")
    answer = three.sides.call("restore", "style/*", "--in-s3", "--dry-run")
    assert answer.stdout.endswith("2 collections: nothing to do\n")
