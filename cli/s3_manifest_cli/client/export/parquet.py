"""Parquet: every field of every entry, typed."""

import importlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO

from pydantic_core import to_json

from s3_manifest.manifest.encoding import facts_json
from s3_manifest.manifest.model import Entry, Facts
from s3_manifest_cli.client.export.exported import Exported
from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.extras import install_command

ROW_GROUP = 10_000
"""So many entries are in memory at once."""

FACTS = b"s3_manifest"
"""Under this key the file's metadata has what the manifest says of the collection, as JSON."""

_TIMES = ("uploaded_at", "last_modified", "generated_at")
_MAPS = ("checksum", "metadata")


def write_parquet(facts: Facts, entries: Iterable[Entry], out: BinaryIO) -> Exported:
    """One row for each entry. Raises ``Invalid`` where pyarrow is not installed.

    Sizes are int64, times are timestamps in milliseconds, UTC, labels a list of strings, the checksum and
    the user metadata maps of strings. A ``generation_id`` is a number or a text, and a text here; what
    sidecars have overridden is JSON.
    """
    pa = load_pyarrow()
    schema = _schema(pa).with_metadata({FACTS: to_json(facts_json(facts))})
    files = 0
    with parquet_writer(out, schema) as writer:
        for rows in _groups(map(_row, entries)):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema), row_group_size=ROW_GROUP)
            files += len(rows)
    return Exported("parquet", files, 0, ())


def load_pyarrow() -> Any:  # noqa: ANN401  # pyarrow is imported only where it is used
    """The module ``pyarrow``. Raises ``Invalid`` where it is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise Invalid(f"Parquet needs pyarrow. Install it with: {install_command('parquet')}") from error


def parquet_writer(out: BinaryIO, schema: Any) -> Any:  # noqa: ANN401  # as above
    """A ``pyarrow.parquet.ParquetWriter`` that leaves the stream open, and also writes to a pipe."""
    return importlib.import_module("pyarrow.parquet").ParquetWriter(_Counted(out), schema, compression="zstd")


class _Counted:
    """A stream that knows how much was written: pyarrow asks, a pipe cannot tell. It leaves it open."""

    closed = False

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0

    def write(self, data: bytes) -> int:
        written = self._out.write(data)
        self._written += written
        return written

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        self.closed = True


def _schema(pa: Any) -> Any:  # noqa: ANN401  # pyarrow is imported only where it is used
    strings = pa.map_(pa.string(), pa.string())
    time = pa.timestamp("ms", tz="UTC")
    others = {
        "size_bytes": pa.int64(),
        "good": pa.bool_(),
        "hidden": pa.bool_(),
        "labels": pa.list_(pa.string()),
        **dict.fromkeys(_MAPS, strings),
        **dict.fromkeys(_TIMES, time),
    }
    return pa.schema([pa.field(name, others.get(name, pa.string())) for name in Entry.model_fields])


def _row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(entry, name) for name in Entry.model_fields}
    row |= {name: row[name] and datetime.fromisoformat(row[name]) for name in _TIMES}
    row |= {name: row[name] and list(row[name].items()) for name in _MAPS}
    row["generation_id"] = str(entry.generation_id)
    row["overridden"] = to_json(entry.overridden).decode()
    return row


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while group := list(islice(rows, ROW_GROUP)):
        yield group
