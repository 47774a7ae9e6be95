"""A folder beside a manifest: what each file is."""

import pytest

from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.scan import LocalFile
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.verify.compare import (
    STATES,
    Comparison,
    FileStatus,
    compare,
    match_cached,
    same_size_pairs,
    totals,
)


def here(name="a.png", size=3):
    return LocalFile(name, size, 1, 1, 1)


def there(name="a.png", size=3, role="files"):
    return RemoteFile(name, size, "0" * 32, "0" * 32, role, None, "2026-01-01T00:00:00.000Z")


def compared(local, remote, verdicts, chosen=EVERYTHING):
    return compare({one.filename: one for one in local}, remote, verdicts, chosen.predicate())


@pytest.mark.parametrize(
    ("local", "remote", "verdicts", "state", "why"),
    [
        ([here()], [there()], {"a.png": True}, "synced", None),
        ([here()], [there()], {"a.png": False}, "out_of_sync", None),
        ([here()], [there()], {"a.png": "no proof"}, "unverifiable", "no proof"),
        ([here(size=4)], [there()], {}, "out_of_sync", None),
        ([here()], [], {}, "local_only", None),
        ([], [there()], {}, "s3_only", None),
        ([], [there(role="captions")], {}, "s3_only", None),
        ([here()], [there(role="hidden")], {"a.png": True}, "synced", None),
        ([here(size=4)], [there(role="hidden")], {}, "out_of_sync", None),
    ],
)
def test_a_file_is_in_one_state(local, remote, verdicts, state, why):
    (one,) = compared(local, remote, verdicts)
    assert (one.filename, one.state, one.why) == ("a.png", state, why)
    assert (one.local, one.remote) == (local[0] if local else None, remote[0] if remote else None)


def test_a_hidden_file_is_not_missed():
    assert compared([], [there(role="hidden")], {}) == []


def test_files_come_by_name_and_only_those_that_are_meant():
    local, remote = [here("z.png"), here("b.txt"), here("a.png")], [there("m.png"), there("c.txt")]
    found = compared(local, remote, {}, Filter(include=("*.png",)))
    assert [(one.filename, one.state) for one in found] == [
        ("a.png", "local_only"),
        ("m.png", "s3_only"),
        ("z.png", "local_only"),
    ]


def test_only_files_of_the_same_size_have_to_be_read():
    local = {"a": here("a"), "b": here("b", size=4), "c": here("c")}
    assert same_size_pairs(local, [there("a"), there("b"), there("d")]) == [(here("a"), there("a"))]


@pytest.mark.parametrize(
    ("size", "md5", "md5_there", "is_same"),
    [
        (3, "0" * 32, "0" * 32, True),
        (3, "1" * 32, "0" * 32, False),
        (4, "0" * 32, "0" * 32, False),
        (3, None, "0" * 32, False),
        (3, "0" * 32, None, False),
        (3, None, None, False),
    ],
)
def test_only_a_known_md5_makes_files_the_same_at_once(size, md5, md5_there, is_same):
    local, remote = {"a.png": (*here(size=size), md5)}, there()._replace(md5=md5_there)
    found, rest = match_cached(local, [remote, there("b.png")])
    assert found == ([((*here(), md5), remote)] if is_same else [])
    assert (rest, "a.png" in local) == ([there("b.png")] if is_same else [remote, there("b.png")], not is_same)


def test_files_that_are_the_same_are_told_like_all_others():
    others = compare({"a": here("a"), "c": here("c")}, [there("c")], {"c": True}, EVERYTHING.predicate())
    found = Comparison([((*here("b"), "0" * 32), there("b"))], others)
    assert [(one.filename, one.state) for one in found.files] == [("a", "local_only"), ("b", "synced"), ("c", "synced")]
    assert found.files[1] == FileStatus("b", "synced", here("b"), there("b"))
    assert found.differences == [others[0]]
    assert (
        found.totals
        == totals(file.state for file in found.files)
        == dict.fromkeys(STATES, 0) | {"local_only": 1, "synced": 2}
    )


def test_every_state_is_counted():
    found = compared([here("a"), here("b")], [there("b"), there("c")], {"b": True})
    assert totals(file.state for file in found) == dict.fromkeys(STATES, 0) | {
        "local_only": 1,
        "synced": 1,
        "s3_only": 1,
    }
