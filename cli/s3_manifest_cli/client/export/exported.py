"""What came of an export, and how one entry after the other is written."""

from collections.abc import Callable, Iterable
from typing import IO, NamedTuple

from s3_manifest.manifest.filenames import no_path
from s3_manifest.manifest.model import Entry, Problem


class Exported(NamedTuple):
    """``files`` are in it. ``left_out`` are no business of the format: of a caption folder, files without a prompt.

    ``problems`` name what should be in it and cannot, and why: something to mend.
    """

    format: str
    files: int
    left_out: int
    problems: tuple[Problem, ...]


class CannotHold(ValueError):
    """The format cannot hold this file; the text says why."""


Put = Callable[[str, bytes], None]
"""Writes one file of a folder: its name below the folder, with ``/``, and its bytes.

Names come from S3 keys, which strangers can choose: it has to check them for the file system that it writes to.
Raises ``CannotHold`` for a name that may not be there, or a place that is taken.
"""


def write_each(
    name: str, entries: Iterable[Entry], out: IO[bytes], written: Callable[[Entry], bytes | None]
) -> Exported:
    """Writes what ``written`` makes of each entry: None leaves it out, and ``CannotHold`` makes it a problem."""
    files, left_out = 0, 0
    problems: list[Problem] = []
    for entry in entries:
        try:
            body = written(entry)
        except CannotHold as error:
            problems.append(Problem(s3_key=entry.s3_key, problem=str(error)))
            continue
        if body is None:
            left_out += 1
        else:
            out.write(body)
            files += 1
    return Exported(name, files, left_out, tuple(problems))


def relative(filename: str) -> str:
    """The filename, if it is the relative path of a file below a folder, on any file system. Raises ``CannotHold``.

    S3 takes ``../x``, ``/x``, ``a//x`` and a NUL for keys.
    """
    if reason := no_path(filename):
        raise CannotHold(f"{filename!r}: {reason}; rename the object in S3")
    return filename
