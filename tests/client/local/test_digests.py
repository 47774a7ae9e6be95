"""Cached MD5s of local files are never used for a file that may have changed since."""

import os
import sqlite3
import time

import pytest

from s3_manifest_cli.client.local.hashes import DigestCache
from s3_manifest_cli.client.local.scan import LocalFile, scan

LONG = 3_000_000_000


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.fixture
def digests(tmp_path, root):
    with DigestCache(tmp_path / "cache", root) as found:
        yield found


def scanned(root):
    """The only file, in its current state."""
    (found,) = scan(root, [])
    return found


def known(digests, *files):
    """The cached MD5s of these files."""
    found = digests.lookup({file.filename: file for file in files})
    assert sorted(file[:5] for file in found) == sorted(files)
    return {file[:5]: file[5] for file in found if file[5]}


def later(local):
    """A time long after the last change of the file."""
    return max(local.mtime_ns, local.ctime_ns) + LONG


def test_an_md5_is_cached_for_the_next_run(tmp_path, root):
    (root / "größe.png").write_bytes(b"data")
    local = scanned(root)
    with DigestCache(tmp_path / "cache", root) as digests:
        digests.store_md5s({local: "1" * 32}, later(local))
    with DigestCache(tmp_path / "cache", root) as digests:
        assert known(digests, local) == {local: "1" * 32}


def test_folders_have_separate_caches(tmp_path, root):
    (root / "a").write_bytes(b"data")
    local = scanned(root)
    with DigestCache(tmp_path / "cache", root) as digests:
        digests.store_md5s({local: "1" * 32}, later(local))
    with DigestCache(tmp_path / "cache", tmp_path) as digests:
        assert known(digests, local) == {}


@pytest.mark.parametrize(
    ("changed_before_ns", "is_whole_second", "is_cached"),
    [
        (0, False, False),
        (49_000_000, False, False),
        (51_000_000, False, True),
        (51_000_000, True, False),
        (1_999_000_000, True, False),
        (2_001_000_000, True, True),
        (-1_000_000, False, False),
    ],
)
@pytest.mark.parametrize("which", ["mtime_ns", "ctime_ns"])
def test_a_file_that_was_changed_within_the_clocks_granularity_is_not_trusted(
    digests, changed_before_ns, is_whole_second, is_cached, which
):
    """A change after the read could leave the same timestamps."""
    changed = 1_700_000_000_000_000_000 + (0 if is_whole_second else 1)
    local = LocalFile("a", 4, 1_600_000_000_000_000_001, 1_600_000_000_000_000_001, 7)._replace(**{which: changed})
    digests.store_md5s({local: "1" * 32}, changed + changed_before_ns)
    digests.store_matches({(local, "etag"): True}, changed + changed_before_ns)
    assert bool(known(digests, local)) is bool(digests.match_results()) is is_cached


def test_a_file_that_was_just_written_is_not_trusted(digests, root):
    (root / "a").write_bytes(b"data")
    local = scanned(root)
    digests.store_md5s({local: "1" * 32}, time.time_ns())
    assert known(digests, local) == {}


def test_a_file_of_the_same_size_with_its_time_set_back_is_not_cached(digests, root):
    file = root / "a"
    file.write_bytes(b"data")
    before = scanned(root)
    digests.store_md5s({before: "1" * 32}, later(before))
    file.write_bytes(b"atad")
    os.utime(file, ns=(before.mtime_ns, before.mtime_ns))
    now = scanned(root)
    assert (now.size, now.mtime_ns, now.inode) == (before.size, before.mtime_ns, before.inode)
    assert known(digests, now) == {}


def test_a_replaced_file_is_not_cached(digests, root):
    file, other = root / "a", root.parent / "other"
    file.write_bytes(b"data")
    other.write_bytes(b"atad")
    before = scanned(root)
    digests.store_md5s({before: "1" * 32}, later(before))
    os.utime(other, ns=(before.mtime_ns, before.mtime_ns))
    other.replace(file)
    now = scanned(root)
    assert now.inode != before.inode
    assert known(digests, now) == known(digests, now._replace(ctime_ns=before.ctime_ns)) == {}


