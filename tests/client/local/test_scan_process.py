"""A folder looked at by a process of its own: the same is seen, and nothing depends on that process."""

import os
import sys

import pytest

from s3_manifest_cli.client.local import hashes, scan_process
from s3_manifest_cli.client.local.hashes import DigestCache, scan_folder
from s3_manifest_cli.client.local.scan import Problem, scan
from s3_manifest_cli.client.local.scan_process import scan_in_background
from s3_manifest_cli.errors import Refused, Unavailable


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where the process keeps what it knows, which it is told of by its environment."""
    monkeypatch.setenv("S3_MANIFEST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def own_looks(monkeypatch):
    """The folders that this process looked at by itself."""
    looks = []
    looked = scan_folder
    monkeypatch.setattr(hashes, "scan_folder", lambda folder, cache: looks.append(folder) or looked(folder, cache))
    return looks


def seen(found):
    return sorted(found.files), sorted(found.problems)


def test_the_process_sees_what_this_one_would(folder, write, cache, own_looks):
    write({"a.png": b"data", "deep/größe.png": b"", "b.png": b"other"})
    (folder / "link").symlink_to("a.png")
    with open(os.fsencode(folder) + b"/\xff.png", "wb"):  # noqa: PTH123  # pathlib takes no bytes
        pass
    read = {one: "1" * 32 for one in scan(folder, []) if one.filename == "a.png"}
    with DigestCache(cache, folder) as digests:
        digests.store_md5s(read, 4 * 10**18)
    with scan_in_background(folder) as scanner:
        found = scanner(folder, cache)
    assert own_looks == []
    assert {one[0]: one[5] for one in found.files} == {"a.png": "1" * 32, "b.png": None, "deep/größe.png": None}
    assert all(isinstance(one, Problem) for one in found.problems)
    assert seen(found) == seen(scan_folder(folder, cache))


@pytest.mark.parametrize("program", ["", "/no/such/python", "/bin/false", "/bin/echo"])
def test_without_the_process_this_one_looks(folder, write, cache, own_looks, monkeypatch, program):
    write({"a.png": b"data"})
    monkeypatch.setattr(sys, "executable", program)
    with scan_in_background(folder) as scanner:
        found = scanner(folder, cache)
    assert (own_looks, [one[0] for one in found.files]) == ([folder], ["a.png"])


def test_what_the_process_has_told_half_is_not_believed(folder, write, cache):
    write({f"{number}.png": b"data" for number in range(10)})
    told = scan_process.encode(scan_folder(folder, cache))
    for end in range(len(told)):
        with pytest.raises((EOFError, ValueError, TypeError)):
            scan_process.decode(told[:end])
    assert seen(scan_process.decode(told)) == seen(scan_folder(folder, cache))


def test_another_folder_is_not_taken_for_it(folder, write, cache, tmp_path, own_looks):
    write({"a.png": b"data"})
    with scan_in_background(tmp_path / "cache") as scanner:
        assert [one[0] for one in scanner(folder, cache).files] == ["a.png"]
    assert own_looks == [folder]


def test_a_folder_that_cannot_be_read_is_the_same_error(folder, cache):
    (folder / "a.png").touch()
    with scan_in_background(folder / "a.png") as scanner, pytest.raises((Refused, Unavailable), match=r"a\.png"):
        scanner(folder / "a.png", cache)


def test_the_process_ends_with_the_block(folder, cache, monkeypatch):
    begun = []
    started = scan_process.subprocess.Popen
    monkeypatch.setattr(
        scan_process.subprocess, "Popen", lambda *args, **more: begun.append(started(*args, **more)) or begun[0]
    )
    with scan_in_background(folder):
        pass
    assert begun[0].returncode is not None


def test_no_module_of_the_users_folder_is_imported(folder, write, cache, own_looks, monkeypatch):
    write({"stat.py": b"raise SystemExit('imported')", "sqlite3.py": b"raise SystemExit('imported')"})
    monkeypatch.chdir(folder)
    with scan_in_background(folder) as scanner:
        scanner(folder, cache)
    assert own_looks == []
