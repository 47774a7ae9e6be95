"""Uploads in parts that this machine has begun and not finished, remembered so that the next run goes on with them.

S3 keeps the parts, and charges for them, until an upload is completed or aborted. It tells of an upload neither who
began it nor with what metadata, so one that is not remembered here is somebody else's, and left alone.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from s3_manifest.model import Frozen


class Begun(Frozen):
    """An upload in parts: of which bytes (size, MD5 in hex), in parts of which size, and with which headers."""

    bucket: str
    key: str
    upload_id: str
    size: int
    md5: str
    part_size: int
    headers: Mapping[str, str]


class Unfinished:
    """A folder with a small file for each. Where it cannot be written, as on a read-only home, none is remembered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, bucket: str, key: str) -> Begun | None:
        """The upload to that key that is not finished."""
        return _read(self._path(bucket, key))

    def remember(self, begun: Begun) -> None:
        """Remembers it, in place of one to the same key."""
        path = self._path(begun.bucket, begun.key)
        new = path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_text(begun.model_dump_json())
            new.replace(path)

    def forget(self, bucket: str, key: str) -> None:
        """It is finished, or aborted."""
        with contextlib.suppress(OSError):
            self._path(bucket, key).unlink()

    def all(self, bucket: str) -> Iterator[Begun]:
        """Those to that bucket."""
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            if (begun := _read(path)) and begun.bucket == bucket:
                yield begun

    def _path(self, bucket: str, key: str) -> Path:
        name = hashlib.blake2b(f"{bucket}/{key}".encode(), digest_size=16).hexdigest()
        return self._folder / f"{name}.json"


def _read(path: Path) -> Begun | None:
    try:
        return Begun.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
