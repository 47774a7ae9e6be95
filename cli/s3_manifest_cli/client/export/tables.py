"""CSV and JSON lines: every field of every entry."""

import csv
from collections.abc import Iterable
from typing import Any, BinaryIO

from pydantic_core import to_json

from s3_manifest.manifest.model import Entry, Facts
from s3_manifest_cli.client.export.exported import Exported, write_each

COLUMNS = tuple(Entry.model_fields)

_BOM = "\ufeff".encode()
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # what spreadsheets take for one


class _Line:
    """Where ``csv.writer`` writes to; its ``writerow`` then returns the line."""

    def write(self, text: str) -> str:
        return text


def write_csv(_: Facts, entries: Iterable[Entry], out: BinaryIO, *, for_spreadsheets: bool = False) -> Exported:
    """One row for each entry, below a row of names: RFC 4180, UTF-8. Lists and mappings are JSON, None is empty.

    A cell has exactly what the manifest says, so that programs read back what there is. Spreadsheets take
    a text that begins with ``=`` or the like for a formula, and strangers can choose prompts and filenames:
    ``for_spreadsheets`` puts a ``'`` before such a text, and a byte order mark before all, without which
    Excel does not read UTF-8. https://owasp.org/www-community/attacks/CSV_Injection
    """
    writer = csv.writer(_Line())

    def row(values: Iterable[object]) -> bytes:
        cells = map(_cell, values)
        line: str = writer.writerow([_defused(one) for one in cells] if for_spreadsheets else cells)
        return line.encode()

    out.write((_BOM if for_spreadsheets else b"") + row(COLUMNS))
    return write_each("csv", entries, out, lambda entry: row(getattr(entry, name) for name in COLUMNS))


def write_jsonl(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> Exported:
    """One entry on each line, as it stands in the manifest."""
    return write_each("jsonl", entries, out, lambda entry: to_json(entry) + b"\n")


def _cell(value: Any) -> str:  # noqa: ANN401  # a field of any type
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()


def _defused(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
