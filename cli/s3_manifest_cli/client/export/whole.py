"""A file of this machine, for the formats that make one: it is all there, or it is as it was."""

import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from s3_manifest_cli.client.local.disk import telling
from s3_manifest_cli.errors import Invalid


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Where the block writes to; it is put in its place when the block ends, and not if that fails.

    A file that is there keeps its mode. Through a link, the file that it leads to is replaced. A pipe or a
    device is written to as it is. Raises ``Invalid`` where there is no such folder, ``Refused`` and
    ``Unavailable`` as ``disk`` says.
    """
    with telling(str(path), "not written"):
        found = path.stat() if path.exists() else None
        if found and not stat.S_ISREG(found.st_mode):
            with path.open("wb") as out:
                yield out
            return
        place = path.resolve()
        if not place.parent.is_dir():
            raise Invalid(f"there is no folder {place.parent} to write {place.name} in: make it first")
        partial = place.with_name(f".partial-{secrets.token_hex(8)}")
        try:
            with partial.open("xb") as out:
                if found:
                    partial.chmod(stat.S_IMODE(found.st_mode))
                yield out
            partial.replace(place)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
