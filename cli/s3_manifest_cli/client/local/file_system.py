"""What a disk's file system does with names, found out with real files of a folder."""

import errno
import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable

from s3_manifest.manifest.filenames import MAX_NAME_BYTES
from s3_manifest_cli.client.local.folders import Folder
from s3_manifest_cli.client.local.names import FileSystem


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


def detect_file_system(folder: Folder, root: str) -> FileSystem:
    """Which names the file system of a folder can hold below ``root``, and which it takes for one."""
    windows = sys.platform == "win32"
    return FileSystem(
        ignores_case=_same(folder, "probe-case-a", "PROBE-CASE-A"),
        ignores_unicode_form=_same(folder, "probe-form-\u00e4", "probe-form-a\u0308"),
        # On Windows "a:b" opens a second stream of "a", and "nul" a device: not to be tried.
        windows_names=windows
        or not all(_holds(folder, f"probe-{name}") for name in ("name-a:b", 'n<>"|?*', "n.", "n ")),
        max_name_bytes=min(MAX_NAME_BYTES, folder.max_name_bytes()),
        max_path_bytes=_max_path(root) - len(os.fsencode(root)) - 2,
    )


def detect_name_folding(top: Folder, filenames: Iterable[str]) -> FileSystem:
    """Which names a folder takes for one, found out with files that are there and without writing any."""
    names = list(filenames)
    return FileSystem(
        ignores_case=_is_found_as(top, names, str.swapcase),
        ignores_unicode_form=_is_found_as(top, names, _other_form),
    )


def _other_form(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFD", name) if name == composed else composed


def _is_found_as(top: Folder, filenames: Iterable[str], other: Callable[[str], str]) -> bool:
    """Whether the first file whose name can be written in another way is found by that too."""
    for filename in filenames:
        *parents, name = filename.split("/")
        if other(name) == name:
            continue
        try:
            folder = top.again()
            for part in parents:
                with folder:
                    folder = folder.child(part)
            with folder:
                return os.path.samestat(folder.stat(name), folder.stat(other(name)))
        except OSError:
            return False
    return False


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
