"""What files a folder of this machine holds: a walk that follows no link."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from s3_manifest.manifest.filenames import WORKING
from s3_manifest_cli.client.local.disk import disk_error
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.errors import Invalid, Unavailable

_WINDOWS = sys.platform == "win32"  # where a listing tells no inodes
_KINDS = {
    stat.S_IFLNK: "it is a symbolic link, and links are not followed",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFBLK: "it is a device",
    stat.S_IFCHR: "it is a device",
}


FileStat: TypeAlias = tuple[str, int, int, int, int]
"""What a ``LocalFile`` holds. Making 100,000 of those takes as long as comparing them does."""


class LocalFile(NamedTuple):
    """A regular file: ``filename`` is its path below the folder with ``/``. Times are nanoseconds."""

    filename: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def identity(self) -> Identity:
        """What tells this state of it from another; see ``Destination.identity``."""
        return Identity(self.size, self.mtime_ns, self.ctime_ns, self.inode)


ProblemKind = Literal["unreadable", "not_a_file"]


class Problem(NamedTuple):
    """A part of the folder that was skipped; ``path`` is printable, whatever the name.

    ``unreadable``: nobody knows what is in it. ``not_a_file``: a link, a pipe, a device.
    """

    path: str
    reason: str
    kind: ProblemKind = "unreadable"


def check_folder(folder: Path, *, must_exist: bool) -> None:
    """Raises ``Invalid`` where that is no folder, or, if it must exist, there is none.

    Raises ``Unavailable`` where nobody can tell, and where the names of this system's files are not UTF-8 to Python: in
    S3 they would be other names.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") != "utf8":
        raise Unavailable(
            f"Python takes the names of files on this system for {encoding}, and names in S3 are UTF-8.",
            remedy="Set PYTHONUTF8=1, or a UTF-8 locale such as LC_ALL=C.UTF-8, and repeat the command.",
            code="filesystem_encoding",
        )
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        if must_exist:
            raise Invalid(f"there is no folder {folder}") from None
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unavailable(f"{folder} was not read: its symbolic links lead in a circle.", code="ELOOP") from error
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):  # of a folder that the user names, not of a file from S3
            raise Unavailable(f"{folder} was not read: {error.strerror}.", code=errno.errorcode[error.errno]) from error
        raise disk_error(str(folder), "not read", error) from error
    if not is_folder:
        raise Invalid(f"{folder} is not a folder")


def scan(root: Path, problems: list[Problem]) -> Iterator[LocalFile]:
    """The regular files below a folder, in any order; what is none is added to ``problems``.

    The root may be reached through a link; nothing below it is. The client's working folder is left out.
    What is removed while the walk runs may be missing. Raises ``Refused`` or ``Unavailable`` where the root
    itself cannot be read.
    """
    for files in walk(root, problems):
        yield from map(LocalFile._make, files)


def walk(root: Path, problems: list[Problem]) -> Iterator[list[FileStat]]:
    """As ``scan``: the files of a folder at a time."""
    try:
        top = folder_at(str(root))
    except OSError as error:
        raise disk_error(str(root), "not read", error) from error
    with top:
        todo = [""]
        while todo:
            below = todo.pop()
            files: list[FileStat] = []
            try:
                with _opened(top, below) as folder:
                    _look(folder, below, files, todo, problems)
            except FileNotFoundError:
                pass  # removed since its parent was read
            except OSError as error:
                if not below:
                    raise disk_error(str(root), "not read", error) from error
                problems.append(Problem(_printable(below), f"skipped, {denied(error)}"))
            yield files


def _opened(top: Folder, below: str) -> Folder:
    # From the top each time, so that a deep tree needs no more open folders than a flat one.
    folder = top.again()
    for part in below.split("/")[:-1]:
        with folder:
            folder = folder.child(part)
    return folder


def _look(folder: Folder, below: str, files: list[FileStat], todo: list[str], problems: list[Problem]) -> None:
    with folder.entries() as entries:
        for entry in entries:
            name = entry.name
            if not below and name == WORKING:
                continue
            path = below + name
            if not (name.isascii() or _is_utf8(name)):
                problems.append(Problem(_printable(path), "skipped, the name is not valid UTF-8"))
            elif entry.is_dir(follow_symlinks=False):  # a junction of Windows too, which is refused when it is opened
                todo.append(path + "/")
            else:
                try:
                    found = folder.stat(name) if _WINDOWS else entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(found.st_mode):
                    files.append((path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
                else:
                    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "it is not a regular file")
                    problems.append(Problem(_printable(path), f"skipped, {kind}", "not_a_file"))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def denied(error: OSError) -> str:
    """Why something was not read, in few words."""
    words = error.strerror or str(error)
    return words[:1].lower() + words[1:]


def _printable(path: str) -> str:
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
