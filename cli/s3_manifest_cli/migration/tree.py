"""The legacy tree on disk: what files there are, and their bytes. No symbolic link is followed, ever."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

from s3_manifest_cli.client.local.hashes import md5_of
from s3_manifest_cli.migration.decode import format_of
from s3_manifest_cli.migration.legacy import Problem

_MAX_DOCUMENT_BYTES = 64 << 20
_DATA = "data/"


class Tree(NamedTuple):
    """The files below a root, by their path from it with ``/``; hidden ones and links are left out.

    ``problems`` are what could not be read, and links below ``data/``.
    """

    root: Path
    paths: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def documents(self) -> tuple[str, ...]:
        """The paths of the legacy files."""
        return tuple(path for path in self.paths if format_of(path) is not None)


def walk(root: Path) -> Tree:
    """The tree below a root."""
    root = root.resolve()
    paths: list[str] = []
    problems: list[Problem] = []

    def note(error: OSError) -> None:
        problems.append(Problem(path=str(error.filename), problem=f"it cannot be read: {error.strerror}"))

    for folder, folders, names in os.walk(root, onerror=note, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*folders, *names]):
            path = (Path(folder) / name).relative_to(root).as_posix()
            mode = os.lstat(Path(folder) / name).st_mode
            if stat.S_ISLNK(mode) and path.startswith(_DATA):
                problems.append(Problem(path=ascii(path)[1:-1], problem="it is a symbolic link, and not followed"))
            elif stat.S_ISREG(mode) and not name.startswith("."):
                try:
                    path.encode()
                except UnicodeEncodeError:
                    problems.append(Problem(path=ascii(path), problem="its name is not UTF-8; rename it"))
                else:
                    paths.append(path)
    return Tree(root, tuple(sorted(paths)), tuple(problems))


def document(tree: Tree, path: str) -> bytes:
    """The bytes of a legacy file. Raises ``OSError``."""
    with _opened(tree, path) as opened:
        body = opened.read(_MAX_DOCUMENT_BYTES + 1)
    if len(body) > _MAX_DOCUMENT_BYTES:
        raise OSError(f"it has more than {_MAX_DOCUMENT_BYTES} bytes; no legacy manifest has")
    return body


def image(tree: Tree, path: str) -> bytes:
    """The bytes of an image. Raises ``OSError``."""
    with _opened(tree, path) as opened:
        return opened.read()


def md5(tree: Tree, path: str) -> str:
    """The MD5 of a file in hex. Raises ``OSError``."""
    with _opened(tree, path) as opened:
        return md5_of(opened)


def remove(tree: Tree, path: str) -> None:
    """Removes a file. One that is gone already does not matter. Raises ``OSError``."""
    _inside(tree, path).unlink(missing_ok=True)


def _opened(tree: Tree, path: str) -> BinaryIO:
    # What was a file when the tree was walked may be a link by now.
    return os.fdopen(os.open(_inside(tree, path), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")


def _inside(tree: Tree, path: str) -> Path:
    """The file, unless one of its folders became a link that leads out of the tree."""
    file = tree.root / path
    if not file.parent.resolve().is_relative_to(tree.root):
        raise OSError(errno.ELOOP, "it leads out of the tree")
    return file
