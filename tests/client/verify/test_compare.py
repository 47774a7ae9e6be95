"""A folder compared with a manifest: the state of each file."""

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


def on_disk(name="a.png", size=3):
    return LocalFile(name, size, 1, 1, 1)


def in_s3(name="a.png", size=3, role="files"):
    return RemoteFile(name, size, "0" * 32, "0" * 32, role, None, "2026-01-01T00:00:00.000Z")


def compared(local, remote, results, filters=EVERYTHING):
    return compare({file.filename: file for file in local}, remote, results, filters.predicate())


@pytest.mark.parametrize(
    ("local", "remote", "results", "state", "why"),
    [
        ([on_disk()], [in_s3()], {"a.png": True}, "synced", None),
        ([on_disk()], [in_s3()], {"a.png": False}, "out_of_sync", None),
        ([on_disk()], [in_s3()], {"a.png": "no proof"}, "unverifiable", "no proof"),
        ([on_disk(size=4)], [in_s3()], {}, "out_of_sync", None),
        ([on_disk()], [], {}, "local_only", None),
        ([], [in_s3()], {}, "s3_only", None),
        ([], [in_s3(role="captions")], {}, "s3_only", None),
        ([on_disk()], [in_s3(role="hidden")], {"a.png": True}, "synced", None),
        ([on_disk(size=4)], [in_s3(role="hidden")], {}, "out_of_sync", None),
    ],
)
def test_each_file_has_exactly_one_state(local, remote, results, state, why):
    (file,) = compared(local, remote, results)
    assert (file.filename, file.state, file.why) == ("a.png", state, why)
    assert (file.local, file.remote) == (local[0] if local else None, remote[0] if remote else None)


def test_a_missing_hidden_file_is_not_reported():
    assert compared([], [in_s3(role="hidden")], {}) == []


def test_only_selected_files_are_compared_and_sorted_by_name():
    local, remote = (
        [on_disk("z.png"), on_disk("b.txt"), on_disk("a.png")],
        [in_s3("m.png"), in_s3("c.txt")],
    )
    found = compared(local, remote, {}, Filter(include=("*.png",)))
    assert [(file.filename, file.state) for file in found] == [
        ("a.png", "local_only"),
        ("m.png", "s3_only"),
        ("z.png", "local_only"),
    ]


def test_only_files_of_the_same_size_have_to_be_read():
    local = {"a": on_disk("a"), "b": on_disk("b", size=4), "c": on_disk("c")}
    assert same_size_pairs(local, [in_s3("a"), in_s3("b"), in_s3("d")]) == [(on_disk("a"), in_s3("a"))]


@pytest.mark.parametrize(
    ("size", "md5", "remote_md5", "is_same"),
    [
        (3, "0" * 32, "0" * 32, True),
        (3, "1" * 32, "0" * 32, False),
        (4, "0" * 32, "0" * 32, False),
        (3, None, "0" * 32, False),
        (3, "0" * 32, None, False),
        (3, None, None, False),
    ],
)
def test_only_files_with_equal_sizes_and_md5s_match_without_being_read(size, md5, remote_md5, is_same):
    local, remote = {"a.png": (*on_disk(size=size), md5)}, in_s3()._replace(md5=remote_md5)
    found, remaining = match_cached(local, [remote, in_s3("b.png")])
    assert found == ([((*on_disk(), md5), remote)] if is_same else [])
    assert (remaining, "a.png" in local) == (
        [in_s3("b.png")] if is_same else [remote, in_s3("b.png")],
        not is_same,
    )


def test_cached_matches_are_listed_among_the_other_files():
    others = compare({"a": on_disk("a"), "c": on_disk("c")}, [in_s3("c")], {"c": True}, EVERYTHING.predicate())
    found = Comparison([((*on_disk("b"), "0" * 32), in_s3("b"))], others)
    assert [(file.filename, file.state) for file in found.files] == [
        ("a", "local_only"),
        ("b", "synced"),
        ("c", "synced"),
    ]
    assert found.files[1] == FileStatus("b", "synced", on_disk("b"), in_s3("b"))
    assert found.differences == [others[0]]
    assert (
        found.totals
        == totals(file.state for file in found.files)
        == dict.fromkeys(STATES, 0) | {"local_only": 1, "synced": 2}
    )


def test_every_state_is_counted():
    found = compared([on_disk("a"), on_disk("b")], [in_s3("b"), in_s3("c")], {"b": True})
    assert totals(file.state for file in found) == dict.fromkeys(STATES, 0) | {
        "local_only": 1,
        "synced": 1,
        "s3_only": 1,
    }
