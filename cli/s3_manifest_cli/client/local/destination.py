"""A folder below which files are written, and never outside it, whatever their names and whatever links exist.

``folders`` opens each path component without following a link. That protects from untrusted names and links, not from a
process that can move folders with this user's permissions: a folder that is moved while it is open takes along the
files that are being written to it.
"""

import errno
import functools
import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Self

from s3_manifest.manifest.filenames import WORKING_FOLDER
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.file_system import FileSystem, detect_file_system, mode_of_new_files
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.names import invalid_name_reason
from s3_manifest_cli.client.local.partials import Identity, Partial, identity_at
from s3_manifest_cli.client.local.reading import open_file
from s3_manifest_cli.client.local.state_files import stable_name
from s3_manifest_cli.errors import Invalid, NotFound, Refused

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCK = "lock"
_ATTEMPTS = 100


class Destination:
    """A local folder, locked for one run while the block of its context manager runs.

    The root may be a link, and is created where it is missing. Its working folder ``.s3-manifest`` holds the partials
    and the lock; ``Refused`` if another run has the lock. The working folder is removed when the block ends, unless
    partials remain for the next run.

    Filenames are paths below the root with ``/``. Threads may call methods for different files. Each method raises
    ``Invalid`` for a name that cannot be a file here (``names``), ``Refused`` where a link or something else is in the
    way, and ``Unavailable`` where the disk fails; each error names the file. ``file_system`` has this disk's rules for
    names.
    """

    file_system: FileSystem

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            with disk_errors(str(self.root), "not opened"):
                self.root.mkdir(parents=True, exist_ok=True)
                self._root = opened.enter_context(folder_at(str(self.root)))
            with disk_errors(f"{self.root}/{WORKING_FOLDER}", "not opened"):
                self._working, self._lock = self._lock_working_folder()
            opened.callback(self._release_working_folder)
            with disk_errors(f"{self.root}/{WORKING_FOLDER}", "not written"):
                self._mode = mode_of_new_files(self._working)
                self.file_system = detect_file_system(self._working, os.path.realpath(self.root))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def partial(self, filename: str, token: str) -> Partial:
        """The partial that an earlier run left for this filename and token, or a new one.

        ``token`` identifies the content (an ETag, a version). Open only one partial of a filename and token at a time.
        """
        self._split(filename)
        with disk_errors(filename, "not written"):
            name, locate = stable_name(filename, token), functools.partial(self._locate, filename, 0o777)
            return Partial(filename, name, self._working, locate, self._mode)

    def identity(self, filename: str) -> Identity | None:
        """The identity of the existing file; None where there is none."""
        with disk_errors(filename, "not read"), suppress(FileNotFoundError):
            folder, name = self._locate(filename)
            with folder:
                return identity_at(folder, name)
        return None

    def open_read(self, filename: str) -> BinaryIO:
        """Opens a regular file for reading, unbuffered. Raises ``NotFound``."""
        self._split(filename)
        with disk_errors(filename, "not read"):
            try:
                return open_file(self._root, filename)
            except FileNotFoundError as error:
                raise NotFound(f"{filename!r} was not read: there is no such file in {self.root}.") from error

    def remove(self, filename: str, expected: Identity) -> bool:
        """Removes the file with that identity, and the folders that this leaves empty; False if there is no file.

        Raises ``Refused`` where the file is not the expected one. A change made right after that check is lost.
        """
        with disk_errors(filename, "not removed"):
            try:
                folder, name = self._locate(filename)
                with folder:
                    existing = identity_at(folder, name)
                    if existing is None:
                        return False
                    if existing != expected:
                        reason = f"{filename!r} was not removed: the file changed meanwhile."
                        raise Refused(reason, remedy="Run the command again.")
                    folder.unlink(name)
            except FileNotFoundError:
                return False
            self._remove_empty(self._split(filename)[:-1])
        return True

    def tidy(self, keep: Iterable[tuple[str, str]] = ()) -> int:
        """Removes files that earlier runs left in the working folder, except the partials of these (filename, token).

        No other partial may be open. Returns the number of removed files.
        """
        names = {stable_name(filename, token) for filename, token in keep}
        removed = 0
        with disk_errors(f"{self.root}/{WORKING_FOLDER}", "not tidied"):
            for name in self._working.names():
                if name != _LOCK and name.partition(".")[0] not in names:
                    with suppress(IsADirectoryError, PermissionError):  # a folder, which this client did not create
                        self._working.unlink(name)
                        removed += 1
        return removed

    def _split(self, filename: str) -> list[str]:
        if reason := invalid_name_reason(filename, self.file_system):
            raise Invalid(f"{filename!r}: {reason}")
        return filename.split("/")

    def _locate(self, filename: str, make: int | None = None) -> tuple[Folder, str]:
        """Opens the folder of a file, as ``Folder.descend``; returns it with the file's name in it."""
        *parents, name = self._split(filename)
        return self._root.descend(parents, make), name

    def _remove_empty(self, parts: list[str]) -> None:
        while parts:
            *parts, name = parts
            try:
                with self._root.descend(parts) as folder:
                    folder.rmdir(name)
            except OSError as error:
                if error.errno in _FOLDER_STAYS:
                    return
                raise

    def _lock_working_folder(self) -> tuple[Folder, int]:
        for _ in range(_ATTEMPTS):
            # A run that ends removes the lock and the folder at any moment.
            with suppress(FileNotFoundError), ExitStack() as opened:
                working = opened.enter_context(self._root.child(WORKING_FOLDER, 0o700))
                lock = working.open(_LOCK, os.O_RDWR | os.O_CREAT)
                opened.callback(os.close, lock)
                if not _lock(lock):
                    break
                # A lock on a removed file excludes no process.
                if os.path.samestat(os.fstat(lock), working.stat(_LOCK)):
                    opened.pop_all()
                    return working, lock
        raise Refused(f"{self.root} is in use by another run.", remedy="Wait until it has ended, or stop it.")

    def _release_working_folder(self) -> None:
        try:
            if sys.platform == "win32":
                os.close(self._lock)
            self._working.unlink(_LOCK)
            self._root.rmdir(WORKING_FOLDER)
        except OSError as error:
            if error.errno not in _FOLDER_STAYS:
                raise
        finally:
            if sys.platform != "win32":
                os.close(self._lock)
            self._working.close()


_FOLDER_STAYS = {
    errno.ENOTEMPTY,
    errno.EEXIST,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EBUSY,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
}
"""Errors of removing a folder that are ignored."""


def _lock(fd: int) -> bool:
    """Locks a file until it is closed or the process dies; returns whether no other process has the lock."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
