"""A folder that files are written below, and nowhere else, whatever their names and whatever links there are.

Every component is opened from the one before and never through a link (``folders``), so a link that was
planted before or is swapped in during the run leads nowhere. Where the OS has no descriptors of folders
(Windows), each component is checked right before its use instead.

The guard is against names and links that strangers chose. It is none against somebody who may move the
folders themselves about with the rights of this user: a folder that was opened and is then moved elsewhere
takes with it what is put into it in that moment.
"""

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Self

from s3_manifest.manifest.filenames import WORKING
from s3_manifest_cli.client.local import names
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.file_system import detect_file_system, mode_of_new_files
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.names import FileSystem
from s3_manifest_cli.client.local.partials import Identity, Partial, identity_at
from s3_manifest_cli.errors import Invalid, NotFound, Refused

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCK = "lock"
_ATTEMPTS = 100


class Destination:
    """A folder on this machine, for as long as the block of its context manager runs.

    The root may be reached through a link, and is made where it is missing. Its working folder,
    ``.s3-manifest``, holds what is on its way and the lock: ``Refused`` where another run has that. The
    working folder goes when the block ends, unless partials are left for the next run.

    Filenames are paths below the root with ``/``. Methods may be called from several threads, for several
    files. Each raises ``Invalid`` for a name that no file here may have (see ``names``), ``Refused`` where
    a link or something else is in the way, and ``Unavailable`` for what the disk does not do; each names
    the file.

    ``file_system`` says which names this disk can hold, and which it takes for one; probed with real files.
    """

    file_system: FileSystem

    def __init__(self, root: Path) -> None:
        self.root = root
        self._at: Callable[[str], Folder] = folder_at

    def __enter__(self) -> Self:
        with disk_errors(str(self.root), "not opened"):
            self.root.mkdir(parents=True, exist_ok=True)
            self._root = self._at(str(self.root))
        try:
            with disk_errors(f"{self.root}/{WORKING}", "not opened"):
                self._working, self._lock = self._take()
        except BaseException:
            self._root.close()
            raise
        try:
            with disk_errors(f"{self.root}/{WORKING}", "not written"):
                self._mode = mode_of_new_files(self._working)
                self.file_system = detect_file_system(self._working, os.path.realpath(self.root))
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def partial(self, filename: str, token: str) -> Partial:
        """The file on its way: the one an earlier run left for the same filename and token, or a new one.

        ``token`` stands for what its bytes are to be (an ETag, a version). Two partials of one filename and
        token must not be open at once.
        """
        self._parts(filename)
        with disk_errors(filename, "not written"):
            return Partial(filename, _partial_name(filename, token), self._working, self._made_place, self._mode)

    def identity(self, filename: str) -> Identity | None:
        """What tells the state of the file that is there; None where there is none."""
        with disk_errors(filename, "not looked at"):
            try:
                folder, name = self._place(filename)
            except FileNotFoundError:
                return None
            with folder:
                return identity_at(folder, name)

    def open_read(self, filename: str) -> BinaryIO:
        """The file, open for reading and unbuffered. Only a regular one: no pipe or device is waited for.

        Raises ``NotFound``.
        """
        with disk_errors(filename, "not read"):
            try:
                folder, name = self._place(filename)
                with folder:
                    fd = folder.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            except FileNotFoundError as error:
                raise NotFound(f"{filename!r} was not read: there is no such file in {self.root}") from error
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise Refused(f"{filename!r} was not read: it is not a regular file; remove or rename it")
            return os.fdopen(fd, "rb", buffering=0)

    def remove(self, filename: str, expected: Identity) -> bool:
        """Removes the file that was looked at, and the folders that became empty by it; False where none is there.

        Raises ``Refused`` where another file, or another state of it, has its name by now. Someone who puts
        another file there between that look and the removal right after it loses it.
        """
        with disk_errors(filename, "not removed"):
            try:
                folder, name = self._place(filename)
                with folder:
                    there = identity_at(folder, name)
                    if there is not None and there != expected:
                        raise Refused(f"{filename!r} was not removed: it was changed meanwhile; look at it again")
                    if there is None:
                        return False
                    folder.unlink(name)
            except FileNotFoundError:
                return False
            self._remove_empty(self._parts(filename)[:-1])
        return True

    def tidy(self, wanted: Iterable[tuple[str, str]] = ()) -> int:
        """Removes what earlier runs left in the working folder, but for the partials of these (filename, token).

        No other partial may be open. Returns how many files were removed.
        """
        kept = {_partial_name(*one) for one in wanted}
        removed = 0
        with disk_errors(f"{self.root}/{WORKING}", "not tidied"):
            for name in self._working.names():
                if name != _LOCK and name.partition(".")[0] not in kept:
                    try:
                        self._working.unlink(name)
                    except (IsADirectoryError, PermissionError):
                        continue  # a folder is none of ours
                    removed += 1
        return removed

    def _parts(self, filename: str) -> list[str]:
        if reason := names.invalid_name_reason(filename, self.file_system):
            raise Invalid(f"{filename!r}: {reason}")
        return filename.split("/")

    def _made_place(self, filename: str) -> tuple[Folder, str]:
        return self._place(filename, make=True)

    def _place(self, filename: str, *, make: bool = False) -> tuple[Folder, str]:
        """The open folder that a file lies in, and its name there."""
        *parents, name = self._parts(filename)
        for attempt in range(_ATTEMPTS):
            try:
                return self._open(parents, make=make), name
            except FileNotFoundError:
                # With make: a thread that removed the last file of a folder removed the folder in between.
                if not make or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _open(self, parts: Iterable[str], *, make: bool = False) -> Folder:
        folder = self._root.again()
        for part in parts:
            with folder:
                folder = folder.child(part, 0o777 if make else None)
        return folder

    def _remove_empty(self, parts: list[str]) -> None:
        for depth in range(len(parts), 0, -1):
            try:
                with self._open(parts[: depth - 1]) as folder:
                    folder.rmdir(parts[depth - 1])
            except OSError as error:
                if error.errno in _STAYS:
                    return
                raise

    def _take(self) -> tuple[Folder, int]:
        """The working folder and the lock in it."""
        for _ in range(_ATTEMPTS):
            try:
                working = self._root.child(WORKING, 0o700)
            except FileNotFoundError:
                continue  # another run ended just now, and took the folder with it
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
        raise Refused(f"{self.root} is being written to by another run; wait until that has ended, or end it")

    def _release(self) -> None:
        """Ends the run: lock and working folder go, as far as they can."""
        try:
            if sys.platform == "win32":
                os.close(self._lock)
            self._working.unlink(_LOCK)
            self._root.rmdir(WORKING)
        except OSError as error:
            if error.errno not in _STAYS:
                raise
        finally:
            if sys.platform != "win32":
                os.close(self._lock)
            self._working.close()
            self._root.close()


_STAYS = {
    errno.ENOTEMPTY,
    errno.EEXIST,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EBUSY,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
}
"""Why a folder is not removed, and need not be."""


def _partial_name(filename: str, token: str) -> str:
    """Of fixed length and without the filename's characters, which may be any."""
    digest = hashlib.blake2b(f"{len(filename)}:{filename}{token}".encode(errors="surrogatepass"), digest_size=16)
    return digest.hexdigest()


def acquire_lock(folder: Folder, name: str) -> int | None:
    """A descriptor that holds the lock file ``name`` until it is closed; None while another process holds it.

    The kernel releases the lock when the process dies. Raises ``FileNotFoundError`` where the folder or the lock file
    was removed meanwhile: open the folder anew and try again. Raises ``OSError``.
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
        # The previous holder removes the file when it ends, and a lock on a removed file excludes nobody.
        if not os.path.samestat(os.fstat(fd), folder.stat(name)):
            raise FileNotFoundError(name)
    except OSError:
        os.close(fd)
        raise
    return fd
