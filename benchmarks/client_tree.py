"""A tree of files like a training set, and changes of every kind that a comparison must find."""

import os
import random
from pathlib import Path

SIZE = 8192
_BLOCK = 1 << 20
_TOGETHER = 1000
_EPOCH = 1_700_000_000
"""Whole seconds, as in S3: objects that are uploaded later are newer than their files."""


def name(number: int) -> str:
    """The name of a file; each folder has a thousand files."""
    return f"{number // _TOGETHER:04d}/image_{number:07d}.png"


def human_size(size: int) -> str:
    """A file size for people."""
    return f"{size >> 20:,} MiB" if size >= 1 << 20 else f"{size >> 10:,} KiB"


def write(root: Path, count: int, size: int = SIZE) -> None:
    """Writes ``count`` files of ``size`` random bytes, the same in every run."""
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
    """Changes ``changes`` files, a fifth of them in each way; the kind of change by name.

    One kind keeps size and modification time: only the bytes differ.
    """
    chance = random.Random(17)
    kinds = ("other size", "same size", "same size and time", "new here", "missing here")
    changed = {}
    for index, number in enumerate(sorted(chance.sample(range(count), changes))):
        path, kind = root / name(number), kinds[index % len(kinds)]
        before = path.stat()
        match kind:
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
        changed[str(path.relative_to(root))] = kind
    return changed
