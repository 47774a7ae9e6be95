"""Reads local files, each only in the state in which it was scanned."""

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

from s3_manifest.sidecars.captions import MAX_CAPTION_BYTES, can_have_caption, caption_candidates, caption_text
from s3_manifest_cli.client.access.threads import reserved_threads
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.partials import Identity, identity_from_stat
from s3_manifest_cli.client.local.scan import LocalFile, Problem, os_error_reason

if TYPE_CHECKING:
    from typing_extensions import Buffer

_THREADS = 8
_BATCH = 64
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)

Value = TypeVar("Value")


class ReadFailure(NamedTuple):
    """Why a file could not be read. ``is_denied``: the disk refused; otherwise the file changed."""

    reason: str
    is_denied: bool = False

    @property
    def match_result(self) -> str:
        """As ``CheckResult.match_result``: whether the bytes match is unknown."""
        return self.reason


ReadProgress = Callable[[int, int], None]
"""Called with the numbers of files and bytes read so far; from any thread, and many times within a large file."""


def no_progress(_files: int, _bytes: int) -> None:
    """A ``ReadProgress`` that does nothing."""


class FileChanged(Exception):
    """The file changed since it was scanned; the text is for the user."""


def read_files(
    folder: Path,
    files: Sequence[LocalFile],
    read: Callable[[LocalFile, BinaryIO], Value],
    progress: ReadProgress = no_progress,
) -> Iterator[tuple[LocalFile, Value | ReadFailure]]:
    """Calls ``read`` with each file, several in parallel, and yields the results in order.

    A file that cannot be read, or that changed since it was scanned, gives a ``ReadFailure``. Links are not followed.
    """

    def read_one(local: LocalFile) -> tuple[LocalFile, Value | ReadFailure]:
        try:
            with open_unchanged(top, local.filename, local.identity) as file:
                return local, read(local, file if progress is no_progress else _CountedFile(file.fileno(), counter))
        except FileChanged as error:
            return local, ReadFailure(str(error))
        except OSError as error:
            return local, ReadFailure(f"skipped, {os_error_reason(error)}", is_denied=True)
        finally:
            counter.add(files=1)

    def read_batch(start: int) -> list[tuple[LocalFile, Value | ReadFailure]]:
        return list(map(read_one, files[start : start + _BATCH]))

    if not files:
        return
    counter = _Counter(progress)
    with folder_at(str(folder)) as top, reserved_threads(_THREADS) as threads, ThreadPoolExecutor(threads) as pool:
        try:
            for results in pool.map(read_batch, range(0, len(files), _BATCH)):
                yield from results
        except BaseException:
            # After Ctrl-C only the batches that have begun are finished.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def denied_files(results: Mapping[LocalFile, object]) -> list[Problem]:
    """The files among results of ``read_files`` that the disk refused to read."""
    return [
        Problem(file.filename, result.reason)
        for file, result in results.items()
        if isinstance(result, ReadFailure) and result.is_denied
    ]


class _Counter:
    """Counts what several threads read."""

    def __init__(self, progress: ReadProgress) -> None:
        self._progress = progress
        self._files = self._bytes = 0
        self._lock = Lock()

    def add(self, files: int = 0, size_bytes: int = 0) -> None:
        with self._lock:
            self._files += files
            self._bytes += size_bytes
            self._progress(self._files, self._bytes)


class _CountedFile(io.FileIO):
    """An open file that counts the bytes of each read."""

    def __init__(self, fd: int, counter: _Counter) -> None:
        super().__init__(fd, closefd=False)
        self._counter = counter

    def readinto(self, into: "Buffer", /) -> int:
        count = super().readinto(into)
        self._counter.add(size_bytes=count)
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        block: bytes = super().read(size)
        self._counter.add(size_bytes=len(block))
        return block


@contextmanager
def open_unchanged(top: Folder, filename: str, identity: Identity) -> Iterator[BinaryIO]:
    """Opens a file as ``open_file`` does, if it has this identity now and still has it when the block ends.

    Raises ``FileChanged``, ``OSError``.
    """
    with open_file(top, filename) as file:
        _check_identity(file, identity)
        yield file
        _check_identity(file, identity)


def open_file(top: Folder, filename: str) -> BinaryIO:
    """Opens a regular file below a folder, unbuffered. Follows no link and waits for no pipe. Raises ``OSError``."""
    *parents, name = filename.split("/")
    with top.descend(parents) as folder:
        fd = folder.open(name, _FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ENXIO, "it is not a regular file", filename)
    return os.fdopen(fd, "rb", buffering=0)


def _check_identity(file: BinaryIO, identity: Identity) -> None:
    if identity_from_stat(os.fstat(file.fileno())) != identity:
        raise FileChanged("the file changed during this run; run the command again")


def caption_prompt(source: Folder, filename: str) -> str | None:
    """The text of the first caption beside an image or a video that has one, as in its manifest; None without one."""
    if not can_have_caption(filename):
        return None
    for caption in caption_candidates(filename):
        with suppress(OSError), open_file(source, caption) as file:
            body = file.read(MAX_CAPTION_BYTES + 1)
            if len(body) <= MAX_CAPTION_BYTES and (text := caption_text(caption, body)):
                return text
    return None
