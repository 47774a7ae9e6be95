"""A file on its way to its place: its bytes lie in the working folder until they are all there and proven."""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable
from types import EllipsisType
from typing import NamedTuple, Self

from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.folders import Folder
from s3_manifest_cli.errors import Refused

_RECORD = ".ranges"
_ATTEMPTS = 100


class Identity(NamedTuple):
    """What tells one state of a file from another without its bytes being read. Times are nanoseconds."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def identity_from_stat(found: os.stat_result) -> Identity:
    """The identity that a ``stat`` tells."""
    return Identity(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def identity_at(folder: Folder, name: str) -> Identity | None:
    """The identity of a regular file; None where nothing has that name. Raises ``OSError`` for anything else."""
    try:
        found = folder.stat(name)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
    return identity_from_stat(found)


class Partial:
    """The bytes of one file, under a name of their own in the working folder.

    ``fd`` is open for reading and writing at any offset (``os.pwrite``), from several threads. ``resumed``
    says that the bytes of an earlier run are there; which of them are good is for ``record`` to say. The
    size is whatever was written: cut or lengthen it with ``os.ftruncate``.

    A context manager: what was neither finished nor discarded when the block ends stays for the next run.
    """

    def __init__(
        self, filename: str, name: str, working: Folder, place: Callable[[str], tuple[Folder, str]], mode: int
    ) -> None:
        self.filename = filename
        self._name, self._working, self._place, self._mode = name, working, place, mode
        self._record: int | None = None
        self._is_open = True
        self.fd, self.resumed = _own(working, name)

    @property
    def record(self) -> int:
        """A descriptor of the record of what is there: read and written by who transfers, in any form.

        It is empty unless ``resumed``; made at its first use, as a small file needs none. Not for threads
        without a lock of theirs.
        """
        if self._record is None:
            with disk_errors(self.filename, "not written"):
                if not self.resumed:
                    _drop(self._working, self._name + _RECORD)
                self._record, _ = _own(self._working, self._name + _RECORD)
        return self._record

    def finish(
        self, *, mtime_ns: int | None = None, fsync: bool = False, expected: Identity | EllipsisType | None = ...
    ) -> Identity:
        """Puts the file in its place in one step, its folders made; the identity that it has there.

        ``expected`` is what has to be there before: an identity, None for nothing, ``...`` for whatever
        file there is. Someone who writes to that file between this look and the step just after it loses
        what they wrote. ``fsync`` waits until the disk has it, so that no loss of power takes it back.

        Raises ``Refused`` where a link or a folder is in the way, or what is there is not what was
        expected, and ``Unavailable``; then nothing is under its name that was not before, and the partial
        stays.
        """
        with disk_errors(self.filename, "not written"):
            return self._finish(mtime_ns, fsync, expected)

    def _finish(self, mtime_ns: int | None, fsync: bool, expected: Identity | EllipsisType | None) -> Identity:
        if sys.platform != "win32":  # where modes say nothing
            os.fchmod(self.fd, self._mode)
        if mtime_ns is not None:
            self._working.utime(self._name, mtime_ns)
        if fsync:
            os.fsync(self.fd)
        # Disks across a network may tell only when a file is closed that they are full.
        os.close(os.dup(self.fd))
        folder, name = self._put(expected)
        with folder:
            # Windows does not move what is open. Elsewhere the descriptor tells of this very file, whoever writes next.
            done = identity_from_stat(folder.stat(name) if sys.platform == "win32" else os.fstat(self.fd))
            if fsync:
                folder.sync()
        if self._record is not None or self.resumed:
            _drop(self._working, self._name + _RECORD)
        self.close()
        return done

    def _put(self, expected: Identity | EllipsisType | None) -> tuple[Folder, str]:
        if sys.platform == "win32":
            self.close()
        for attempt in range(_ATTEMPTS):
            folder, name = self._place(self.filename)
            try:
                there = identity_at(folder, name)
                if not isinstance(expected, EllipsisType) and there != expected:
                    raise Refused(
                        f"{self.filename!r} was not written: what is there is not what was there before; run this again"
                    )
                self._working.replace(self._name, folder, name)
            except FileNotFoundError:
                folder.close()
                # Its folder was empty, and so removed by a thread that removed the last file of it.
                if attempt == _ATTEMPTS - 1:
                    raise
            except BaseException:
                folder.close()
                raise
            else:
                return folder, name
        raise AssertionError

    def discard(self) -> None:
        """Closes it and removes its bytes and its record."""
        self.close()
        with disk_errors(self.filename, "not cleaned up"):
            _drop(self._working, self._name)
            _drop(self._working, self._name + _RECORD)

    def close(self) -> None:
        """Closes it; bytes and record stay. A repeat does nothing."""
        if self._is_open:
            self._is_open = False
            os.close(self.fd)
            if self._record is not None:
                os.close(self._record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _own(working: Folder, name: str) -> tuple[int, bool]:
    """A descriptor of a file of the working folder, and whether it was there before.

    What was planted under its name is removed first: a link, or a file that has another name too, which
    would be written through it.
    """
    try:
        return _new(working, name), False
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ELOOP):
            raise
    try:
        fd = working.open(name, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EACCES):
            raise
        _drop(working, name)
    else:
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return fd, True
        os.close(fd)
        _drop(working, name)
    return _new(working, name), False


def _new(working: Folder, name: str) -> int:
    return working.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def _drop(working: Folder, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        working.unlink(name)
