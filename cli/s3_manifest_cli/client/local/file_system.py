"""Which names a file system can hold, and which it treats as the same; detected with real files."""

import contextlib
import errno
import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Self

from s3_manifest.manifest.filenames import MAX_NAME_BYTES
from s3_manifest_cli.client.local.folders import Folder


class FileSystem(NamedTuple):
    """The rules of a file system for names.

    ``ignores_case`` and ``ignores_unicode_form``: names that differ only in case, or only in Unicode form (NFC, NFD),
    are the same. ``windows_names``: it holds only names that Windows allows. ``max_path_bytes`` is the limit of a
    filename, without the folder that it lies below.
    """

    ignores_case: bool = False
    ignores_unicode_form: bool = False
    windows_names: bool = False
    max_name_bytes: int = MAX_NAME_BYTES
    max_path_bytes: int = 4095

    def portable(self) -> Self:
        """The same with the limits of all usual file systems, for a copy that goes on to another machine."""
        return self._replace(ignores_case=True, ignores_unicode_form=True, windows_names=True)


def detect_file_system(folder: Folder, root: str) -> FileSystem:
    """The rules for names below ``root``, detected with files in ``folder`` of the same disk."""
    is_windows = sys.platform == "win32"
    return FileSystem(
        ignores_case=_are_same(folder, "probe-case-a", "PROBE-CASE-A"),
        ignores_unicode_form=_are_same(folder, "probe-form-\u00e4", "probe-form-a\u0308"),
        # Not tried on Windows, where "a:b" opens a second stream of "a", and "nul" a device.
        windows_names=is_windows
        or not all(_can_hold(folder, f"probe-{name}") for name in ("name-a:b", 'n<>"|?*', "n.", "n ")),
        max_name_bytes=min(MAX_NAME_BYTES, folder.max_name_bytes()),
        max_path_bytes=_max_path_bytes(root) - len(os.fsencode(root)) - 2,
    )


def detect_name_folding(top: Folder, filenames: Sequence[str]) -> FileSystem:
    """Which names a folder treats as the same, detected with existing files and without writing any."""
    return FileSystem(
        ignores_case=_is_found_as(top, filenames, str.swapcase),
        ignores_unicode_form=_is_found_as(top, filenames, _other_form),
    )


def mode_of_new_files(folder: Folder) -> int:
    """The permissions that a new file gets here, by this process's umask and the folder's defaults."""
    # The umask can only be read by setting it, for all threads.
    with _new_file(folder, "probe-mode", 0o666) as fd:
        return stat.S_IMODE(os.fstat(fd).st_mode)


def _other_form(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFD", name) if name == composed else composed


def _is_found_as(top: Folder, filenames: Iterable[str], respell: Callable[[str], str]) -> bool:
    """Whether the first file that has another spelling is found by it."""
    for filename in filenames:
        *parents, name = filename.split("/")
        if (other := respell(name)) == name:
            continue
        try:
            with top.descend(parents) as folder:
                return os.path.samestat(folder.stat(name), folder.stat(other))
        except OSError:
            return False
    return False


def _max_path_bytes(root: str) -> int:
    if sys.platform == "win32":
        return 260
    try:
        return os.pathconf(root, "PC_PATH_MAX")
    except OSError:
        return 1024


def _are_same(folder: Folder, name: str, other: str) -> bool:
    _remove(folder, other)
    with _new_file(folder, name), contextlib.suppress(FileNotFoundError):
        folder.stat(other)
        return True
    return False


def _can_hold(folder: Folder, name: str) -> bool:
    try:
        with _new_file(folder, name):
            return name in folder.names()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        return False


@contextlib.contextmanager
def _new_file(folder: Folder, name: str, mode: int = 0o600) -> Iterator[int]:
    """Creates an empty file, and removes it at the end."""
    _remove(folder, name)
    fd = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        yield fd
    finally:
        os.close(fd)
        _remove(folder, name)


def _remove(folder: Folder, name: str) -> None:
    try:
        folder.unlink(name)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL, errno.EILSEQ):
            raise
