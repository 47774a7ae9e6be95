"""Files being downloaded: their bytes stay in the working folder until they are complete and proven."""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable
from types import EllipsisType
from typing import NamedTuple

from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.folders import Folder
from s3_manifest_cli.errors import Refused

_RECORD = ".ranges"
_ATTEMPTS = 100


class Identity(NamedTuple):
    """Identifies a state of a file without reading its bytes. Times are nanoseconds."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def identity_from_stat(status: os.stat_result) -> Identity:
    """The identity in a result of ``stat``."""
    return Identity(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def identity_at(folder: Folder, name: str) -> Identity | None:
    """The identity of a regular file; None where there is none. Raises ``OSError`` where there is anything else."""
    try:
        status = folder.stat(name)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ELOOP
        raise OSError(number, os.strerror(number), name)
    return identity_from_stat(status)


class Partial(contextlib.AbstractContextManager["Partial"]):
    """The bytes of one file, under a separate name in the working folder.

    ``fd`` is open for reading and writing at any offset (``os.pwrite``), from several threads. ``resumed``: it has
    bytes of an earlier run; the caller keeps in ``record`` which of them are valid. Set the size with
    ``os.ftruncate``.

    A context manager: a partial that was neither finished nor discarded when the block ends stays for the next run.
    """

    def __init__(
        self, filename: str, name: str, working: Folder, locate: Callable[[], tuple[Folder, str]], mode: int
    ) -> None:
        """``locate`` opens the file's folder, creating it if needed; ``mode`` is that of the finished file."""
        self.filename = filename
        self._name, self._working, self._locate, self._mode = name, working, locate, mode
        self._record: int | None = None
        self._is_open = True
        self.fd, self.resumed = _open_own(working, name)

    @property
    def record(self) -> int:
        """A descriptor of a file in which the caller records, in any format, which bytes are valid.

        It is empty unless ``resumed``, and is created at its first use because small files need none. Not thread-safe.
        """
        if self._record is None:
            with disk_errors(self.filename, "not written"):
                if not self.resumed:
                    _remove(self._working, self._name + _RECORD)
                self._record, _ = _open_own(self._working, self._name + _RECORD)
        return self._record

    def finish(self, *, mtime_ns: int | None = None, expected: Identity | EllipsisType | None = ...) -> Identity:
        """Moves the file to its place in one step, creating its folders; returns its identity there.

        ``expected`` is what must be there before: an identity, None for no file, ``...`` for any file. A change made
        between that check and the move is lost.

        Raises ``Refused`` where a link or a folder is in the way or the file there is not the expected one, and
        ``Unavailable``. Then nothing changed under the filename, and the partial stays.
        """
        with disk_errors(self.filename, "not written"):
            if sys.platform != "win32":  # where modes mean nothing
                os.fchmod(self.fd, self._mode)
            if mtime_ns is not None:
                self._working.utime(self._name, mtime_ns)
            # Network file systems may report a full disk only when a file is closed.
            os.close(os.dup(self.fd))
            identity = self._move(expected)
            if self._record is not None or self.resumed:
                _remove(self._working, self._name + _RECORD)
            self.close()
            return identity

    def _move(self, expected: Identity | EllipsisType | None) -> Identity:
        if sys.platform == "win32":
            self.close()
        for attempt in range(_ATTEMPTS):
            try:
                folder, name = self._locate()
                with folder:
                    existing = identity_at(folder, name)
                    if not isinstance(expected, EllipsisType) and existing != expected:
                        raise Refused(
                            f"{self.filename!r} was not written: the local file changed meanwhile.",
                            remedy="Run the command again.",
                        )
                    self._working.replace(self._name, folder, name)
                    # Windows does not move open files. Elsewhere the descriptor is this file even if it is replaced.
                    status = folder.stat(name) if sys.platform == "win32" else os.fstat(self.fd)
                    return identity_from_stat(status)
            except FileNotFoundError:
                # Another thread removed the last file of its folder, and so the folder.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def discard(self) -> None:
        """Closes it and removes its bytes and its record."""
        self.close()
        with disk_errors(self.filename, "not cleaned up"):
            _remove(self._working, self._name)
            _remove(self._working, self._name + _RECORD)

    def close(self) -> None:
        """Closes it; bytes and record stay. A second call does nothing."""
        if self._is_open:
            self._is_open = False
            os.close(self.fd)
            if self._record is not None:
                os.close(self._record)

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_own(working: Folder, name: str) -> tuple[int, bool]:
    """A descriptor of a file of the working folder, and whether it existed.

    A planted link, or a hard link through which another file would be written, is removed first.
    """
    try:
        return _create(working, name), False
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ELOOP):
            raise
    try:
        fd = working.open(name, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            return fd, True
        os.close(fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES):
            raise
    _remove(working, name)
    return _create(working, name), False


def _create(working: Folder, name: str) -> int:
    return working.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def _remove(working: Folder, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        working.unlink(name)
