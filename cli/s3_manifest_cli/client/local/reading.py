"""Files of a folder, read: each the very file that was looked at, and not changed while it was read."""

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar, cast

from s3_manifest.sidecars.formats import MAX_CAPTION_BYTES, captions_of, is_captioned, text_of_caption
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.partials import Identity, identity_from_stat
from s3_manifest_cli.client.local.scan import LocalFile, denied

if TYPE_CHECKING:
    from typing_extensions import Buffer

_AT_ONCE = 8
_TOGETHER = 64
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)

Answer = TypeVar("Answer")


class ReadFailure(NamedTuple):
    """Why a file could not be read; ``is_denied``: by the disk, and not because it was changed meanwhile."""

    reason: str
    is_denied: bool = False


ReadProgress = Callable[[int, int], None]
"""Told of files and bytes, how many were read so far; from any thread, and many times within a large file."""


def no_progress(_files: int, _bytes: int) -> None:
    """Hears how much was read, and does nothing."""


class FileChanged(Exception):
    """It is not the file that was looked at, or not any more; the text says so."""


def read_files(
    folder: Path,
    files: Sequence[LocalFile],
    read: Callable[[LocalFile, BinaryIO], Answer],
    progress: ReadProgress = no_progress,
) -> Iterator[tuple[LocalFile, Answer | ReadFailure]]:
    """Calls ``read`` with each file, several in parallel, and yields the results in order.

    A file that cannot be read, or that changed since it was scanned, gives a ``ReadFailure``. Links are not followed.
    ``progress`` gets the files and bytes read so far.
    """

    def answer(local: LocalFile) -> tuple[LocalFile, Answer | ReadFailure]:
        try:
            with open_unchanged(top, local.filename, local.identity) as file:
                return local, read(local, counter.watched(file))
        except FileChanged as error:
            return local, ReadFailure(str(error))
        except OSError as error:
            return local, ReadFailure(f"skipped, {denied(error)}", is_denied=True)
        finally:
            counter.file_done()

    def together(start: int) -> list[tuple[LocalFile, Answer | ReadFailure]]:
        return [answer(local) for local in files[start : start + _TOGETHER]]

    if not files:
        return
    counter = _Counter(progress)
    with folder_at(str(folder)) as top, ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for answers in pool.map(together, range(0, len(files), _TOGETHER)):
                yield from answers
        except BaseException:
            # After Ctrl-C what has begun is finished, and no more.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Counter:
    """Counts what many threads read."""

    def __init__(self, progress: ReadProgress) -> None:
        self._progress = progress
        self._files = self._bytes = 0
        self._lock = Lock()

    def watched(self, file: BinaryIO) -> BinaryIO:
        return file if self._progress is no_progress else cast("BinaryIO", _Watched(file, self.read))

    def read(self, size: int) -> None:
        with self._lock:
            self._bytes += size
            self._progress(self._files, self._bytes)

    def file_done(self) -> None:
        with self._lock:
            self._files += 1
            self._progress(self._files, self._bytes)


class _Watched(io.RawIOBase):
    """A file open for reading, each read of which is told."""

    def __init__(self, file: BinaryIO, read: Callable[[int], None]) -> None:
        self._file = file
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, into: "Buffer", /) -> int:
        count = self._file.readinto(into)  # type: ignore[attr-defined]  # it is unbuffered, and has it
        self._read(count)
        return int(count)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def fileno(self) -> int:
        return self._file.fileno()


@contextmanager
def open_unchanged(top: Folder, filename: str, identity: Identity) -> Iterator[BinaryIO]:
    """The file, open for reading and unbuffered, if it is in that state, and only if it still is when the block ends.

    Raises ``FileChanged``, ``OSError``.
    """
    with open_file(top, filename) as file:
        _same(file, identity)
        yield file
        _same(file, identity)


def open_file(top: Folder, filename: str) -> BinaryIO:
    """A regular file below a folder, reached through no link. Raises ``OSError``."""
    *parents, name = filename.split("/")
    folder = top.again()
    for part in parents:
        with folder:
            folder = folder.child(part)
    with folder:
        fd = folder.open(name, _FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", filename)
    return os.fdopen(fd, "rb", buffering=0)


def _same(file: BinaryIO, identity: Identity) -> None:
    if identity_from_stat(os.fstat(file.fileno())) != identity:
        raise FileChanged("it was changed since it was looked at; run this again")


def caption_prompt(source: Folder, filename: str) -> str | None:
    """What the first caption beside an image or a video says; None where none says anything, as in its manifest."""
    if not is_captioned(filename):
        return None
    texts = (_text(source, caption) for caption in captions_of(filename))
    return next((text for text in texts if text), None)


def _text(source: Folder, caption: str) -> str | None:
    try:
        with open_file(source, caption) as file:
            body = file.read(MAX_CAPTION_BYTES + 1)
    except OSError:
        return None
    return text_of_caption(caption, body) if len(body) <= MAX_CAPTION_BYTES else None
