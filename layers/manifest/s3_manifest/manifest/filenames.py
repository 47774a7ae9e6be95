"""Which filenames a collection's files may have so that every copy of it can hold them. Pure.

Keys are untrusted input, and S3 takes any text. What a pull refuses on every file system is refused here, and so by
everything that stores objects too: pushes, restores in S3, presigned uploads, migrations. What only some file systems
refuse is for the client to find out.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

WORKING_FOLDER = ".s3-manifest"
"""The folder below a copy that the client works in; none of a collection's files."""

MAX_NAME_BYTES = 255
"""Of a component: https://en.wikipedia.org/wiki/Comparison_of_file_systems#Limits"""

_NO_PATH = (
    (re.compile(r"\0"), "it holds a NUL, which no file's name does"),
    (re.compile(r"^\Z"), "it is empty: the object's name is the collection's prefix itself"),
    (re.compile(r"^/"), "it is an absolute path"),
    (re.compile(r"(?<![^/])\.\.(?:/|\Z)"), "it leads out of its folder (`..`)"),
    (re.compile(r"//|/\Z|(?<![^/])\.(?:/|\Z)"), "one of its components is empty or `.`, which no file's is"),
)
_UNSAFE = (
    (re.compile(r"[\x00-\x1f\x7f-\x9f]"), "it holds a control character"),
    (re.compile(r"\\"), "it holds a backslash, which is a separator of folders on Windows"),
    *_NO_PATH,
)
# HFS+ takes names for one that differ only in these: https://git-blame.blogspot.com/2014/12/git-1856-195-205-214-and-221-and.html
IGNORABLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad]")
"""Characters that some file systems do not see in a name."""


def path_problem(filename: str) -> str | None:
    """Why no file below a folder can have this filename, on any file system; None where one can.

    A part of what ``unusable`` refuses, for lists of files that others read: on Linux these have names with
    backslashes and line breaks too.
    """
    return _first(_NO_PATH, filename) if _may_be_unsafe(filename) else None


def filename_problem(filename: str, max_name_bytes: int = MAX_NAME_BYTES) -> str | None:
    """Why no copy may have a file of this name, whatever its file system; None where it may."""
    if _may_be_unsafe(filename) and (reason := _first(_UNSAFE, filename)):
        return reason
    if (filename[0] == "." or not filename.isascii()) and _is_working(filename.partition("/")[0]):
        return f"it lies in {WORKING_FOLDER}, the client's own working folder"
    try:
        size = len(filename) if filename.isascii() else len(filename.encode())
    except UnicodeEncodeError:
        return "it holds half of a character (a lone surrogate), which no UTF-8 name can"
    if size > max_name_bytes and max(len(part.encode()) for part in filename.split("/")) > max_name_bytes:
        return f"a component of it has more than {max_name_bytes} bytes, and no name may have more"
    return None


def path_conflicts(filenames: Iterable[str]) -> dict[str, str]:
    """The filenames that cannot be files beside each other, each with another: a file, and a folder of its name."""
    names = frozenset(filenames)
    found: dict[str, str] = {}
    for name in names:
        for folder in parent_folders(name):
            if folder in names:
                found[name], found[folder] = folder, name
    return found


def parent_folders(filename: str) -> Iterator[str]:
    """The folders that a file lies in, the nearest first."""
    while filename := filename.rpartition("/")[0]:
        yield filename


def _may_be_unsafe(filename: str) -> bool:
    """Whether it has to be looked at closely: of a hundred thousand names nearly none has, and this is cheap."""
    return (
        not filename.isprintable()
        or not filename
        or filename[0] in "./"
        or filename[-1] == "/"
        or "//" in filename
        or "/." in filename
        or "\\" in filename
    )


def _first(rules: Iterable[tuple[re.Pattern[str], str]], filename: str) -> str | None:
    return next((reason for pattern, reason in rules if pattern.search(filename)), None)


def _is_working(component: str) -> bool:
    plain = IGNORABLE.sub("", unicodedata.normalize("NFKC", component)).casefold()
    return plain.rstrip(". ") == WORKING_FOLDER
