"""A folder is verified: every file is read and reported with its proof."""

import pytest

from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.sync.options import Progress, SyncOptions
from s3_manifest_cli.client.sync.sync import prepare
from s3_manifest_cli.client.verify.status import status
from s3_manifest_cli.client.verify.verify import verify
from s3_manifest_cli.errors import Invalid, NotFound


@pytest.fixture
def deployment(through_s3):
    """Only through S3: ``test_manifests`` proves that the HTTP API returns the same manifests."""
    return through_s3


def proofs_of(verification):
    return {file.filename: (file.state, file.by) for file in verification.files}


def test_every_file_is_reported_with_its_proof(
    deployment, account, send_events, style, folder, write, no_md5s, put_bare
):
    account.put("styles/16/md5.png", b"data", ChecksumAlgorithm="CRC64NVME")
    account.put("styles/16/sha.png", b"data", ServerSideEncryption="aws:kms", ChecksumAlgorithm="SHA256")
    account.put("styles/16/wrong.png", b"data")
    account.put("styles/16/longer.png", b"data")
    account.put("styles/16/gone.png", b"data")
    account.put_in_parts("styles/16/parts.png", b"data")
    put_bare("styles/16/bare.png", b"data")
    names = ("md5", "sha", "wrong", "longer", "parts", "bare")
    send_events(*(f"styles/16/{name}.png" for name in (*names, "gone")))
    write({f"{name}.png": b"data" for name in names})
    write({"wrong.png": b"atad", "longer.png": b"data and more", "extra.png": b"data"})
    result = verify(deployment, folder, style)
    proofs = proofs_of(result)
    assert proofs.pop("md5.png")[1][0] == "md5"
    assert proofs.pop("wrong.png")[0] == "out_of_sync"
    assert proofs == {
        "bare.png": ("unverifiable", ()),
        "extra.png": ("local_only", ()),
        "gone.png": ("s3_only", ()),
        "longer.png": ("out_of_sync", ("size",)),
        "parts.png": ("synced", ("etag",)),
        "sha.png": ("synced", ("sha256",)),
    }
    assert sum(result.proofs.values()) == result.totals["synced"] == 3
    assert not result.is_verified(allow_extra=True)


@pytest.mark.parametrize(
    ("local", "is_verified", "is_verified_with_extra"),
    [
        ({"a.png": b"data", "b.png": b"data"}, True, True),
        ({"a.png": b"data", "b.png": b"data", "c.png": b""}, False, True),
        ({"a.png": b"data"}, False, False),
        ({"a.png": b"data", "b.png": b"atad"}, False, False),
    ],
)
def test_a_folder_is_verified_only_if_every_file_is_proven(
    deployment, add, style, folder, write, local, is_verified, is_verified_with_extra
):
    add({"styles/16/a.png": b"data", "styles/16/b.png": b"data"})
    write(local)
    result = verify(deployment, folder, style)
    assert (result.is_verified(), result.is_verified(allow_extra=True)) == (is_verified, is_verified_with_extra)


def test_a_skipped_entry_is_not_verified(deployment, add, style, folder, write):
    add({"styles/16/a.png": b"data"})
    write({"a.png": b"data"})
    (folder / "link.png").symlink_to("a.png")
    result = verify(deployment, folder, style)
    assert (result.totals["synced"], result.is_verified(allow_extra=True)) == (1, False)


def test_verify_ignores_the_cache(deployment, add, style, folder, write, files_read, files_settled):
    add({"styles/16/a.png": b"data"})
    write({"a.png": b"data"})
    status(deployment, folder, style)
    md5 = b"8d777f385d3dfec8815d20f7496026dc"
    cached = [path for path in deployment.cache.iterdir() if md5 in path.read_bytes()]
    for path in cached:
        path.write_bytes(path.read_bytes().replace(md5, b"0" * 32))
    assert len(cached) == 2
    files_read.clear()
    for _ in range(2):
        assert proofs_of(verify(deployment, folder, style)) == {"a.png": ("synced", ("md5", "crc32"))}
    assert files_read == ["a.png"] * 2


def test_only_selected_files_are_verified(deployment, add, style, folder, write, files_read):
    add({"styles/16/a.png": b"data", "styles/16/b.txt": b"words"})
    write({"a.png": b"data", "c.txt": b"words"})
    assert verify(deployment, folder, style, Filter(include=("*.png",))).is_verified()
    assert files_read == ["a.png"]


def test_progress_is_reported(deployment, add, style, folder, write):
    add({"styles/16/a.png": b"data", "styles/16/b.png": b"words"})
    write({"a.png": b"data", "b.png": b"words"})
    steps = []
    verify(deployment, folder, style, progress=lambda files, size: steps.append((files, size)))
    assert steps[-1] == (2, 9)
    assert steps == sorted(steps, key=sum)


def test_progress_is_reported_within_a_large_file(deployment, add, style, folder, write):
    body = bytes(5 << 20)
    add({"styles/16/a.png": body})
    write({"a.png": body})
    for compare in (
        lambda progress: prepare(deployment, "push", folder, style, options=SyncOptions(progress=Progress(progress))),
        lambda progress: verify(deployment, folder, style, progress=progress),
        lambda progress: status(deployment, folder, style, read_all=True, progress=progress),
    ):
        steps = []
        compare(lambda files, size: steps.append((files, size)))  # noqa: B023  # it is called in this turn
        assert [size for files, size in steps if not files and 0 < size < len(body)], steps
        assert steps[-1] == (1, len(body))


def test_without_a_folder_or_a_manifest_nothing_is_verified(deployment, style, folder):
    with pytest.raises(Invalid, match="no folder"):
        verify(deployment, folder / "nope", style)
    with pytest.raises(NotFound):
        verify(deployment, folder, style)
