"""Writes entries one after the other, and collects the files that the format cannot hold."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.filenames import path_problem
from s3_manifest.manifest.model import Entry, Problem

Row = TypeVar("Row")


class ExportResult(NamedTuple):
    """How many ``files`` an export holds.

    ``left_out`` counts files that the format is not for, such as files without a prompt in a folder of captions.
    ``problems`` are files that belong in the export but that the format cannot hold, with the reason and the remedy.
    """

    format: str
    files: int
    left_out: int
    problems: tuple[Problem, ...]


class UnsupportedFile(ValueError):
    """The format cannot hold a file; the text is the reason."""


WriteFile = Callable[[str, bytes], None]
"""Writes one file: its path below the folder, with ``/``, and its bytes.

The path derives from an S3 key, which is untrusted input: the function checks it for its file system. Raises
``UnsupportedFile`` for a path that the file system cannot hold, or that another file occupies.
"""


def write_each(
    format_name: str, entries: Iterable[Entry], write: Callable[[Row], object], encode: Callable[[Entry], Row | None]
) -> ExportResult:
    """Writes ``encode(entry)`` for each entry: None leaves the entry out, ``UnsupportedFile`` makes it a problem."""
    files, left_out = 0, 0
    problems: list[Problem] = []
    for entry in entries:
        try:
            row = encode(entry)
        except UnsupportedFile as error:
            problems.append(Problem(s3_key=entry.s3_key, problem=str(error)))
            continue
        if row is None:
            left_out += 1
        else:
            write(row)
            files += 1
    return ExportResult(format_name, files, left_out, tuple(problems))


def relative(filename: str) -> str:
    """The filename, if it is a path below a folder; ``/x``, ``../x``, ``a//x`` are not. Raises ``UnsupportedFile``."""
    if reason := path_problem(filename):
        raise UnsupportedFile(f"{filename!r}: {reason}; rename the object in S3")
    return filename
