"""Where an export goes on this machine: one file, replaced in one step, or a folder of files."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from s3_manifest_cli.client.export.writer import UnsupportedFile, WriteFile
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.names import normalize_name
from s3_manifest_cli.errors import Invalid, Refused


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file when the block ends; if the block fails, the file stays as it was.

    An existing file keeps its mode. A symlink stays, and its target is replaced. A pipe or a device is written to
    directly. Raises ``Invalid`` if the parent folder does not exist, and ``Refused`` and ``Unavailable`` as ``disk``.
    """
    with disk_errors(str(path), "not written"):
        existing = path.stat() if path.exists() else None
        if existing and not stat.S_ISREG(existing.st_mode):
            with path.open("wb") as out:
                yield out
            return
        target = path.resolve()
        if not target.parent.is_dir():
            raise Invalid(f"there is no folder {target.parent} to write {target.name} in: create it first")
        partial = target.with_name(f".partial-{secrets.token_hex(8)}")
        try:
            with partial.open("xb") as out:
                if existing:
                    partial.chmod(stat.S_IMODE(existing.st_mode))
                yield out
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def folder_writer(destination: Destination) -> WriteFile:
    """Writes files below the destination, each in one step; of names that the disk treats as one, only the first.

    Besides ``UnsupportedFile`` it raises ``Unavailable`` if the disk fails.
    """
    names: dict[str, str] = {}

    def write(name: str, body: bytes) -> None:
        other = names.setdefault(normalize_name(name, destination.file_system), name)
        if other != name:
            raise UnsupportedFile(f"this disk treats {name!r} and {other!r} as one name; rename one in S3")
        try:
            _write(destination, name, body)
        except (Invalid, Refused) as error:
            raise UnsupportedFile(str(error)) from error

    return write


def _write(destination: Destination, name: str, body: bytes) -> None:
    with destination.partial(name, "export") as partial:
        try:
            with disk_errors(name, "not written"), os.fdopen(partial.fd, "wb", closefd=False) as file:
                file.truncate(0)
                file.write(body)
            partial.finish()
        except BaseException:
            partial.discard()
            raise
