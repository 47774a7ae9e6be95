"""Folders that are opened one below the other, and never through a link.

Where the OS can open by a folder's descriptor (POSIX), a folder stays the one that was opened,
whatever its path leads to later; see ``openat`` in https://man7.org/linux/man-pages/man2/open.2.html.
Elsewhere (Windows) each step is checked by its path right before it is used: what was planted before is
found, and what is swapped in within that moment may not be.
"""
# The contract of the methods is the protocol's docstrings; and this is about the calls that pathlib is made of.
# ruff: noqa: D102, PTH102, PTH105, PTH106, PTH108, PTH116, PTH118, PTH208

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, Self

_CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC
_NAME_SURROGATE = 0x2000_0000
_ATTEMPTS = 8
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FILE = _NOFOLLOW | _CLOEXEC | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)

HAS_DESCRIPTORS = (
    {os.open, os.mkdir, os.stat, os.unlink, os.rmdir, os.rename, os.utime} <= os.supports_dir_fd
    and {os.listdir, os.scandir} <= os.supports_fd
    and bool(_NOFOLLOW)
)
"""Whether this OS opens by a folder's descriptor."""


class Folder(Protocol):
    """An open folder. Names are single components; no method follows a link; all raise ``OSError``.

    A context manager that closes it. Threads may share one.
    """

    def child(self, name: str, make: int | None = None) -> Self:
        """The folder in it; made first with mode ``make`` where it is missing and that is given.

        ``OSError`` with ENOTDIR or ELOOP where it is a link or no folder.
        """
        ...

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor of a file in it."""
        ...

    def stat(self, name: str) -> os.stat_result:
        """Of what has that name, of a link itself."""
        ...

    def replace(self, name: str, folder: Self, new: str) -> None:
        """Moves a file to a folder of the same disk, in one step, in place of the file that is there."""
        ...

    def unlink(self, name: str) -> None:
        """Removes a file or a link."""
        ...

    def rmdir(self, name: str) -> None:
        """Removes a folder if it is empty."""
        ...

    def utime(self, name: str, mtime_ns: int) -> None:
        """Sets when a file was modified."""
        ...

    def names(self) -> list[str]:
        """Of all that is in it."""
        ...

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """The same with what the OS tells along with the names; to be used while the folder is open."""
        ...

    def max_name_bytes(self) -> int:
        """How long a name may be, in bytes of UTF-8."""
        ...

    def again(self) -> Self:
        """The same folder, opened once more."""
        ...

    def sync(self) -> None:
        """Waits until the disk has the names that are in it."""
        ...

    def close(self) -> None:
        """Closes it."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class OpenFolder:
    """A folder by its descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def at(cls, path: str) -> Self:
        """The folder that a path leads to, links followed."""
        return cls(os.open(path, _FOLDER))

    def child(self, name: str, make: int | None = None) -> Self:
        try:
            return type(self)(os.open(name, _FOLDER | _NOFOLLOW, dir_fd=self.fd))
        except FileNotFoundError:
            if make is None:
                raise
        with contextlib.suppress(
            FileExistsError
        ):  # another thread made it; if it is something else, the next line tells
            os.mkdir(name, make, dir_fd=self.fd)
        return type(self)(os.open(name, _FOLDER | _NOFOLLOW, dir_fd=self.fd))

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        return os.open(name, flags | _FILE, mode, dir_fd=self.fd)

    def stat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def replace(self, name: str, folder: Self, new: str) -> None:
        os.replace(name, new, src_dir_fd=self.fd, dst_dir_fd=folder.fd)

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self.fd)

    def rmdir(self, name: str) -> None:
        os.rmdir(name, dir_fd=self.fd)

    def utime(self, name: str, mtime_ns: int) -> None:
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=self.fd, follow_symlinks=False)

    def names(self) -> list[str]:
        return os.listdir(self.fd)

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        return os.scandir(self.fd)

    def max_name_bytes(self) -> int:
        return os.fpathconf(self.fd, "PC_NAME_MAX")

    def again(self) -> Self:
        return type(self)(os.dup(self.fd))

    def sync(self) -> None:
        os.fsync(self.fd)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CheckedFolder:
    """A folder by its path, for an OS without descriptors of folders: checked before each use."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def at(cls, path: str) -> Self:
        """The folder that a path leads to, links followed."""
        real = os.path.realpath(path)
        if not stat.S_ISDIR(os.stat(real).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return cls(real)

    def child(self, name: str, make: int | None = None) -> Self:
        path = self._path(name)
        if make is not None:
            with contextlib.suppress(FileExistsError):  # whatever it is, the next lines tell
                os.mkdir(path, make)
        if not _is_plain_folder(os.lstat(path)) or os.path.realpath(path) != path:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return type(self)(path)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        if not flags & os.O_CREAT or flags & os.O_EXCL:
            return self._open(name, flags, mode)
        # Without O_EXCL a file would be made where a link leads that came just now.
        for attempt in range(_ATTEMPTS):
            try:
                is_there = os.path.lexists(self._path(name))
                return self._open(name, flags & ~os.O_CREAT if is_there else flags | os.O_EXCL, mode)
            except (FileNotFoundError, FileExistsError):
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _open(self, name: str, flags: int, mode: int) -> int:
        path = self._path(name)
        if os.path.lexists(path) and _is_link(os.lstat(path)):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        fd = os.open(path, flags | _FILE, mode)
        try:
            if not os.path.samestat(os.fstat(fd), os.lstat(path)):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        except OSError:
            os.close(fd)
            raise
        return fd

    def stat(self, name: str) -> os.stat_result:
        return os.lstat(self._path(name))

    def replace(self, name: str, folder: Self, new: str) -> None:
        os.replace(self._path(name), folder._path(new))

    def unlink(self, name: str) -> None:
        os.unlink(self._path(name))

    def rmdir(self, name: str) -> None:
        os.rmdir(self._path(name))

    def utime(self, name: str, mtime_ns: int) -> None:
        path = self._path(name)
        if _is_link(os.lstat(path)):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        os.utime(path, ns=(mtime_ns, mtime_ns))

    def names(self) -> list[str]:
        return os.listdir(self._path(""))

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        return os.scandir(self._path(""))

    def max_name_bytes(self) -> int:
        return 255

    def again(self) -> Self:
        return type(self)(self.path)

    def sync(self) -> None:
        """Windows does not open folders, and writes their names by itself."""

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _path(self, name: str) -> str:
        """The path of what is in it, once no folder on the way there has become a link."""
        if os.path.realpath(self.path) != self.path:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.path)
        return os.path.join(self.path, name)


def folder_at(path: str) -> Folder:
    """The folder that a path leads to, links followed, in the safest way that this OS has. Raises ``OSError``."""
    return (OpenFolder if HAS_DESCRIPTORS else CheckedFolder).at(path)


def _is_link(found: os.stat_result) -> bool:
    """Whether it is a symbolic link, or a junction or another point where Windows leads elsewhere.

    https://learn.microsoft.com/en-us/windows/win32/fileio/reparse-point-tags tells of the bit.
    """
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE)


def _is_plain_folder(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and not _is_link(found)
