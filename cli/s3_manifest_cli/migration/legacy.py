"""The legacy tree on disk: its files, and the content of each legacy file, as frozen values.

Symbolic links are never followed.
"""

import errno
import os
import re
import stat
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

from s3_manifest.manifest.model import Frozen, Timestamp
from s3_manifest.sidecars.content import FileDescription, GenerationDeclaration
from s3_manifest_cli.client.local.hashes import md5_of

_MAX_DOCUMENT_BYTES = 64 << 20


class Format(IntEnum):
    """The formats of legacy files, by precedence among equally old statements."""

    STYLE = 0
    ACTOR = 1
    ACTOR_SYNC = 2
    RESPONSE = 3


_PATHS = (
    (Format.STYLE, re.compile(r"data/s3_manifests/style_([^/]+)_s3_manifest\.json")),
    (Format.ACTOR, re.compile(r"data/actors/([^/]+)/training_data/manifest\.json")),
    (Format.ACTOR_SYNC, re.compile(r"data/actor_manifests/([^/]+)_manifest\.json")),
    (Format.RESPONSE, re.compile(r"data/(?:.*/)?response\.json()")),
)


class ImageRecord(Frozen):
    """The statement of a legacy file about one image.

    ``where`` is its place in the file, ``at`` the time of the statement, ``status`` the sync status that it claims.
    ``path`` is a local path as written in the file. Neither this nor ``key`` and ``filename`` are trusted.
    """

    where: str
    at: Timestamp | None = None
    key: str | None = None
    url: str | None = None
    filename: str | None = None
    path: str | None = None
    md5: str | None = None
    status: str | None = None
    description: FileDescription = FileDescription()


class Document(Frozen):
    """One legacy file. ``ids`` are its names for the style or actor, the most specific first.

    ``problems`` name what could not be read; the rest is valid.
    """

    path: str
    format: Format
    ids: tuple[str, ...] = ()
    title: str | None = None
    at: Timestamp | None = None
    base_image: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()
    records: tuple[ImageRecord, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of its collection. A response does not name one, so its folder decides."""
        return "style" if self.format is Format.STYLE else "actor"


class Problem(NamedTuple):
    """A problem with one file of the tree, or one object."""

    path: str
    problem: str


class Tree(NamedTuple):
    """The files below a root, by path with ``/``, without hidden files and links.

    ``problems`` are unreadable files, and links below ``data/``.
    """

    root: Path
    paths: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def documents(self) -> tuple[str, ...]:
        """The paths of the legacy files."""
        return tuple(path for path in self.paths if format_of(path) is not None)

    def open(self, path: str) -> BinaryIO:
        """Opens a file for unbuffered reading. Raises ``OSError``."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)  # a file may have become a link since the walk
        return os.fdopen(os.open(self._inside(path), flags), "rb", buffering=0)

    def read_document(self, path: str) -> bytes:
        """The bytes of a legacy file. Raises ``OSError``."""
        with self.open(path) as file:
            if os.fstat(file.fileno()).st_size > _MAX_DOCUMENT_BYTES:
                raise OSError(f"it is larger than {_MAX_DOCUMENT_BYTES:,} bytes, so it is not a legacy manifest")
            return file.read()

    def md5(self, path: str) -> str:
        """The MD5 of a file, in hex. Raises ``OSError``."""
        with self.open(path) as file:
            return md5_of(file)

    def remove(self, path: str) -> None:
        """Deletes a file; it may be deleted already. Raises ``OSError``."""
        self._inside(path).unlink(missing_ok=True)

    def _inside(self, path: str) -> Path:
        """The file. Raises ``OSError`` if a folder above it became a link to the outside."""
        file = self.root / path
        if not file.parent.resolve().is_relative_to(self.root):
            raise OSError(errno.ELOOP, "it is outside the tree")
        return file


def format_of(path: str) -> Format | None:
    """The format of the legacy file at this path below the root; None if it is not one."""
    return next((format_ for format_, pattern in _PATHS if pattern.fullmatch(path)), None)


def format_and_name(path: str) -> tuple[Format, str]:
    """The format of a legacy file, and the name of the style or actor in its path."""
    return next((format_, match[1]) for format_, pattern in _PATHS if (match := pattern.fullmatch(path)))


def walk(root: Path) -> Tree:
    """The tree below a root."""
    root = root.resolve()
    paths: list[str] = []
    problems: list[Problem] = []

    def add_problem(error: OSError) -> None:
        problems.append(Problem(str(error.filename), f"cannot be read: {error.strerror}"))

    for folder, folders, names in os.walk(root, onerror=add_problem, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in (Path(folder, name) for name in sorted([*folders, *names])):
            path = file.relative_to(root).as_posix()
            mode = file.lstat().st_mode
            if stat.S_ISLNK(mode) and path.startswith("data/"):
                problems.append(Problem(ascii(path)[1:-1], "skipped, it is a symbolic link"))
            elif stat.S_ISREG(mode) and not file.name.startswith("."):
                try:
                    path.encode()
                except UnicodeEncodeError:
                    problems.append(Problem(ascii(path), "skipped, the name is not valid UTF-8; rename it"))
                else:
                    paths.append(path)
    return Tree(root, tuple(sorted(paths)), tuple(problems))
