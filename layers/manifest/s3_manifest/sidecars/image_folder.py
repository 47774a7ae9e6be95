"""Reads the metadata files of Hugging Face's ImageFolder: ``metadata.jsonl`` and ``metadata.csv``.

Reads all that its loader accepts, and logs what is not used as problems:
https://github.com/huggingface/datasets/blob/main/src/datasets/packaged_modules/folder_based_builder/folder_based_builder.py
"""

import csv
import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from s3_manifest.manifest.lenient_json import SURROGATE, ProblemLog, UnreadableDocument, read_json_lines, to_utf8

_NAMES = ("file_name", "image_file_name", "file_names", "image_file_names")
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")
_NOT_UTF8 = "it is not UTF-8; save the file as UTF-8"


class Row(NamedTuple):
    """The fields of one row, for one or several files. ``where`` is the line, for problems.

    ``exact`` has the names as written, ``names`` as the loader resolves them: relative, with ``/``. S3 allows keys
    such as ``./a.png`` and ``sub\\b.png`` too, so a file with the exact name takes precedence.
    """

    where: str
    names: tuple[str, ...]
    exact: tuple[str, ...]
    fields: Mapping[str, Any]


def read_jsonl(body: bytes, problems: ProblemLog, *, most: int) -> Iterator[Row]:
    """The rows of a ``metadata.jsonl``, which can also be pretty-printed or one list. Raises ``UnreadableDocument``."""
    for number, read in read_json_lines(body, most=most):
        where = f"line {number}"
        if isinstance(read, UnreadableDocument):
            problems.add(f"{where}: {read}")
            continue
        for problem in read.problems:
            problems.add(f"{where}: {problem}")
        rows = read.value if isinstance(read.value, list) and read.value else [read.value]
        for row in rows:
            if isinstance(row, dict):
                yield from _rows(where, row, problems)
            else:
                problems.add(f"{where} is not a JSON object")


def read_csv(body: bytes, problems: ProblemLog, *, most: int) -> Iterator[Row]:
    """The rows of a ``metadata.csv``: commas, quotes as in RFC 4180, and the names of columns in the first line.

    ``good`` and ``hidden`` are ``true`` or ``false``, ``labels`` a JSON list or one label; a ``generation_id`` of
    digits is a number. An empty field is not set. Raises ``UnreadableDocument``.
    """
    csv.field_size_limit(max(most, csv.field_size_limit()))  # otherwise a long field is an error
    text = to_utf8(body, most=most).decode("utf-8", "surrogateescape")
    # newline="" keeps a line break within quotes as it was written.
    reader = csv.reader(io.StringIO(text, newline=""))
    header: list[str] | None = None
    while True:
        where = f"line {reader.line_num + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problems.add(f"{where}: {error}")
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if not set(header) & set(_NAMES):
                raise UnreadableDocument("the first line has no column file_name; separate the columns with commas")
        else:
            yield from _csv_row(where, header, cells, problems)


def _csv_row(where: str, header: list[str], cells: list[str], problems: ProblemLog) -> Iterator[Row]:
    if len(cells) > len(header):
        problems.add(f"{where}: it has {len(cells)} fields, but there are {len(header)} columns")
    fields = dict[str, Any]()
    for column, cell in zip(header, cells, strict=False):
        if not cell.isascii() and SURROGATE.search(cell):
            problems.add(f"{where}.{_shown(column)}: {_NOT_UTF8}")
        elif cell:
            fields[column] = _typed(column, cell)
    yield from _rows(where, fields, problems)


def _typed(column: str, cell: str) -> Any:  # noqa: ANN401  # a JSON value
    match column:
        case "good" | "hidden":
            return _FLAGS.get(cell.strip().lower(), cell)
        case "labels" | "file_names" | "image_file_names":
            try:
                listed = from_json(cell)
            except ValueError:
                listed = None
            return listed if isinstance(listed, list) else [cell]
        case "generation_id":
            return int(cell) if _INTEGER.fullmatch(cell) else cell
    return cell


def _rows(where: str, fields: Mapping[str, Any], problems: ProblemLog) -> Iterator[Row]:
    """The row, if each of its names can be a file of the collection."""
    value = next((fields[column] for column in _NAMES if fields.get(column) is not None), None)
    exact: list[Any] = value if isinstance(value, list) else [value]
    for name in exact:
        if not isinstance(name, str) or not name:
            problems.add(f"{where} has no file_name")
            return
        if problem := _unusable(name):
            problems.add(f"{where}: {_shown(name)} {problem}")
            return
    yield Row(where, tuple(map(_resolved, exact)), tuple(exact), fields)


def _resolved(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/"))


def _unusable(name: str) -> str | None:
    """Why the loader does not accept the name as a file of the folder; None if it does."""
    if "://" in name:
        return "is a URL; file_name must be a path within the collection"
    path = _resolved(name)
    if path.startswith("/") or path[1:3] == ":/":
        return "is an absolute path; file_name must be relative to the metadata file"
    return "leads out of the collection" if path in {"..", "."} or path.startswith("../") else None


def _shown(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
