"""Files of a folder, read: each the very file that was looked at, and not changed while it was read."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from s3_manifest_cli.client.scan import Local

_BLOCK = 1 << 20
_AT_ONCE = 8
_TOGETHER = 64
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

Answer = TypeVar("Answer")


class Unread(NamedTuple):
    """Why a file could not be read."""

    why: str


class _Changed(Exception):
    """It is not the file that was looked at, or not any more."""


def read_each(
    folder: Path, files: Sequence[Local], read: Callable[[Local, BinaryIO], Answer]
) -> Iterator[tuple[Local, Answer | Unread]]:
    """What ``read`` makes of each file, several at once and in order.

    A file that cannot be read, or was changed since it was looked at or meanwhile, is ``Unread``. No link is followed:
    what is behind one is another file.
    """

    def answer(local: Local) -> tuple[Local, Answer | Unread]:
        try:
            with _opened(folder, local) as file:
                return local, read(local, file)
        except _Changed:
            return local, Unread("it was changed while it was read; run it again")
        except OSError as error:
            return local, Unread(f"it cannot be read: {error.strerror or error}")

    def together(start: int) -> list[tuple[Local, Answer | Unread]]:
        return [answer(local) for local in files[start : start + _TOGETHER]]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for answers in pool.map(together, range(0, len(files), _TOGETHER)):
                yield from answers
        except BaseException:
            # After Ctrl-C what has begun is finished, and no more.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def md5_of(_local: Local, file: BinaryIO) -> str:
    """The MD5 of the bytes, in hex. For ``read_each``."""
    digest = md5(usedforsecurity=False)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


@contextmanager
def _opened(folder: Path, local: Local) -> Iterator[BinaryIO]:
    fd = os.open(f"{folder}/{local.filename}", _FLAGS)
    with os.fdopen(fd, "rb", buffering=0) as file:
        _same(fd, local)
        yield file
        _same(fd, local)


def _same(fd: int, local: Local) -> None:
    now = os.fstat(fd)
    if (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino) != local[1:]:
        raise _Changed
