"""A folder of real files and a manifest: unchanged files are read once, and none counts as identical without proof."""

import pytest

from s3_manifest_cli.client.local import reading
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.local.hashes import md5_of, scan_folder
from s3_manifest_cli.client.local.reading import ReadFailure, read_files
from s3_manifest_cli.client.local.scan import scan
from s3_manifest_cli.client.verify.status import LocalCopy, status
from s3_manifest_cli.errors import Invalid, NotFound


@pytest.fixture
def deployment(through_s3):
    """Only through S3: ``test_manifests`` proves that the HTTP API returns the same manifests."""
    return through_s3


def states(result):
    return {file.filename: file.state for file in result.files}


def test_status_reports_the_state_of_each_file(deployment, add, style, folder, write):
    names = {"same.png": b"data", "other.png": b"data", "longer.png": b"data", "s3.png": b"x", "deep/größe.png": b"d"}
    add({f"styles/16/{name}": body for name, body in names.items()})
    add({"styles/16/a.txt": b"a caption", "styles/16/prompt_metadata.json": b'{"s3.png": {"prompt": "a fox"}}'})
    write({"same.png": b"data", "other.png": b"atad", "longer.png": b"data and more", "here.png": b""})
    write({"a.txt": b"a caption", "deep/größe.png": b"d", "prompt_metadata.json": b"a sidecar is no file"})
    (folder / "link.png").symlink_to(folder / "same.png")
    result = status(deployment, folder, style)
    assert states(result) == {
        "a.txt": "synced",
        "deep/größe.png": "synced",
        "here.png": "local_only",
        "longer.png": "out_of_sync",
        "other.png": "out_of_sync",
        "s3.png": "s3_only",
        "same.png": "synced",
    }
    assert [problem.path for problem in result.problems] == ["link.png"]
    assert result.totals == {"synced": 3, "local_only": 1, "s3_only": 1, "out_of_sync": 2, "unverifiable": 0}
    assert (result.facts.revision, result.is_in_sync) == (2, False)


def test_a_folder_that_is_the_same_is_in_sync(deployment, add, style, folder, write):
    add({"styles/16/a.png": b"data"})
    write({"a.png": b"data"})
    result = status(deployment, folder, style)
    assert (result.is_in_sync, result.differences) == (True, [])


def test_a_hidden_file_is_compared_only_if_it_exists_locally(deployment, add, style, folder, write):
    add({"styles/16/a.png": b"data", "styles/16/b.png": b"data"})
    add({"styles/16/prompt_metadata.json": b'{"a.png": {"hidden": true}, "b.png": {"hidden": true}}'})
    write({"a.png": b"data"})
    assert states(status(deployment, folder, style)) == {"a.png": "synced"}


def test_a_status_without_a_folder_or_a_manifest_fails(deployment, style, folder):
    with pytest.raises(Invalid, match="no folder"):
        status(deployment, folder / "nope", style)
    with pytest.raises(NotFound):
        status(deployment, folder, style)


def test_a_missing_folder_lacks_every_file(deployment, add, style, folder):
    add({"styles/16/a.png": b"data"})
    remote = list(deployment.manifests.index(style, None).files())
    local = scan_folder(folder / "nope", deployment.cache)
    assert local == ([], [])
    compared = LocalCopy(deployment, folder / "nope", style).compare(local, remote)
    assert [(file.filename, file.state) for file in compared.files] == [("a.png", "s3_only")]


def test_only_selected_files_are_read_and_reported(deployment, add, style, folder, write, files_read):
    add({"styles/16/a.png": b"data", "styles/16/b.jpg": b"data"})
    write({"a.png": b"data", "b.jpg": b"atad", "c.jpg": b"data"})
    result = status(deployment, folder, style, Filter(include=("*.png",)))
    assert (states(result), files_read) == ({"a.png": "synced"}, ["a.png"])


