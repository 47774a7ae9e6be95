"""A folder below which files are written, and never outside it, whatever their names and whatever links exist.

Each path component is opened from the one before and never through a link (``folders``), so a link that was planted
before, or is swapped in during the run, leads nowhere. Where the OS has no descriptors of folders (Windows), each
component is checked right before its use instead.

This protects from untrusted names and links. It does not protect from a process that can move folders with this user's
permissions: a folder that is moved while it is open takes along the files that are being written to it.
"""

import errno
import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Self

from s3_manifest.manifest.filenames import WORKING_FOLDER
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.file_system import FileSystem, detect_file_system, mode_of_new_files
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.names import invalid_name_reason
from s3_manifest_cli.client.local.partials import Identity, Partial, identity_at
from s3_manifest_cli.client.local.reading import NotRegularFile, open_file
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
        self._open_root: Callable[[str], Folder] = folder_at

    def __enter__(self) -> Self:
        with disk_errors(str(self.root), "not opened"):
            self.root.mkdir(parents=True, exist_ok=True)
            self._root = self._open_root(str(self.root))
        try:
            with disk_errors(f"{self.root}/{WORKING_FOLDER}", "not opened"):
                self._working, self._lock = self._lock_working_folder()
        except BaseException:
            self._root.close()
            raise
        try:
            with disk_errors(f"{self.root}/{WORKING_FOLDER}", "not written"):
                self._mode = mode_of_new_files(self._working)
                self.file_system = detect_file_system(self._working, os.path.realpath(self.root))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
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
            self._root.close()

    def partial(self, filename: str, token: str) -> Partial:
        """The partial that an earlier run left for this filename and token, or a new one.

        ``token`` identifies the content (an ETag, a version). Open only one partial of a filename and token at a time.
        """
        self._split(filename)
        with disk_errors(filename, "not written"):
            return Partial(filename, _partial_name(filename, token), self._working, self._locate_or_create, self._mode)

    def identity(self, filename: str) -> Identity | None:
        """The identity of the existing file; None where there is none."""
        with disk_errors(filename, "not read"):
            try:
                folder, name = self._locate(filename)
            except FileNotFoundError:
                return None
            with folder:
                return identity_at(folder, name)

    def open_read(self, filename: str) -> BinaryIO:
        """Opens a regular file for reading, unbuffered. Raises ``NotFound``."""
        self._split(filename)
        with disk_errors(filename, "not read"):
            try:
                return open_file(self._root, filename)
            except FileNotFoundError as error:
                raise NotFound(f"{filename!r} was not read: there is no such file in {self.root}.") from error
            except NotRegularFile as error:
                reason = f"{filename!r} was not read: it is not a regular file."
                raise Refused(reason, remedy="Remove or rename it.") from error

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
        names = {_partial_name(filename, token) for filename, token in keep}
        removed = 0
        with disk_errors(f"{self.root}/{WORKING_FOLDER}", "not tidied"):
            for name in self._working.names():
                if name != _LOCK and name.partition(".")[0] not in names:
                    try:
                        self._working.unlink(name)
                    except (IsADirectoryError, PermissionError):
                        continue  # a folder, which this client did not create
                    removed += 1
        return removed

    def _split(self, filename: str) -> list[str]:
        if reason := invalid_name_reason(filename, self.file_system):
            raise Invalid(f"{filename!r}: {reason}")
        return filename.split("/")

    def _locate(self, filename: str) -> tuple[Folder, str]:
        """Opens the folder of a file; returns it with the file's name in it."""
        *parents, name = self._split(filename)
        return self._root.descend(parents), name

    def _locate_or_create(self, filename: str) -> tuple[Folder, str]:
        *parents, name = self._split(filename)
        for attempt in range(_ATTEMPTS):
            try:
                return self._root.descend(parents, 0o777), name
            except FileNotFoundError:
                # Another thread removed the last file of a folder, and so the folder.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _remove_empty(self, parts: list[str]) -> None:
        for depth in range(len(parts), 0, -1):
            try:
                with self._root.descend(parts[: depth - 1]) as folder:
                    folder.rmdir(parts[depth - 1])
            except OSError as error:
                if error.errno in _FOLDER_STAYS:
                    return
                raise

    def _lock_working_folder(self) -> tuple[Folder, int]:
        for _ in range(_ATTEMPTS):
            try:
                working = self._root.child(WORKING_FOLDER, 0o700)
            except FileNotFoundError:
                continue  # another run just ended, and removed the folder
            try:
                lock = acquire_lock(working, _LOCK)
            except FileNotFoundError:
                working.close()
                continue
            except BaseException:
                working.close()
                raise
            if lock is not None:
                return working, lock
            working.close()
            break
        raise Refused(f"{self.root} is in use by another run.", remedy="Wait until it has ended, or stop it.")


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


def _partial_name(filename: str, token: str) -> str:
    """A name of fixed length without the filename's characters, which may be any."""
    digest = hashlib.blake2b(f"{len(filename)}:{filename}{token}".encode(errors="surrogatepass"), digest_size=16)
    return digest.hexdigest()


def acquire_lock(folder: Folder, name: str) -> int | None:
    """A descriptor that holds the lock file ``name`` until it is closed; None while another process holds it.

    The kernel releases the lock when the process dies. Raises ``FileNotFoundError`` if the folder or the lock file
    was removed: open the folder again and retry. Raises ``OSError``.
    """
    fd = folder.open(name, os.O_RDWR | os.O_CREAT)
    try:
        try:
            if sys.platform == "win32":
                msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(fd)
            return None
        # The previous holder removes the file when it ends, and a lock on a removed file excludes no process.
        if not os.path.samestat(os.fstat(fd), folder.stat(name)):
            raise FileNotFoundError(name)
    except OSError:
        os.close(fd)
        raise
    return fd
