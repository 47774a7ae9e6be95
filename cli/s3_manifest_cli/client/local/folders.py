"""Opens folders one below the other, and never through a link.

Where the OS opens files relative to a folder's descriptor (POSIX), an open folder stays the same one, wherever its path
leads later; see ``openat`` in https://man7.org/linux/man-pages/man2/open.2.html. Elsewhere (Windows) each path is
checked right before it is used: links that were planted before are found, but not one swapped in at that moment.
"""
# These classes wrap the calls that pathlib is made of; CheckedFolder's methods have the contracts of Folder's.
# ruff: noqa: D102, PTH102, PTH116, PTH118

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Self

_CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC
_NAME_SURROGATE = 0x2000_0000
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FILE = _NOFOLLOW | _CLOEXEC | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)

HAS_DESCRIPTORS = (
    {os.open, os.mkdir, os.stat, os.unlink, os.rmdir, os.rename, os.utime} <= os.supports_dir_fd
    and {os.listdir, os.scandir} <= os.supports_fd
    and bool(_NOFOLLOW)
)
"""Whether this OS opens files relative to a folder's descriptor."""


class Folder(AbstractContextManager["Folder"]):
    """An open folder. Names are single path components; no method follows a link; all raise ``OSError``.

    A context manager that closes it. Threads may share one.
    """

    _dir_fd: int | None

    def __init__(self, fd: int) -> None:
        self.fd = self._dir_fd = fd

    @classmethod
    def at(cls, path: str) -> Self:
        """Opens a path, following links."""
        return cls(os.open(path, _FOLDER))

    def child(self, name: str, make: int | None = None) -> Self:
        """Opens a subfolder. Creates it with mode ``make``, if given, where it is missing.

        ``OSError`` with ENOTDIR or ELOOP where it is a link or no folder.
        """
        try:
            return type(self)(os.open(name, _FOLDER | _NOFOLLOW, dir_fd=self.fd))
        except FileNotFoundError:
            if make is None:
                raise
        with contextlib.suppress(FileExistsError):  # another thread made it; the next line fails if it is no folder
            os.mkdir(name, make, dir_fd=self.fd)
        return type(self)(os.open(name, _FOLDER | _NOFOLLOW, dir_fd=self.fd))

    def descend(self, parts: Iterable[str], make: int | None = None) -> Self:
        """Opens the folder at the end of a relative path, as ``child`` does at each step; a new handle of this one."""
        folder = self.reopen()
        for part in parts:
            with folder:
                folder = folder.child(part, make)
        return folder

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        return os.open(name, flags | _FILE, mode, dir_fd=self.fd)

    def stat(self, name: str) -> os.stat_result:
        """The status of a file, a folder, or a link itself."""
        return os.stat(self._at(name), dir_fd=self._dir_fd, follow_symlinks=False)

    def replace(self, name: str, folder: Self, new: str) -> None:
        """Moves a file atomically to a folder of the same disk, replacing the file there."""
        os.replace(self._at(name), folder._at(new), src_dir_fd=self._dir_fd, dst_dir_fd=folder._dir_fd)

    def unlink(self, name: str) -> None:
        os.unlink(self._at(name), dir_fd=self._dir_fd)

    def rmdir(self, name: str) -> None:
        os.rmdir(self._at(name), dir_fd=self._dir_fd)

    def utime(self, name: str, mtime_ns: int) -> None:
        """Sets a file's modification time."""
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=self.fd, follow_symlinks=False)

    def names(self) -> list[str]:
        with self.entries() as entries:
            return [entry.name for entry in entries]

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Its entries with the facts that the OS lists; to be used while the folder is open."""
        return os.scandir(self.fd)

    def max_name_bytes(self) -> int:
        """The longest name it can hold, in bytes of UTF-8."""
        return os.fpathconf(self.fd, "PC_NAME_MAX")

    def reopen(self) -> Self:
        """A second handle of the same folder."""
        return type(self)(os.dup(self.fd))

    def close(self) -> None:
        os.close(self.fd)

    def __exit__(self, *_: object) -> None:
        self.close()

    def _at(self, name: str) -> str:
        """The path of an entry, relative to the folder's descriptor if there is one."""
        return name


class CheckedFolder(Folder):
    """A folder by its path, for an OS without descriptors of folders: checked before each use."""

    _dir_fd = None

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def at(cls, path: str) -> Self:
        real = os.path.realpath(path)
        if not stat.S_ISDIR(os.stat(real).st_mode):
            raise _os_error(errno.ENOTDIR, path)
        return cls(real)

    def child(self, name: str, make: int | None = None) -> Self:
        path = self._at(name)
        if make is not None:
            with contextlib.suppress(FileExistsError):  # the next lines fail if it is no folder
                os.mkdir(path, make)
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or _is_link(status) or os.path.realpath(path) != path:
            raise _os_error(errno.ENOTDIR, path)
        return type(self)(path)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        if flags & os.O_CREAT and not flags & os.O_EXCL:
            # Without O_EXCL, a link planted just now would have the file created where it leads.
            with contextlib.suppress(FileExistsError):
                return self.open(name, flags | os.O_EXCL, mode)
            flags &= ~os.O_CREAT
        path = self._at(name)
        if os.path.lexists(path) and _is_link(os.lstat(path)):
            raise _os_error(errno.ELOOP, path)
        fd = os.open(path, flags | _FILE, mode)
        try:
            if not os.path.samestat(os.fstat(fd), os.lstat(path)):
                raise _os_error(errno.ELOOP, path)
        except OSError:
            os.close(fd)
            raise
        return fd

    def utime(self, name: str, mtime_ns: int) -> None:
        path = self._at(name)
        if _is_link(os.lstat(path)):
            raise _os_error(errno.ELOOP, path)
        os.utime(path, ns=(mtime_ns, mtime_ns))

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        return os.scandir(self._at(""))

    def max_name_bytes(self) -> int:
        return 255

    def reopen(self) -> Self:
        return type(self)(self.path)

    def close(self) -> None:
        """Nothing is open."""

    def _at(self, name: str) -> str:
        """The path of an entry. Raises ``OSError`` if a folder on the way there has become a link."""
        if os.path.realpath(self.path) != self.path:
            raise _os_error(errno.ENOTDIR, self.path)
        return os.path.join(self.path, name)


def folder_at(path: str) -> Folder:
    """Opens a path, following links, in the safest way that this OS has. Raises ``OSError``."""
    return (Folder if HAS_DESCRIPTORS else CheckedFolder).at(path)


def _is_link(status: os.stat_result) -> bool:
    """Whether it is a symbolic link, or a Windows junction or another reparse point that leads elsewhere.

    The bit is described in https://learn.microsoft.com/en-us/windows/win32/fileio/reparse-point-tags.
    """
    return stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_reparse_tag", 0) & _NAME_SURROGATE)


def _os_error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