def test_an_unchanged_file_is_read_only_once(deployment, add, style, folder, write, files_read, files_settled):
    add({"styles/16/a.png": b"data"})
    write({"a.png": b"data"})
    for _ in range(3):
        assert states(status(deployment, folder, style)) == {"a.png": "synced"}
    assert files_read == ["a.png"]
    status(deployment, folder, style, read_all=True)
    assert files_read == ["a.png"] * 2
    write({"a.png": b"atad"})
    assert states(status(deployment, folder, style)) == {"a.png": "out_of_sync"}
    assert files_read == ["a.png"] * 3


def test_a_file_of_another_size_is_never_read(deployment, add, style, folder, write, files_read):
    add({"styles/16/a.png": b"data"})
    write({"a.png": b"data and more"})
    assert states(status(deployment, folder, style)) == {"a.png": "out_of_sync"}
    assert files_read == []


def test_an_object_without_an_md5_is_proven_by_a_checksum_or_its_parts(
    deployment, account, send_events, style, folder, write, no_md5s, put_bare, files_read, files_settled
):
    account.put_in_parts("styles/16/parts.bin", b"data")
    account.put_in_parts("styles/16/other.bin", b"data")
    account.put("styles/16/sha.bin", b"data", ServerSideEncryption="aws:kms", ChecksumAlgorithm="SHA256")
    put_bare("styles/16/bare.bin", b"data")
    send_events(*(f"styles/16/{name}.bin" for name in ("parts", "other", "sha", "bare")))
    assert {file.md5 for file in deployment.manifests.index(style, None).files()} == {None}
    write({"parts.bin": b"data", "other.bin": b"atad", "sha.bin": b"data", "bare.bin": b"data"})
    for _ in range(2):
        result = status(deployment, folder, style)
        assert states(result) == {
            "bare.bin": "unverifiable",
            # A different ETag of parts proves nothing: the object may be encrypted.
            "other.bin": "unverifiable",
            "parts.bin": "synced",
            "sha.bin": "synced",
        }
        assert {file.filename for file in result.files if file.why} == {"bare.bin", "other.bin"}
    assert sorted(files_read) == ["bare.bin", "other.bin", "parts.bin", "sha.bin"]
    write({"sha.bin": b"atad"})
    assert states(status(deployment, folder, style))["sha.bin"] == "out_of_sync"


def test_a_cached_match_result_is_not_used_for_a_later_object(
    deployment, account, send_events, style, folder, write, no_md5s, files_read, files_settled
):
    write({"a.bin": b"data"})
    for body, state in ((b"data", "synced"), (b"atad", "unverifiable"), (b"data", "synced")):
        account.put_in_parts("styles/16/a.bin", body)
        send_events("styles/16/a.bin")
        assert states(status(deployment, folder, style)) == {"a.bin": state}
    assert len(files_read) == 3


def test_an_unreadable_file_is_unverifiable(deployment, add, style, folder, write, monkeypatch):
    add({"styles/16/a.png": b"data"})
    write({"a.png": b"data"})

    def refused(_top, _name):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reading, "open_file", refused)
    result = status(deployment, folder, style)
    (file,) = result.files
    assert (file.state, file.why) == ("unverifiable", "skipped, permission denied")
    assert result.problems == [("a.png", "skipped, permission denied", "unreadable")]


def test_a_file_that_changed_since_it_was_scanned_is_a_read_failure(folder, write):
    write({"a.png": b"data", "b.png": b"data"})
    files = sorted(scan(folder, []))
    write({"a.png": b"longer"})
    (_, changed), (_, read) = read_files(folder, files, lambda _, file: md5_of(file))
    assert isinstance(changed, ReadFailure)
    assert "changed" in changed.reason
    assert read == "8d777f385d3dfec8815d20f7496026dc"


def test_a_file_that_changes_while_it_is_read_is_a_read_failure(folder, write):
    write({"a.png": b"data"})

    def read_and_write(_local, file):
        write({"a.png": b"atad"})
        return file.read()

    ((_, read),) = read_files(folder, list(scan(folder, [])), read_and_write)
    assert isinstance(read, ReadFailure)
