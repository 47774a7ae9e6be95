"""Writes entries one after the other, and collects the files that the format cannot hold."""

from collections.abc import Callable, Iterable, Sequence
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
    return write_groups(format_name, ((entry,) for entry in entries), write, lambda group: encode(group[0]))


def write_groups(
    format_name: str,
    groups: Iterable[Sequence[Entry]],
    write: Callable[[Row], object],
    encode: Callable[[Sequence[Entry]], Row | None],
) -> ExportResult:
    """As ``write_each``, but several entries give one row. ``write`` may raise ``UnsupportedFile`` too."""
    files, left_out = 0, 0
    problems: list[Problem] = []
    for group in groups:
        try:
            row = encode(group)
            if row is None:
                left_out += len(group)
            else:
                write(row)
                files += len(group)
        except UnsupportedFile as error:
            problems.extend(Problem(s3_key=entry.s3_key, problem=str(error)) for entry in group)
    return ExportResult(format_name, files, left_out, tuple(problems))


def relative(filename: str) -> str:
    """The filename, if it is a path below a folder; ``/x``, ``../x``, ``a//x`` are not. Raises ``UnsupportedFile``."""
    if reason := path_problem(filename):
        raise UnsupportedFile(f"{filename!r}: {reason}; rename the object in S3")
    return filename
