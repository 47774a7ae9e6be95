"""``--include`` and ``--exclude`` mean the same in every command, protect what they leave out, and report a miss."""

import json

import pytest
from client.sides import bytes_by_name

from s3_manifest_cli import pull
from s3_manifest_cli.client.export import export
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.errors import NotFound

COPIES = ("pull", "push", "sync")
READING = ("status", "verify")


def copy(sides, verb, *options, exit_code=0):
    return getattr(sides, verb)(*options, exit_code=exit_code)


@pytest.fixture
def differing(sides):
    """Each side has files that the other lacks, at the top and in a folder."""
    sides.put("both.png", "s3.png", "sub/s3.png", "sub/deep/s3.txt")
    sides.write("both.png", "here.png", "sub/here.png", "sub/deep/here.txt")
    return sides


def both_sides(sides):
    return sides.files, sides.objects


@pytest.mark.parametrize("verb", COPIES)
@pytest.mark.parametrize("excluded", [("sub/", "*3.png", "here*"), ("*",), ("/sub", "**/s3.png", "/here.png")])
def test_excluded_files_are_neither_transferred_nor_deleted_on_either_side(differing, verb, excluded):
    before = both_sides(differing)
    copy(differing, verb, "--delete", *(part for pattern in excluded for part in ("--exclude", pattern)))
    assert both_sides(differing) == before


@pytest.mark.parametrize("verb", COPIES)
def test_files_that_are_not_included_are_not_deleted_on_either_side(differing, verb):
    before = both_sides(differing)
    copy(differing, verb, "--delete", "--include", "/both.png")
    assert both_sides(differing) == before


def test_a_pattern_with_two_stars_includes_the_top_level(differing):
    differing.pull("--include", "**/*.png")
    assert {"s3.png", "sub/s3.png"} < differing.files.keys()
    assert "sub/deep/s3.txt" not in differing.files


@pytest.mark.parametrize("verb", COPIES)
def test_a_filter_that_matches_nothing_on_either_side_is_reported(differing, verb):
    options = ["--dry-run", "--include", "*.png", "--include", "*.pgn", "--exclude", "subs/", "--json"]
    answer = copy(differing, verb, *options, exit_code=1)
    assert json.loads(answer.stdout)["unmatched_filters"] == ["--include '*.pgn'", "--exclude 'subs/'"]
    assert "--include '*.pgn' matches no file." in answer.stderr
    assert "--exclude 'subs/' matches no file." in answer.stderr


@pytest.mark.parametrize("verb", COPIES)
def test_a_filter_that_matches_on_one_side_alone_is_no_mistake(differing, verb):
    done = copy(differing, verb, "--exclude", "s3.png", "--exclude", "here.png", "--json")
    assert json.loads(done.stdout)["unmatched_filters"] == []
    assert "matches no file" not in done.stderr


@pytest.mark.parametrize("verb", COPIES)
def test_a_copy_whose_includes_match_nothing_fails_and_changes_nothing(differing, verb):
    before = both_sides(differing)
    answer = copy(differing, verb, "--include", "*.pgn", "--delete", exit_code=3)
    assert "No file in the folder or in S3 matches --include '*.pgn'" in answer.stderr
    assert both_sides(differing) == before


@pytest.mark.parametrize("verb", READING)
def test_reading_commands_filter_and_report_unmatched_filters(differing, verb):
    missed = differing.call(verb, differing.folder, "style/16", "--include", "*.pgn", exit_code=3)
    assert "No file in the folder or in S3 matches --include '*.pgn'" in missed.stderr
    options = ["--include", "/both.png", "--exclude", "subs/", "--json"]
    found = differing.call(verb, differing.folder, "style/16", *options)
    assert json.loads(found.stdout)["unmatched_filters"] == ["--exclude 'subs/'"]
    assert "--exclude 'subs/' matches no file." in found.stderr


def test_restore_filters_and_reports_an_unmatched_include(differing):
    differing.restore(differing.folder, "--exclude", "sub/", "--exclude", "subs/", "--delete")
    assert differing.files == bytes_by_name("both.png", "s3.png", "sub/here.png", "sub/deep/here.txt")
    answer = differing.restore(differing.folder, "--include", "*.pgn", exit_code=3)
    assert "style/16 had no file that matches --include at revision 1" in answer.stderr


def test_an_export_holds_only_selected_files(differing, tmp_path):
    options = ["-o", tmp_path / "list", "--include", "*.png", "--exclude", "sub/", "--exclude", "x", "--json"]
    document = json.loads(differing.call("export", "style/16", "md5sum", *options).stdout)
    assert [line.split("  ")[1] for line in (tmp_path / "list").read_text().splitlines()] == ["both.png", "s3.png"]
    assert (document["files"], document["unmatched_filters"]) == (2, ["--exclude 'x'"])
    differing.call("export", "style/16", "md5sum", "--include", "*.pgn", exit_code=3)


def test_an_export_from_python_is_filtered_too(differing, tmp_path):
    manifest = differing.deployment.manifests.read(differing.collection)
    with (tmp_path / "list").open("wb") as out:
        export(manifest, "md5sum", out, filters=Filter(include=("/both.png",)))
    assert (tmp_path / "list").read_text().endswith("  both.png\n")


def test_diff_compares_only_selected_files(sides):
    sides.put("a.png", "sub/b.png")
    sides.put("c.png", "sub/d.png")
    options = ["--exclude", "sub/", "--exclude", "x", "--json"]
    found = json.loads(sides.call("diff", "style/16@1", "style/16", *options, exit_code=1).stdout)
    assert [entry["filename"] for entry in found["files"]] == ["c.png"]
    assert found["unmatched_filters"] == ["--exclude 'x'"]
    sides.call("diff", "style/16@1", "style/16", "--include", "a.png")
    sides.call("diff", "style/16@1", "style/16", "--include", "*.pgn", exit_code=3)


@pytest.mark.parametrize("command", ["pull", "push", "sync", "restore"])
def test_a_plan_that_is_applied_takes_no_filters(differing, tmp_path, command):
    plan = tmp_path / "plan"
    target = ["style/16", differing.folder] if command in ("pull", "restore") else [differing.folder, "style/16"]
    differing.call(command, *target, "--plan", plan, exit_code=1)
    answer = differing.call(command, "--apply", plan, "--exclude", "sub/", exit_code=2)
    assert "omit COLLECTION" in answer.stderr


def test_a_pattern_that_can_match_nothing_is_wrong_usage(differing):
    differing.pull("--include", "", exit_code=2)


def test_an_include_that_matches_nothing_raises_in_python(differing):
    with pytest.raises(NotFound):
        pull(differing.deployment, differing.collection, differing.folder, Filter(include=("*.pgn",)))
