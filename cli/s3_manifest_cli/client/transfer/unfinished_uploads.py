"""Uploads in parts that this machine has begun and not finished, remembered so that the next run goes on with them.

S3 keeps the parts, and charges for them, until an upload is completed or aborted. It tells of an upload neither which
machine began it nor with what metadata, so one that is not remembered here is somebody else's, and left alone.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from s3_manifest.manifest.model import Frozen
from s3_manifest_cli.client.local.state_files import stable_name, write_atomically


class UnfinishedUpload(Frozen):
    """An upload in parts: of which bytes (size, MD5 in hex), in parts of which size, and with which headers.

    With ``by_crc`` S3 compares the parts with their CRCs, not with MD5s. ``upload_id`` is None from before S3 is asked
    for the upload until its answer came. Where it never did, S3 may have an upload that is none of ``there``, the ids
    of those to the key before, which it listed at ``asked_at``: seconds of its own clock, since 1970. ``there`` is None
    where it would not list them.
    """

    bucket: str
    key: str
    upload_id: str | None = None
    size: int
    md5: str
    part_size: int
    headers: Mapping[str, str]
    by_crc: bool = False
    there: tuple[str, ...] | None = None
    asked_at: float = 0

    def is_of(self, other: "UnfinishedUpload") -> bool:
        """Whether both are to store the same."""
        return _what(self) == _what(other)


class UnfinishedUploads:
    """A folder with a small file for each. Where it cannot be written, as on a read-only home, none is remembered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, bucket: str, key: str) -> UnfinishedUpload | None:
        """The upload to that key that is not finished."""
        return _read(self._path(bucket, key))

    def remember(self, begun: UnfinishedUpload) -> None:
        """Remembers it, in place of one to the same key, whatever becomes of the run or the machine."""
        with contextlib.suppress(OSError):
            write_atomically(self._path(begun.bucket, begun.key), begun.model_dump_json().encode(), durable=True)

    def forget(self, bucket: str, key: str) -> None:
        """It is finished, or aborted."""
        with contextlib.suppress(OSError):
            self._path(bucket, key).unlink()

    def all(self, bucket: str, idle_seconds: float = 0) -> Iterator[UnfinishedUpload]:
        """Those to that bucket that were remembered so long ago at least."""
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # another run has finished it
                is_idle = path.stat().st_mtime <= time.time() - idle_seconds
                if is_idle and (begun := _read(path)) and begun.bucket == bucket:
                    yield begun

    def _path(self, bucket: str, key: str) -> Path:
        return self._folder / f"{stable_name(bucket, key)}.json"


def _what(begun: UnfinishedUpload) -> object:
    return begun.bucket, begun.key, begun.size, begun.md5, begun.part_size, begun.headers


def _read(path: Path) -> UnfinishedUpload | None:
    try:
        return UnfinishedUpload.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
