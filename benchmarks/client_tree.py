"""A tree of files like a training set's, and changes of it of every kind that a comparison has to find."""

import os
import random
from pathlib import Path

SIZE = 8192
_BLOCK = 1 << 20
_TOGETHER = 1000
_EPOCH = 1_700_000_000
"""Whole seconds, as S3 tells its objects' times: what is uploaded later is newer than its file."""


def name(number: int) -> str:
    """A thousand files are in each folder."""
    return f"{number // _TOGETHER:04d}/image_{number:07d}.png"


def told(size: int) -> str:
    """A size of files for people."""
    return f"{size >> 20:,} MiB" if size >= 1 << 20 else f"{size >> 10:,} KiB"


def write(root: Path, count: int, size: int = SIZE) -> None:
    """``count`` files of ``size`` random bytes, the same in every run."""
    chance = random.Random(16)
    for number in range(count):
        path = root / name(number)
        if number % _TOGETHER == 0:
            path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            for start in range(0, size, _BLOCK):
                file.write(chance.randbytes(min(_BLOCK, size - start)))
        os.utime(path, (_EPOCH + number, _EPOCH + number))


def change(root: Path, count: int, changes: int) -> dict[str, str]:
    """Changes so many files, a fifth of them in each way; by name, how.

    The sort that only their bytes tell has the size and the time of modification that it had before.
    """
    chance = random.Random(17)
    ways = ("other size", "same size", "same size and time", "new here", "missing here")
    made = {}
    for turn, number in enumerate(sorted(chance.sample(range(count), changes))):
        path, way = root / name(number), ways[turn % len(ways)]
        before = path.stat()
        match way:
            case "other size":
                path.write_bytes(chance.randbytes(before.st_size + 1))
            case "same size":
                path.write_bytes(chance.randbytes(before.st_size))
            case "same size and time":
                path.write_bytes(chance.randbytes(before.st_size))
                os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
            case "new here":
                path = path.with_suffix(".new.png")
                path.write_bytes(chance.randbytes(before.st_size))
            case _:
                path.unlink()
        made[str(path.relative_to(root))] = way
    return made
