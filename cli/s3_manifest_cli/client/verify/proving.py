"""Files of a folder, read, and what proves that each is what the manifest tells of, or is not."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from s3_manifest_cli.client.local.reading import ReadSoFar, Unread, nobody, read_each
from s3_manifest_cli.client.local.scan import Local
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.verify import proofs
from s3_manifest_cli.client.verify.proofs import Expected, Verdict


def prove_each(
    folder: Path, files: Sequence[tuple[Local, RemoteFile]], progress: ReadSoFar = nobody
) -> Iterator[tuple[Local, Verdict | Unread]]:
    """The verdict on each file, all of it read; several at once and in order. See ``read_each``."""
    said = {here: expected(there) for here, there in files}

    def prove(here: Local, file: BinaryIO) -> Verdict:
        return proofs.verify(file, said[here])

    return read_each(folder, list(said), prove, progress)


def expected(there: RemoteFile) -> Expected:
    """What the manifest tells of the bytes."""
    return Expected(there.size, there.md5, there.etag, there.checksum, declared=there.declared)


def told_by(there: RemoteFile) -> str:
    """All that a verdict depends on, of what the manifest tells, as text: the same text, the same verdict."""
    checksum = " ".join(f"{name}:{value}" for name, value in sorted((there.checksum or {}).items()))
    return f"{there.size} {there.md5} {there.declared or ''} {there.etag} {checksum}"
