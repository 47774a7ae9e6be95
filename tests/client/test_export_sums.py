import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from client.exports import NO_FILES, ODD, exported, file, on_disk, problems

RCLONE = Path(sys.executable).with_name("rclone")


def run(*command, cwd, **more):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **more)


def rclone(folder, *arguments):
    return run(RCLONE, "--config", "", "-q", *arguments, cwd=folder)


@pytest.mark.parametrize("program", ["md5sum", "sha256sum"])
def test_coreutils_find_each_file_and_what_it_is(program, tmp_path):
    entries = on_disk(tmp_path / "files", *ODD)
    sums, result = exported(program, entries)
    (tmp_path / "SUMS").write_bytes(sums)
    check = [program, "--check", "--strict", "../SUMS"]
    assert result.files == len(ODD)
    checked = run(*check, cwd=tmp_path / "files")
    assert (checked.returncode, checked.stdout.count(": OK\n")) == (0, len(ODD)), checked
    (tmp_path / "files" / "line\nbreak.png").write_bytes(b"other bytes")
    checked = run(*check, cwd=tmp_path / "files")
    assert (checked.returncode, checked.stdout.count(": OK\n")) == (1, len(ODD) - 1), checked


def test_md5sum_would_have_written_the_same(tmp_path):
    names = sorted(set(ODD) - {"-"})
    sums, _ = exported("md5sum", on_disk(tmp_path, *names))
    assert sums.decode() == run("md5sum", "--", *names, cwd=tmp_path).stdout


@pytest.mark.parametrize("name", NO_FILES)
@pytest.mark.parametrize("format_name", ["md5sum", "sha256sum", "rclone-md5", "rclone-files"])
def test_a_key_that_is_no_files_name_is_told(format_name, name):
    body, result = exported(format_name, [file(name), file("z.png")])
    assert list(problems(result)) == [name]
    assert repr(name) in problems(result)[name]
    assert (body.count(b"\n"), result.files) == (1, 1)


@pytest.mark.parametrize("format_name", ["md5sum", "rclone-md5"])
def test_a_file_without_an_md5_is_told(format_name):
    body, result = exported(format_name, [file("a.png", md5_hash=None), file("b.png")])
    assert body.decode() == f"{hashlib.md5(b'bytes').hexdigest()}  b.png\n"
    assert problems(result) == {"a.png": "its MD5 is not known"}


@pytest.mark.parametrize(
    "checksum",
    [
        None,
        {"crc64nvme": "AAAAAAAAAAA=", "type": "FULL_OBJECT"},
        {"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-2", "type": "COMPOSITE"},
        {"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "type": "COMPOSITE"},
        {"sha256": "not base64", "type": "FULL_OBJECT"},
        {"sha256": "AAAA", "type": "FULL_OBJECT"},
    ],
    ids=str,
)
def test_a_sha_256_that_is_not_of_the_whole_object_does_not_count(checksum):
    body, result = exported("sha256sum", [file("a.png", checksum=checksum)])
    assert (body, problems(result)) == (b"", {"a.png": "its SHA-256 is not known"})


def test_rclone_would_have_written_the_same_sums(tmp_path):
    sums, result = exported("rclone-md5", on_disk(tmp_path, *ODD))
    assert result.files == len(ODD)
    listed = rclone(tmp_path, "md5sum", ".")
    assert listed.returncode == 0, listed
    assert sorted(sums.decode().split("\n")) == sorted(listed.stdout.split("\n"))


def test_rclone_checks_files_with_the_sums(tmp_path):
    sums, _ = exported("rclone-md5", on_disk(tmp_path / "files", *ODD))
    (tmp_path / "SUMS").write_bytes(sums)
    for check in (["checksum", "md5", "SUMS", "files"], ["check", "--checkfile", "md5", "SUMS", "files"]):
        assert rclone(tmp_path, *check).returncode == 0
    (tmp_path / "files" / "line\nbreak.png").write_bytes(b"other bytes")
    for check in (["checksum", "md5", "SUMS", "files"], ["check", "--checkfile", "md5", "SUMS", "files"]):
        assert rclone(tmp_path, *check).returncode == 1


def test_rclone_copies_the_files_of_the_list_and_no_other(tmp_path):
    listed, result = exported("rclone-files", on_disk(tmp_path / "files", *ODD))
    on_disk(tmp_path / "files", "not in the list.png", "deep/neither.png")
    (tmp_path / "LIST").write_bytes(listed)
    copied = rclone(tmp_path, "copy", "--files-from-raw", "LIST", "files", "copy")
    assert copied.returncode == 0, copied
    there = {
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert there == set(ODD)
    assert result.files == len(ODD)


@pytest.mark.parametrize("format_name", ["rclone-md5", "rclone-files"])
def test_a_name_with_rclones_own_quote_is_told_as_rclone_cannot_open_it(format_name, tmp_path):
    entries = on_disk(tmp_path, "\u201bquoted.png")
    assert rclone(tmp_path, "md5sum", ".").returncode != 0
    body, result = exported(format_name, entries)
    assert body == b""
    assert "rclone cannot name" in problems(result)["\u201bquoted.png"]