def test_a_file_that_is_read_again_replaces_its_cached_digest(digests):
    before = LocalFile("a", 4, 1, 1, 7)
    now = before._replace(size=5)
    for local in (before, now):
        digests.store_md5s({local: str(local.size) * 32}, LONG)
        digests.store_matches({(local, "etag"): False}, LONG)
    assert (known(digests, before), known(digests, now)) == ({}, {now: "5" * 32})
    assert digests.match_results() == {(now, "etag"): False}


@pytest.mark.parametrize("result", [True, False, "nothing proves it"])
def test_a_match_result_is_cached_with_its_verification_key(digests, result):
    local = LocalFile("a", 4, 1, 1, 7)
    digests.store_matches({(local, "one"): result}, LONG)
    assert digests.match_results() == {(local, "one"): result}
    assert (local, "another") not in digests.match_results()


def test_a_forgotten_file_is_not_cached(digests):
    cached, forgotten = LocalFile("a", 4, 1, 1, 7), LocalFile("b", 4, 1, 1, 8)
    digests.store_md5s({cached: "1" * 32, forgotten: "2" * 32}, LONG)
    digests.store_matches({(forgotten, "one"): True}, LONG)
    digests.forget(["b", "never was"])
    assert (known(digests, cached, forgotten), digests.match_results()) == ({cached: "1" * 32}, {})


def test_without_a_cache_folder_nothing_is_cached_and_nothing_fails(tmp_path, root):
    (tmp_path / "cache").write_bytes(b"a file is in its place")
    with DigestCache(tmp_path / "cache", root) as digests:
        digests.store_md5s({LocalFile("a", 4, 1, 1, 7): "1" * 32}, LONG)
        digests.store_matches({(LocalFile("a", 4, 1, 1, 7), "one"): True}, LONG)
        digests.forget(["a"])
        assert (known(digests, LocalFile("a", 4, 1, 1, 7)), digests.match_results()) == ({}, {})


@pytest.mark.parametrize("broken", [b"", b"no database at all, but long enough to be one" * 100])
def test_a_broken_database_is_ignored(tmp_path, root, broken):
    with DigestCache(tmp_path / "cache", root):
        pass
    (database,) = (tmp_path / "cache").glob("digests-*.sqlite")
    database.write_bytes(broken)
    with DigestCache(tmp_path / "cache", root) as digests:
        assert known(digests, LocalFile("a", 4, 1, 1, 7)) == {}


def test_a_database_of_another_version_is_ignored(tmp_path, root):
    with DigestCache(tmp_path / "cache", root):
        pass
    (database,) = (tmp_path / "cache").glob("digests-*.sqlite")
    with sqlite3.connect(database) as other:
        other.execute("DROP TABLE digests")
        other.execute("CREATE TABLE digests (path TEXT)")
    other.close()
    with DigestCache(tmp_path / "cache", root) as digests:
        digests.store_md5s({LocalFile("a", 4, 1, 1, 7): "1" * 32}, LONG)
        assert known(digests, LocalFile("a", 4, 1, 1, 7)) == {}


def test_inodes_that_sqlite_cannot_store_are_not_cached(digests):
    local = LocalFile("a", 4, 1, 1, 2**64 - 1)
    digests.store_md5s({local: "1" * 32}, LONG)
    assert known(digests, local) == {}


def test_two_runs_use_the_cache_at_the_same_time(tmp_path, root):
    local, second = LocalFile("a", 4, 1, 1, 7), LocalFile("b", 4, 1, 1, 7)
    with DigestCache(tmp_path / "cache", root) as first, DigestCache(tmp_path / "cache", root) as other:
        first.store_md5s({local: "1" * 32}, LONG)
        other.store_md5s({second: "2" * 32}, LONG)
        assert len(known(first, local, second)) == len(known(other, local, second)) == 2
