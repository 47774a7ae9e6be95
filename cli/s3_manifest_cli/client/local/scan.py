"""Lists the files of a folder without following links."""

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from s3_manifest.manifest.filenames import WORKING_FOLDER
from s3_manifest_cli.client.local.disk import disk_error, disk_errors
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.errors import Invalid, Unavailable

_WINDOWS = sys.platform == "win32"  # its listings have no inodes
_SURROGATE = re.compile("[\ud800-\udfff]")
_FILE_TYPES = {
    stat.S_IFLNK: "it is a symbolic link, and links are not followed",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFBLK: "it is a device",
    stat.S_IFCHR: "it is a device",
}

FileStat: TypeAlias = tuple[str, int, int, int, int]
"""The fields of a ``LocalFile``. Creating 100,000 of those takes as long as comparing them."""


class LocalFile(NamedTuple):
    """A regular file: ``filename`` is its path below the folder with ``/``. Times are nanoseconds."""

    filename: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def identity(self) -> Identity:
        """Identifies this state of the file; see ``Destination.identity``."""
        return Identity(self.size, self.mtime_ns, self.ctime_ns, self.inode)


class Problem(NamedTuple):
    """A part of the folder that was skipped; ``path`` is printable.

    ``unreadable``: its content is unknown. ``not_a_file``: a link, a pipe, a device.
    """

    path: str
    reason: str
    kind: Literal["unreadable", "not_a_file"] = "unreadable"


def check_folder(folder: Path, *, must_exist: bool) -> None:
    """Raises ``Invalid`` where that is not a folder, or there is none and it must exist.

    Raises ``Unavailable`` where the disk refuses, and where Python does not take this system's filenames for UTF-8: in
    S3 they would be different names.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") != "utf8":
        raise Unavailable(
            f"Python reads filenames on this system as {encoding}, and names in S3 are UTF-8.",
            remedy="Set PYTHONUTF8=1, or a UTF-8 locale such as LC_ALL=C.UTF-8, and repeat the command.",
            code="filesystem_encoding",
        )
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        if must_exist:
            raise Invalid(f"There is no folder {folder}.", remedy="Check the path of LOCAL.") from None
        return
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL):  # the user names it, and not a key in S3
            reason = "its symbolic links form a loop" if error.errno == errno.ELOOP else error.strerror
            raise Unavailable(f"{folder} was not read: {reason}.", code=errno.errorcode[error.errno]) from error
        raise disk_error(str(folder), "not read", error) from error
    if not is_folder:
        raise Invalid(f"{folder} is not a folder.", remedy="Check the path of LOCAL.")


def scan(root: Path, problems: list[Problem]) -> Iterator[LocalFile]:
    """The regular files below a folder, in any order; other entries are added to ``problems``.

    The root may be a link; links below it are not followed. The client's working folder is left out. Files that are
    removed during the scan may be missing. Raises ``Refused`` or ``Unavailable`` where the root cannot be read.
    """
    for files in walk(root, problems):
        yield from map(LocalFile._make, files)


def walk(root: Path, problems: list[Problem]) -> Iterator[list[FileStat]]:
    """As ``scan``, yielding the files of one folder at a time."""
    with disk_errors(str(root), "not read"):
        top = folder_at(str(root))
    with top:
        pending = [""]
        while pending:
            path = pending.pop()
            files: list[FileStat] = []
            try:
                # From the top each time, so that a deep tree needs no more open folders than a flat one.
                with top.descend(path.split("/")[:-1]) as folder:
                    _list_folder(folder, path, files, pending, problems)
            except FileNotFoundError:
                pass  # removed since its parent was read
            except OSError as error:
                if not path:
                    raise disk_error(str(root), "not read", error) from error
                problems.append(Problem(_printable(path), f"skipped, {os_error_reason(error)}"))
            yield files


def _list_folder(
    folder: Folder, prefix: str, files: list[FileStat], folders: list[str], problems: list[Problem]
) -> None:
    with folder.entries() as entries:
        for entry in entries:
            name = entry.name
            if not prefix and name == WORKING_FOLDER:
                continue
            path = prefix + name
            if not name.isascii() and _SURROGATE.search(name):  # Python's stand-in for a byte that is not UTF-8
                problems.append(Problem(_printable(path), "skipped, the name is not valid UTF-8"))
            elif entry.is_dir(follow_symlinks=False):  # also a junction of Windows, which ``Folder.child`` refuses
                folders.append(path + "/")
            else:
                try:
                    status = folder.stat(name) if _WINDOWS else entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    files.append((path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
                else:
                    reason = _FILE_TYPES.get(stat.S_IFMT(status.st_mode), "it is not a regular file")
                    problems.append(Problem(_printable(path), f"skipped, {reason}", "not_a_file"))


def os_error_reason(error: OSError) -> str:
    """Why a file was not read, in few words."""
    words = error.strerror or str(error)
    return words[:1].lower() + words[1:]


def _printable(path: str) -> str:
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
