"""Commands for many collections: a line for each, a total, the worst exit code, JSON lines."""

import json

import pytest
from click.testing import CliRunner
from client.sides import bytes_by_name, content_of
from client.transfers import refusal

from s3_manifest_cli.client.manifests import direct
from s3_manifest_cli.commands import copies
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


def png(side):
    """The header of a square image, which is all that its size is read from."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0" + b"\0" * 16


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


def test_an_unexpected_error_of_one_collection_does_not_stop_the_others(three, data, monkeypatch):
    def prepare(deployment, verb, folder, collection, *more):
        if collection.id == "16":
            raise ZeroDivisionError
        return copies_prepare(deployment, verb, folder, collection, *more)

    copies_prepare = copies.prepare
    monkeypatch.setattr(copies, "prepare", prepare)
    monkeypatch.setenv("S3_MANIFEST_DEBUG", "1")
    answer = three.sides.call("pull", "--all", data / "{id}", "--json", exit_code=3)
    assert "style/16: Unexpected error: ZeroDivisionError at test_many_collections.py" in answer.stderr
    assert "Traceback (most recent call last):\n" in answer.stderr
    *lines, total = map(json.loads, answer.stdout.splitlines())
    assert [line["code"] for line in lines if line["id"] == "16"] == ["unexpected"]
    assert (total["total"]["failed"], total["total"]["counts"]["downloaded"]) == (1, 4)


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


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_the_limit_of_deletions_is_for_all_collections_together(three, data, verb):
    three.sides.call("pull", "style/*", data / "{id}")
    both = [data / "16/a.png", data / "17/a.png"]
    if verb == "pull":
        for style in ("style/16", "style/17"):
            three.delete(style, "a.png")
    else:
        for path in both:
            path.unlink()
    places = ("style/*", data / "{id}") if verb == "pull" else (data / "{id}", "style/*")
    *lines, total = three.lines(verb, *places, "--delete", "--max-delete", 1, exit_code=3)
    (refused,) = (line for line in lines if "error" in line)
    assert refused["code"] == "refused"
    assert "Would delete 1 file, besides 1 of other collections; the limit is 1." in refused["error"]
    assert (total["total"]["failed"], total["total"]["counts"]["deleted"]) == (1, 1)
    keys = [f"styles/{style}/a.png" for style in ("16", "17")]
    left = [path for path in both if path.exists()] if verb == "pull" else set(keys) & {*three.sides.bucket.keys()}
    assert len(left) == 1


def test_an_unchanged_selection_costs_one_listing_and_no_request_per_collection(three, data):
    three.sides.call("pull", "style/*", data / "{id}")
    three.requests()
    three.sides.call("status", data / "{id}", "style/*")
    three.sides.call("pull", "style/*", data / "{id}")
    assert [request.partition("?")[0] for request in three.requests()] == [f"LIST /{three.sides.bucket.name}"] * 2


def test_a_dry_run_prints_what_would_be_done_and_changes_nothing(three, data):
    answer = three.sides.call("pull", "style/*", data / "{id}", "--dry-run", exit_code=1)
    assert "style/16: 2 to download (40 bytes)\n" in answer.stdout
    assert answer.stdout.endswith("2 collections: 4 to download (80 bytes)\n")
    assert not data.exists()


def test_a_conflict_is_counted_and_the_exit_code_is_1(three, data):
    (data / "16").mkdir(parents=True)
    (data / "16/a.png").write_bytes(b"other")
    answer = three.sides.call("sync", data / "{id}", "style/*", exit_code=1)
    assert "style/16: 1 downloaded, 1 conflict (22 bytes)" in answer.stdout


def test_a_pattern_that_only_folders_without_a_manifest_match_is_an_error(three, data, monkeypatch):
    monkeypatch.setattr(direct, "_FEW_HEADS", 10_000)
    client, bucket = three.sides.bucket.client, three.sides.bucket.name
    for number in range(1001):
        client.put_object(Bucket=bucket, Key=f"_manifests/styles/old/changes/{number:04}", Body=b"")
    assert three.lines("pull", "style/*", data / "{id}")[-1]["total"]["collections"] == 2
    answer = three.sides.call("pull", "style/old*", data / "{id}", exit_code=2)
    assert "No matching collection has a manifest any more." in answer.stderr


def test_quiet_prints_only_errors(three, data):
    three.sides.proxy.before = lambda request: (
        refusal(403, "AccessDenied") if request.key.endswith("styles/16/manifest.json") else None
    )
    answer = three.sides.call("pull", "style/*", data / "{id}", "--quiet", exit_code=3)
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1


def test_verify_reads_every_file_of_each_collection(three, data):
    three.sides.call("pull", "style/*", data / "{id}")
    (data / "16/a.png").write_bytes(b"X" * len(content_of("a.png")))
    answer = three.sides.call("verify", data / "{id}", "style/*", exit_code=1)
    assert sorted(answer.stdout.splitlines()) == [
        "2 collections: 3 synced, 1 out_of_sync",
        "style/16: 1 synced, 1 out_of_sync",
        "style/17: 2 synced",
    ]
    first, second, _ = three.lines("verify", "--from", "-", data / "{id}", exit_code=1, stdin="style/1*")
    assert [file["state"] for file in first["files"]] == ["out_of_sync", "synced"]
    assert second["proofs"] == {"md5": 2}


def test_verify_compares_many_manifests_with_s3(three):
    three.put_uncommitted("style/17", "new.png")
    answer = three.sides.call("verify", "--remote", "--all", "--settle", 0, exit_code=1)
    assert "style/17: 2 right, 1 unexpected" in answer.stdout
    assert answer.stdout.endswith("3 collections: 6 right, 1 unexpected\n")


def test_history_shows_the_last_revision_of_each_collection(three):
    three.put("style/17", "new.png")
    answer = three.sides.call("history", "--all", "--limit", 1)
    lines = sorted(answer.stdout.splitlines())
    assert lines[0] == "3 collections: 3 revisions"
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "actor/0042_male: revision 1",
        "style/16: revision 1",
        "style/17: revision 2",
    ]
    assert lines[3].endswith("-> 3 files, 60 bytes")
    first, second, total = three.lines("history", "style/*")
    assert [len(document["changes"]) for document in (first, second)] == [1, 2]
    assert total["total"]["counts"] == {"revisions": 3}


def test_export_writes_a_file_for_each_collection(three, tmp_path):
    answer = three.sides.call("export", "style/*", "md5sum", "--output", tmp_path / "{kind}-{id}.md5")
    assert answer.stdout.endswith("2 collections: 4 exported\n")
    assert sorted(path.name for path in tmp_path.glob("*.md5")) == ["style-16.md5", "style-17.md5"]
    assert len((tmp_path / "style-16.md5").read_text().splitlines()) == 2
    first, *_ = three.lines("export", "csv", "--all", "--output", tmp_path / "{id}.csv")
    assert (first["kind"], first["files"]) == ("actor", 2)


def test_export_reads_the_images_of_each_collection_from_its_own_folder(three, data, tmp_path):
    for name, side in (("style/16", 3), ("style/17", 5)):
        three.put(name, "a.png", "sub/b.png", body=png(side))
    three.sides.call("pull", "style/*", data / "{id}")
    output = ("--output", tmp_path / "{id}.jsonl")
    three.sides.call("export", "style/*", "cvat", *output, "--images", data / "{id}")
    assert '"width":3' in (tmp_path / "16.jsonl").read_text()
    assert '"width":5' in (tmp_path / "17.jsonl").read_text()
    answer = three.sides.call("export", "style/*", "cvat", *output, "--images", data, exit_code=2)
    assert "Several collections cannot share" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "--all"], "Missing argument LOCAL."),
        (["verify", "data", "style/16", "--all"], "Pass LOCAL and COLLECTION"),
        (["verify", "data", "style/*"], "Several collections cannot share data."),
        (["history", "style/16", "--all"], "COLLECTION, --all and --from exclude each other."),
        (["history", "style/*", "--follow"], "--follow and --files are for one collection."),
        (["history"], "Missing argument COLLECTION."),
        (["status", "data/{id}", "--all", "--combined"], "--combined is for one collection."),
        (["verify", "data/{id}", "--all", "--combined"], "--combined is for one collection."),
        (["export", "--all"], "Missing argument FORMAT. Choose FORMAT from csv, jsonl, "),
        (["export", "style/*", "csv"], "Many collections need a file each."),
        (["export", "style/*", "csv", "--output", "files.csv"], "Several collections cannot share files.csv."),
        (["export", "style/16", "csv", "--all"], "COLLECTION, --all and --from exclude each other."),
        (["export", "nonsense", "--all"], "'nonsense' is not one of"),
        (["rescan", "--all", "--from", "-"], "COLLECTION, --all and --from exclude each other."),
        (["pull", "style/*", "data"], "Several collections cannot share data. Write {id}"),
        (["pull", "style/*"], "Missing argument LOCAL."),
        (["status", "data", "--all"], "Several collections cannot share data."),
        (["status", "data/{id}", "style/16", "--all"], "COLLECTION, --all and --from exclude each other."),
        (["pull", "--all", "--from", "-", "data/{id}"], "COLLECTION, --all and --from exclude each other."),
        (["pull", "--from", "-", "data/{id}"], "Standard input names no collection."),
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


def test_a_name_that_is_not_utf_8_is_a_line_of_json_too(three, data):
    (line, total) = three.lines("pull", "style/\udcff", data / "{id}", exit_code=2)
    assert (line["id"], line["code"]) == ("\udcff", "invalid")
    assert total["total"]["failed"] == 1


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
