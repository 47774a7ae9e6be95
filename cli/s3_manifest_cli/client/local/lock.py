"""A lock that one process at a time holds; the kernel releases it when the process dies."""

import os
import sys

from s3_manifest_cli.client.local.folders import Folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def take(folder: Folder, name: str) -> int | None:
    """A descriptor that holds the lock ``name`` in a folder until it is closed; None where another holds it.

    Raises ``FileNotFoundError`` where the folder, or the lock that was waited in, was removed meanwhile:
    open the folder anew and try again. Raises ``OSError``.
    """
    fd = folder.open(name, os.O_RDWR | os.O_CREAT)
    try:
        if not _lock(fd):
            os.close(fd)
            return None
        # Whoever held it before may have removed it as its last deed: a lock that has no name locks out nobody.
        if not os.path.samestat(os.fstat(fd), folder.stat(name)):
            raise FileNotFoundError(name)
    except OSError:
        os.close(fd)
        raise
    return fd


def _lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
