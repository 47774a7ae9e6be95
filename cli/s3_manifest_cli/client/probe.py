"""What a disk's file system does with names, found out with real files of a folder."""

import errno
import os
import stat
import sys

from s3_manifest_cli.client.folders import Folder
from s3_manifest_cli.client.names import MAX_NAME_BYTES, FileSystem


def mode_of_new_files(folder: Folder) -> int:
    """The permissions that this process gives a new file here, by its umask and the folder's defaults."""
    # Asking the umask means setting it, for all threads.
    name = "probe-mode"
    _drop(folder, name)
    fd = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)
        _drop(folder, name)


def probe(folder: Folder, root: str) -> FileSystem:
    """Which names the file system of a folder can hold below ``root``, and which it takes for one."""
    windows = sys.platform == "win32"
    return FileSystem(
        folds_case=_same(folder, "probe-case-a", "PROBE-CASE-A"),
        folds_form=_same(folder, "probe-form-\u00e4", "probe-form-a\u0308"),
        # On Windows "a:b" opens a second stream of "a", and "nul" a device: not to be tried.
        windows_names=windows
        or not all(_holds(folder, f"probe-{name}") for name in ("name-a:b", 'n<>"|?*', "n.", "n ")),
        max_name_bytes=min(MAX_NAME_BYTES, folder.max_name_bytes()),
        max_path_bytes=_max_path(root) - len(os.fsencode(root)) - 2,
    )


def _max_path(root: str) -> int:
    if sys.platform == "win32":
        return 260
    try:
        return os.pathconf(root, "PC_PATH_MAX")
    except OSError:
        return 1024


def _same(folder: Folder, one: str, other: str) -> bool:
    _drop(folder, one)
    _drop(folder, other)
    os.close(folder.open(one, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    try:
        folder.stat(other)
    except FileNotFoundError:
        return False
    finally:
        _drop(folder, one)
    return True


def _holds(folder: Folder, name: str) -> bool:
    _drop(folder, name)
    try:
        os.close(folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        return False
    held = name in folder.names()
    _drop(folder, name)
    return held


def _drop(folder: Folder, name: str) -> None:
    try:
        folder.unlink(name)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL, errno.EILSEQ):
            raise
