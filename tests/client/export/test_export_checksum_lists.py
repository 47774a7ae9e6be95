import hashlib
import subprocess

import pytest
from client.exports import NO_FILES, ODD, exported, file, on_disk, problems


def run(*command, cwd, **more):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize("program", ["md5sum", "sha256sum"])
def test_coreutils_check_each_file(program, tmp_path):
    entries = on_disk(tmp_path / "files", *ODD)
    checksums, result = exported(program, entries)
    (tmp_path / "SUMS").write_bytes(checksums)
    check = [program, "--check", "--strict", "../SUMS"]
    assert result.files == len(ODD)
    checked = run(*check, cwd=tmp_path / "files")
    assert (checked.returncode, checked.stdout.count(": OK\n")) == (0, len(ODD)), checked
    (tmp_path / "files" / "line\nbreak.png").write_bytes(b"other bytes")
    checked = run(*check, cwd=tmp_path / "files")
    assert (checked.returncode, checked.stdout.count(": OK\n")) == (1, len(ODD) - 1), checked


def test_an_md5sum_export_equals_the_output_of_md5sum(tmp_path):
    names = sorted(set(ODD) - {"-"})
    checksums, _ = exported("md5sum", on_disk(tmp_path, *names))
    assert checksums.decode() == run("md5sum", "--", *names, cwd=tmp_path).stdout


@pytest.mark.parametrize("name", NO_FILES)
@pytest.mark.parametrize("format_name", ["md5sum", "sha256sum", "rclone-md5", "rclone-files"])
def test_a_key_that_is_not_a_filename_is_a_problem(format_name, name):
    body, result = exported(format_name, [file(name), file("z.png")])
    assert list(problems(result)) == [name]
    assert repr(name) in problems(result)[name]
    assert (body.count(b"\n"), result.files) == (1, 1)


@pytest.mark.parametrize("format_name", ["md5sum", "rclone-md5"])
def test_a_file_without_an_md5_is_a_problem(format_name):
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
def test_a_sha_256_that_does_not_cover_the_whole_object_is_not_exported(checksum):
    body, result = exported("sha256sum", [file("a.png", checksum=checksum)])
    assert (body, problems(result)) == (b"", {"a.png": "its SHA-256 is not known"})
