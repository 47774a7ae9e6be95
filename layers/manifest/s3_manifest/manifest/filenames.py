"""Checks that filenames are valid on every file system.

Keys are untrusted input: S3 accepts any text. Pulls and everything that stores objects (pushes, restores in S3,
presigned uploads, migrations) apply these rules; the client checks what only some file systems reject.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

WORKING_FOLDER = ".s3-manifest"
"""The client's working folder in a local copy; its files never belong to a collection."""

MAX_NAME_BYTES = 255
"""Limit of one path component: https://en.wikipedia.org/wiki/Comparison_of_file_systems#Limits"""

_INVALID_PATH = (
    (re.compile(r"\0"), "it contains a NUL, which no filename may have"),
    (re.compile(r"^\Z"), "it is empty: the key is the collection's prefix itself"),
    (re.compile(r"^/"), "it is an absolute path"),
    (re.compile(r"(?<![^/])\.\.(?:/|\Z)"), "it leads out of its folder (`..`)"),
    (re.compile(r"//|/\Z|(?<![^/])\.(?:/|\Z)"), "one of its components is empty or `.`"),
)
_UNSAFE = (
    (re.compile(r"[\x00-\x1f\x7f-\x9f]"), "it contains a control character"),
    (re.compile(r"\\"), "it contains a backslash, which separates folders on Windows"),
    *_INVALID_PATH,
)
# HFS+ ignores these in comparisons: https://git-blame.blogspot.com/2014/12/git-1856-195-205-214-and-221-and.html
IGNORABLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad]")
"""Characters that some file systems ignore in names."""


def path_problem(filename: str) -> str | None:
    """Why no file system can hold this filename below a folder; None if one can.

    Weaker than ``filename_problem``, for file lists from other programs: on Linux names may have backslashes
    and line breaks.
    """
    return _first_reason(_INVALID_PATH, filename) if _may_be_unsafe(filename) else None


def filename_problem(filename: str, max_name_bytes: int = MAX_NAME_BYTES) -> str | None:
    """Why a collection may not have a file with this name; None if it may."""
    if _may_be_unsafe(filename) and (reason := _first_reason(_UNSAFE, filename)):
        return reason
    if filename[0] == "." or not filename.isascii():
        plain = IGNORABLE.sub("", unicodedata.normalize("NFKC", filename.partition("/")[0])).casefold()
        if plain.rstrip(". ") == WORKING_FOLDER:
            return f"it is in {WORKING_FOLDER}, the client's working folder"
    try:
        size = len(filename) if filename.isascii() else len(filename.encode())
    except UnicodeEncodeError:
        return "it contains a lone surrogate, which UTF-8 cannot encode"
    if size > max_name_bytes and max(len(part.encode()) for part in filename.split("/")) > max_name_bytes:
        return f"one of its components has more than {max_name_bytes} bytes"
    return None


def path_conflicts(filenames: Iterable[str]) -> dict[str, str]:
    """Filenames that exclude each other, mapped to the other: ``a`` as a file and ``a/b`` in a folder ``a``."""
    names = frozenset(filenames)
    conflicts: dict[str, str] = {}
    for name in names:
        for folder in parent_folders(name):
            if folder in names:
                conflicts[name], conflicts[folder] = folder, name
    return conflicts


def parent_folders(filename: str) -> Iterator[str]:
    """The folders that contain a file, innermost first."""
    while filename := filename.rpartition("/")[0]:
        yield filename


def _may_be_unsafe(filename: str) -> bool:
    """A cheap filter: only the few names that pass it need the regular expressions."""
    return (
        not filename.isprintable()
        or not filename
        or filename[0] in "./"
        or filename[-1] == "/"
        or "//" in filename
        or "/." in filename
        or "\\" in filename
    )


def _first_reason(rules: Iterable[tuple[re.Pattern[str], str]], filename: str) -> str | None:
    return next((reason for pattern, reason in rules if pattern.search(filename)), None)
