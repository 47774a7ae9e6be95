"""A scan in a separate process has the same result, and nothing depends on that process."""

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
    """The cache folder that the process finds in its environment."""
    monkeypatch.setenv("S3_MANIFEST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def own_scans(monkeypatch):
    """The folders that this process scanned itself."""
    folders = []
    original = scan_folder
    monkeypatch.setattr(hashes, "scan_folder", lambda folder, cache: folders.append(folder) or original(folder, cache))
    return folders


def contents(scan_result):
    return sorted(scan_result.files), sorted(scan_result.problems)


def test_the_process_returns_the_same_scan(folder, write, cache, own_scans):
    write({"a.png": b"data", "deep/größe.png": b"", "b.png": b"other"})
    (folder / "link").symlink_to("a.png")
    with open(os.fsencode(folder) + b"/\xff.png", "wb"):  # noqa: PTH123  # pathlib takes no bytes
        pass
    read = {file: "1" * 32 for file in scan(folder, []) if file.filename == "a.png"}
    with DigestCache(cache, folder) as digests:
        digests.store_md5s(read, 4 * 10**18)
    with scan_in_background(folder) as scanner:
        result = scanner(folder, cache)
    assert own_scans == []
    assert {file[0]: file[5] for file in result.files} == {"a.png": "1" * 32, "b.png": None, "deep/größe.png": None}
    assert all(isinstance(problem, Problem) for problem in result.problems)
    assert contents(result) == contents(scan_folder(folder, cache))


@pytest.mark.parametrize("program", ["", "/no/such/python", "/bin/false", "/bin/echo"])
def test_a_failed_process_is_replaced_by_a_scan_in_this_process(folder, write, cache, own_scans, monkeypatch, program):
    write({"a.png": b"data"})
    monkeypatch.setattr(sys, "executable", program)
    with scan_in_background(folder) as scanner:
        result = scanner(folder, cache)
    assert (own_scans, [file[0] for file in result.files]) == ([folder], ["a.png"])


def test_a_truncated_output_of_the_process_is_rejected(folder, write, cache):
    write({f"{number}.png": b"data" for number in range(10)})
    output = scan_process.encode(scan_folder(folder, cache))
    for end in range(len(output)):
        with pytest.raises((EOFError, ValueError, TypeError)):
            scan_process.decode(output[:end])
    assert contents(scan_process.decode(output)) == contents(scan_folder(folder, cache))


def test_a_scan_of_another_folder_is_not_used(folder, write, cache, tmp_path, own_scans):
    write({"a.png": b"data"})
    with scan_in_background(tmp_path / "cache") as scanner:
        assert [file[0] for file in scanner(folder, cache).files] == ["a.png"]
    assert own_scans == [folder]


def test_a_background_scan_of_a_file_raises_an_error_that_names_it(folder, cache):
    (folder / "a.png").touch()
    with scan_in_background(folder / "a.png") as scanner, pytest.raises((Refused, Unavailable), match=r"a\.png"):
        scanner(folder / "a.png", cache)


def test_leaving_the_context_ends_the_process(folder, cache, monkeypatch):
    processes = []
    started = scan_process.subprocess.Popen
    monkeypatch.setattr(
        scan_process.subprocess, "Popen", lambda *args, **more: processes.append(started(*args, **more)) or processes[0]
    )
    with scan_in_background(folder):
        pass
    assert processes[0].returncode is not None


def test_no_module_of_the_users_folder_is_imported(folder, write, cache, own_scans, monkeypatch):
    write({"stat.py": b"raise SystemExit('imported')", "sqlite3.py": b"raise SystemExit('imported')"})
    monkeypatch.chdir(folder)
    with scan_in_background(folder) as scanner:
        scanner(folder, cache)
    assert own_scans == []
