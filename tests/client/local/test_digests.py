"""What was read of files here: never used where they may have changed since."""

import os
import sqlite3

import pytest

from s3_manifest_cli.client.local.hashes import DigestCache, now_ns
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


def look(root):
    """The one file, as it is now."""
    (found,) = scan(root, [])
    return found


def known(digests, *files):
    """The MD5s that are known of these, as they are."""
    found = digests.lookup({one.filename: one for one in files})
    assert sorted(one[:5] for one in found) == sorted(files)
    return {one[:5]: one[5] for one in found if one[5]}


def later(local):
    """A time at which the file has long been as it is."""
    return max(local.mtime_ns, local.ctime_ns) + LONG


def test_what_was_read_is_known_the_next_time(tmp_path, root):
    (root / "größe.png").write_bytes(b"data")
    local = look(root)
    with DigestCache(tmp_path / "cache", root) as digests:
        digests.store_md5s({local: "1" * 32}, later(local))
    with DigestCache(tmp_path / "cache", root) as digests:
        assert known(digests, local) == {local: "1" * 32}


def test_one_folder_knows_nothing_of_another(tmp_path, root):
    (root / "a").write_bytes(b"data")
    local = look(root)
    with DigestCache(tmp_path / "cache", root) as digests:
        digests.store_md5s({local: "1" * 32}, later(local))
    with DigestCache(tmp_path / "cache", tmp_path) as digests:
        assert known(digests, local) == {}


@pytest.mark.parametrize(
    ("changed_before_ns", "is_whole_second", "is_kept"),
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
    digests, changed_before_ns, is_whole_second, is_kept, which
):
    """A change after the read might have left the same times."""
    changed = 1_700_000_000_000_000_000 + (0 if is_whole_second else 1)
    local = LocalFile("a", 4, 1_600_000_000_000_000_001, 1_600_000_000_000_000_001, 7)._replace(**{which: changed})
    digests.store_md5s({local: "1" * 32}, changed + changed_before_ns)
    digests.store_matches({(local, "etag"): True}, changed + changed_before_ns)
    assert bool(known(digests, local)) is bool(digests.match_results()) is is_kept


def test_a_file_that_was_just_written_is_not_trusted(digests, root):
    (root / "a").write_bytes(b"data")
    local = look(root)
    digests.store_md5s({local: "1" * 32}, now_ns())
    assert known(digests, local) == {}


def test_a_file_of_the_same_size_whose_time_was_set_back_is_another(digests, root):
    file = root / "a"
    file.write_bytes(b"data")
    before = look(root)
    digests.store_md5s({before: "1" * 32}, later(before))
    file.write_bytes(b"atad")
    os.utime(file, ns=(before.mtime_ns, before.mtime_ns))
    now = look(root)
    assert (now.size, now.mtime_ns, now.inode) == (before.size, before.mtime_ns, before.inode)
    assert known(digests, now) == {}


def test_a_file_that_another_took_the_place_of_is_another(digests, root):
    file, other = root / "a", root.parent / "other"
    file.write_bytes(b"data")
    other.write_bytes(b"atad")
    before = look(root)
    digests.store_md5s({before: "1" * 32}, later(before))
    os.utime(other, ns=(before.mtime_ns, before.mtime_ns))
    other.replace(file)
    now = look(root)
    assert now.inode != before.inode
    assert known(digests, now) == known(digests, now._replace(ctime_ns=before.ctime_ns)) == {}


def test_of_a_file_that_was_read_again_only_the_last_is_kept(digests):
    before = LocalFile("a", 4, 1, 1, 7)
    now = before._replace(size=5)
    for local in (before, now):
        digests.store_md5s({local: str(local.size) * 32}, LONG)
        digests.store_matches({(local, "etag"): False}, LONG)
    assert (known(digests, before), known(digests, now)) == ({}, {now: "5" * 32})
    assert digests.match_results() == {(now, "etag"): False}


@pytest.mark.parametrize("verdict", [True, False, "nothing proves it"])
def test_a_verdict_is_kept_with_what_it_was_against(digests, verdict):
    local = LocalFile("a", 4, 1, 1, 7)
    digests.store_matches({(local, "one"): verdict}, LONG)
    assert digests.match_results() == {(local, "one"): verdict}
    assert (local, "another") not in digests.match_results()


def test_what_is_forgotten_is_not_known_any_more(digests):
    kept, gone = LocalFile("a", 4, 1, 1, 7), LocalFile("b", 4, 1, 1, 8)
    digests.store_md5s({kept: "1" * 32, gone: "2" * 32}, LONG)
    digests.store_matches({(gone, "one"): True}, LONG)
    digests.forget(["b", "never was"])
    assert (known(digests, kept, gone), digests.match_results()) == ({kept: "1" * 32}, {})


def test_without_a_place_to_keep_it_nothing_is_known_and_nothing_fails(tmp_path, root):
    (tmp_path / "cache").write_bytes(b"a file is in its place")
    with DigestCache(tmp_path / "cache", root) as digests:
        digests.store_md5s({LocalFile("a", 4, 1, 1, 7): "1" * 32}, LONG)
        digests.store_matches({(LocalFile("a", 4, 1, 1, 7), "one"): True}, LONG)
        digests.forget(["a"])
        assert (known(digests, LocalFile("a", 4, 1, 1, 7)), digests.match_results()) == ({}, {})


@pytest.mark.parametrize("broken", [b"", b"no database at all, but long enough to be one" * 100])
def test_a_broken_database_is_as_good_as_none(tmp_path, root, broken):
    with DigestCache(tmp_path / "cache", root):
        pass
    (database,) = (tmp_path / "cache").glob("digests-*.sqlite")
    database.write_bytes(broken)
    with DigestCache(tmp_path / "cache", root) as digests:
        assert known(digests, LocalFile("a", 4, 1, 1, 7)) == {}


def test_a_database_of_another_version_is_as_good_as_none(tmp_path, root):
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


def test_inodes_that_no_database_holds_are_done_without(digests):
    local = LocalFile("a", 4, 1, 1, 2**64 - 1)
    digests.store_md5s({local: "1" * 32}, LONG)
    assert known(digests, local) == {}


def test_two_runs_at_once_both_go_on(tmp_path, root):
    local, second = LocalFile("a", 4, 1, 1, 7), LocalFile("b", 4, 1, 1, 7)
    with DigestCache(tmp_path / "cache", root) as one, DigestCache(tmp_path / "cache", root) as other:
        one.store_md5s({local: "1" * 32}, LONG)
        other.store_md5s({second: "2" * 32}, LONG)
        assert len(known(one, local, second)) == len(known(other, local, second)) == 2
