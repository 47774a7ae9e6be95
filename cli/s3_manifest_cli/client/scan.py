"""What files a folder holds."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

WORKING = ".s3-manifest"


class Local(NamedTuple):
    """A file, by its path below the folder with ``/`` between, and as the file system told of it. ``size`` is bytes."""

    filename: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Problem(NamedTuple):
    """A path below the folder that is not among its files, and why."""

    path: str
    reason: str


def scan(root: Path, tell: Callable[[Problem], None]) -> Iterator[Local]:
    """The regular files below a folder, in any order; no link is followed. ``tell`` hears of everything else."""
    stack = [""]
    base = os.fspath(root)
    while stack:
        below = stack.pop()
        with os.scandir(f"{base}/{below}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if below or entry.name != WORKING:
                        stack.append(f"{below}{entry.name}/")
                elif entry.is_file(follow_symlinks=False):
                    s = entry.stat(follow_symlinks=False)
                    yield Local(below + entry.name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
                else:
                    tell(Problem(below + entry.name, "link or special"))
