"""Every field of every entry: CSV, JSON lines and Parquet."""

import csv
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from io import RawIOBase
from typing import Any, BinaryIO

from pydantic_core import to_json

from s3_manifest.manifest.encoding import facts_json
from s3_manifest.manifest.model import Entry, Facts
from s3_manifest_cli.client.export.writer import ExportResult, write_each
from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.extras import install_command

COLUMNS = tuple(Entry.model_fields)

_BOM = "\ufeff".encode()
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # spreadsheets accept these too

ROW_GROUP = 10_000
"""How many entries of a Parquet file are in memory at a time."""

FACTS = b"s3_manifest"
"""The key in a Parquet file's metadata that holds the facts of the manifest, as JSON."""

_TIMES = ("uploaded_at", "last_modified", "generated_at")
_MAPS = ("checksum", "metadata")


def write_csv(_: Facts, entries: Iterable[Entry], out: BinaryIO, *, for_spreadsheets: bool = False) -> ExportResult:
    """Writes a header and one row for each entry: RFC 4180, UTF-8. Lists and mappings are JSON, None is empty.

    A cell holds exactly the value in the manifest, so that programs read back the same value. Spreadsheets evaluate
    a text that begins with ``=`` or the like as a formula, and prompts and filenames are untrusted input:
    ``for_spreadsheets`` prefixes such a text with ``'``, and the file with a byte order mark, without which Excel does
    not read UTF-8. https://owasp.org/www-community/attacks/CSV_Injection
    """
    writer = csv.writer(_Line())

    def row(values: Iterable[object]) -> bytes:
        cells = map(_cell, values)
        line: str = writer.writerow(map(_without_formula, cells) if for_spreadsheets else cells)
        return line.encode()

    out.write((_BOM if for_spreadsheets else b"") + row(COLUMNS))
    return write_each("csv", entries, out.write, lambda entry: row(getattr(entry, name) for name in COLUMNS))


class _Line:
    """The file of a ``csv.writer``, whose ``writerow`` then returns the line."""

    def write(self, text: str) -> str:
        return text


def _cell(value: Any) -> str:  # noqa: ANN401  # a field of any type
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()


def _without_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def write_jsonl(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> ExportResult:
    """Writes each entry on one line, as it is in the manifest."""
    return write_each("jsonl", entries, out.write, lambda entry: to_json(entry) + b"\n")


def write_parquet(facts: Facts, entries: Iterable[Entry], out: BinaryIO) -> ExportResult:
    """Writes one row for each entry. Raises ``Invalid`` if pyarrow is not installed.

    Sizes are int64, times are UTC timestamps in milliseconds, labels are a list of strings, the checksum and the user
    metadata are maps of strings. A ``generation_id``, a number or a text in the manifest, is a text; ``overridden`` is
    JSON.
    """
    pa = load_pyarrow()
    schema = _schema(pa).with_metadata({FACTS: to_json(facts_json(facts))})
    with parquet_writer(out, schema) as write:
        return write_each("parquet", entries, write, _row)


def load_pyarrow() -> Any:  # noqa: ANN401  # pyarrow is an optional dependency
    """The module ``pyarrow``. Raises ``Invalid`` if it is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise Invalid(f"Parquet needs pyarrow. Install it with: {install_command('parquet')}") from error


@contextmanager
def parquet_writer(out: BinaryIO, schema: Any) -> Iterator[Callable[[Mapping[str, Any]], None]]:  # noqa: ANN401  # as above
    """For the block: a function that writes a row. The stream stays open, and may be a pipe."""
    pa = load_pyarrow()
    rows: list[Mapping[str, Any]] = []
    parquet = importlib.import_module("pyarrow.parquet")
    with parquet.ParquetWriter(_CountingStream(out), schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema), row_group_size=ROW_GROUP)
            rows.clear()

        def write(row: Mapping[str, Any]) -> None:
            rows.append(row)
            if len(rows) == ROW_GROUP:
                flush()

        yield write
        if rows:
            flush()


class _CountingStream(RawIOBase):
    """A stream that counts what it writes, as pyarrow asks for the position and a pipe has none."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401  # bytes of any kind
        written = self._out.write(data)
        self._written += written
        return written

    def tell(self) -> int:
        return self._written


def _schema(pa: Any) -> Any:  # noqa: ANN401  # as above
    types = {
        "size_bytes": pa.int64(),
        "good": pa.bool_(),
        "hidden": pa.bool_(),
        "labels": pa.list_(pa.string()),
        **dict.fromkeys(_MAPS, pa.map_(pa.string(), pa.string())),
        **dict.fromkeys(_TIMES, pa.timestamp("ms", tz="UTC")),
    }
    return pa.schema([pa.field(name, types.get(name, pa.string())) for name in COLUMNS])


def _row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(entry, name) for name in COLUMNS}
    row |= {name: row[name] and datetime.fromisoformat(row[name]) for name in _TIMES}
    row |= {name: row[name] and list(row[name].items()) for name in _MAPS}
    row["generation_id"] = str(entry.generation_id)
    row["overridden"] = to_json(entry.overridden).decode()
    return row
