"""rclone reads the lists that are exported for it."""

import subprocess
import sys
from pathlib import Path

import pytest
from client.exports import ODD, exported, on_disk, problems

pytestmark = pytest.mark.readers

RCLONE = Path(sys.executable).with_name("rclone")


def rclone(folder, *arguments):
    return subprocess.run(
        [RCLONE, "--config", "", "-q", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_checksums_equal_those_of_rclone(tmp_path):
    checksums, result = exported("rclone-md5", on_disk(tmp_path, *ODD))
    assert result.files == len(ODD)
    listed = rclone(tmp_path, "md5sum", ".")
    assert listed.returncode == 0, listed
    assert sorted(checksums.decode().split("\n")) == sorted(listed.stdout.split("\n"))


def test_rclone_verifies_files_with_the_checksums(tmp_path):
    checksums, _ = exported("rclone-md5", on_disk(tmp_path / "files", *ODD))
    (tmp_path / "SUMS").write_bytes(checksums)
    for check in (["checksum", "md5", "SUMS", "files"], ["check", "--checkfile", "md5", "SUMS", "files"]):
        assert rclone(tmp_path, *check).returncode == 0
    (tmp_path / "files" / "line\nbreak.png").write_bytes(b"other bytes")
    for check in (["checksum", "md5", "SUMS", "files"], ["check", "--checkfile", "md5", "SUMS", "files"]):
        assert rclone(tmp_path, *check).returncode == 1


def test_rclone_copies_only_the_files_of_the_list(tmp_path):
    listed, result = exported("rclone-files", on_disk(tmp_path / "files", *ODD))
    on_disk(tmp_path / "files", "not in the list.png", "deep/neither.png")
    (tmp_path / "LIST").write_bytes(listed)
    copied = rclone(tmp_path, "copy", "--files-from-raw", "LIST", "files", "copy")
    assert copied.returncode == 0, copied
    copied_names = {
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert copied_names == set(ODD)
    assert result.files == len(ODD)


@pytest.mark.parametrize("format_name", ["rclone-md5", "rclone-files"])
def test_a_name_with_rclones_quote_character_is_a_problem(format_name, tmp_path):
    entries = on_disk(tmp_path, "\u201bquoted.png")
    assert rclone(tmp_path, "md5sum", ".").returncode != 0
    body, result = exported(format_name, entries)
    assert body == b""
    assert "rclone cannot name" in problems(result)["\u201bquoted.png"]
