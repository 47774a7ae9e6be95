"""Warnings about unreadable parts of a folder, and about incomplete and stale manifests."""

import json
import os
from datetime import timedelta

import pytest
from client import processes

LACKS = "the manifest of style/16 is incomplete: files that are in S3 may be missing from it"
STALE = "the manifest of style/16 was last compared with S3 on "


@pytest.fixture
def unreadable(sides):
    """A folder in which one folder may not be opened, and one file may not be read; the manifest has all of it."""
    sides.put("a.png", "shut/b.png", "c.png")
    sides.write("a.png", "shut/b.png", "c.png")
    (sides.folder / "shut").chmod(0)
    (sides.folder / "c.png").chmod(0)
    yield sides
    (sides.folder / "shut").chmod(0o700)


def called(sides, *arguments):
    answer = processes.run(*arguments, "--json", environment=sides.environment)
    assert b"Traceback" not in answer.stderr
    return answer.returncode, json.loads(answer.stdout), answer.stderr.decode()


@pytest.mark.parametrize("verb", ["push", "sync", "status", "verify"])
def test_a_partly_unreadable_folder_is_a_failure(unreadable, verb):
    code, document, stderr = called(unreadable, verb, unreadable.folder, "style/16")
    assert code == 3
    assert {"path": "shut/", "reason": "skipped, permission denied", "kind": "unreadable"} in document["problems"]
    if verb in ("push", "sync"):
        assert "Warning: shut/: skipped, permission denied\n" in stderr


@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "done"])
def test_a_pull_or_restore_into_a_partly_unreadable_folder_is_a_failure(unreadable, options):
    for arguments in (["pull", "style/16", unreadable.folder], ["restore", "style/16", unreadable.folder]):
        code, document, _ = called(unreadable, *arguments, *options)
        assert code == 3
        assert "shut/" in [problem["path"] for problem in document["problems"]]


def test_excluded_files_need_not_be_readable(unreadable):
    (unreadable.folder / "c.png").chmod(0o600)
    code, document, _ = called(unreadable, "push", unreadable.folder, "style/16", "--exclude", "shut/")
    assert (code, document["problems"]) == (0, [])


@pytest.mark.parametrize("name", [b"bad\xff.png", b"line\nbreak\xfe.png"])
def test_a_name_that_is_not_utf_8_is_shown_as_bytes_and_is_a_failure(sides, name):
    sides.put("a.png")
    sides.write("a.png")
    with open(os.fsencode(sides.folder) + b"/" + name, "wb"):  # noqa: PTH123  # pathlib takes no bytes
        pass
    shown = name.decode("utf-8", "backslashreplace").replace("\n", "\\n")
    answer = sides.push(exit_code=3)
    assert f"Warning: {shown}: skipped, the name is not valid UTF-8\n" in answer.stderr
    assert (
        f"! {shown}: skipped, the name is not valid UTF-8\n"
        in sides.call("status", sides.folder, "style/16", exit_code=3).stdout
    )


def calls(sides, tmp_path):
    return [
        ("status", sides.folder, "style/16"),
        ("verify", sides.folder, "style/16"),
        ("pull", "style/16", sides.folder),
        ("pull", "style/16", sides.folder, "--dry-run"),
        ("push", sides.folder, "style/16"),
        ("sync", sides.folder, "style/16"),
        ("restore", "style/16", sides.folder),
        ("export", "style/16", "csv", "--output", tmp_path / "out.csv"),
        ("diff", "style/16", "style/16"),
    ]


def test_every_command_warns_of_an_incomplete_manifest_and_fails(sides, tmp_path):
    sides.commit_incomplete()
    for call in calls(sides, tmp_path):
        answer = sides.call(*call, exit_code=3)
        assert f"Warning: {LACKS}" in answer.stderr, call
        document = json.loads(sides.call(*call, "--json", exit_code=3).stdout)
        found = document if call[0] != "diff" else document["after"]
        assert found["complete"] is False


def test_every_command_warns_of_a_stale_manifest(sides, tmp_path):
    sides.put_uncommitted("a.png")
    sides.write("a.png")
    sides.verify(timedelta(days=4), "a.png")
    for call in calls(sides, tmp_path):
        answer = sides.call(*call)
        assert f"Warning: {STALE}" in answer.stderr, call
        document = json.loads(sides.call(*call, "--json").stdout)
        found = document if call[0] != "diff" else document["after"]
        assert (found["complete"], found["stale"]) == (True, True)


def test_a_recently_verified_manifest_causes_no_warning(sides, tmp_path):
    sides.put("a.png")
    sides.write("a.png")
    for call in calls(sides, tmp_path):
        assert sides.call(*call).stderr == "", call
        document = json.loads(sides.call(*call, "--json").stdout)
        found = document if call[0] != "diff" else document["after"]
        assert (found["complete"], found["stale"]) == (True, False)


def test_a_restore_of_an_earlier_revision_does_not_warn_of_a_stale_manifest(sides):
    sides.put_uncommitted("a.png")
    sides.write("a.png")
    sides.verify(timedelta(days=4), "a.png")
    assert sides.restore("--revision", 1, sides.folder).stderr == ""
