"""The metadata file of a Hugging Face ImageFolder: ``metadata.jsonl``, or ``metadata.parquet`` with fixed types.

Load it by its own name: ``load_dataset("imagefolder", data_files="…/metadata.jsonl", split="train")``. With
``data_dir=`` the loader takes files in the folder for splits, URLs, archives or metadata by their names alone
(https://huggingface.co/docs/datasets/repository_structure), and silently drops the other images and all prompts.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

from pydantic_core import from_json, to_json

from s3_manifest.manifest.model import Entry, Facts, Problem
from s3_manifest.sidecars.formats import is_image
from s3_manifest_cli.client.export.exported import CannotHold, Exported, relative, write_each
from s3_manifest_cli.client.export.parquet import ROW_GROUP, load_pyarrow, parquet_writer

_BATCH = 10 << 20
"""Bytes: the loader takes the types of columns from each batch of so many."""
_TYPED = 8 << 20
"""Below ``_BATCH``, so that there is room for the lines that come first."""
_IN_MEMORY = 16 << 20
_LEFT_OUT = {"filename", "prompt", "overridden", "hidden", "caption", "problem"}

# Arrow's reader of JSON takes a column for timestamps if each of its strings looks like this.
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d(:?\d\d(:?\d\d)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")

# What the loader finds by names in a folder: https://github.com/huggingface/datasets/blob/main/src/datasets/data_files.py
_TAKEN_FOR = {
    "a split": re.compile(
        r"(?:^|[-._ 0-9/])(?:train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?=[-._ 0-9/])"
        r"|^data/.*-\d{5}-of-\d{5}"
    ),
    "an evaluation log": re.compile(r"\.eval\Z|(?:^|/)(?:task\.toml|instruction\.md)\Z"),
    "metadata": re.compile(r"(?:^|/)metadata\.(?:csv|jsonl|parquet)\Z"),
    "an archive": re.compile(r"\.zip\Z", re.IGNORECASE),
    "a chain of URLs": re.compile("::"),
    "a variable": re.compile(r"\$[A-Za-z_{]"),
}
_EXAMPLES = 3


def write_imagefolder(
    facts: Facts, entries: Iterable[Entry], out: BinaryIO, *, captions: Iterable[Entry] = ()
) -> Exported:
    """``metadata.jsonl``, above the images: one line for each.

    It has its ``file_name``, its prompt as ``text`` (empty where it has none: trainers take no null) and its other
    fields; the checksum and the user metadata are JSON in a string. Files that are not images are left out, for the
    loader loads each line as one.

    The lines are sorted by filename. But the loader takes the types of columns from the first 10 MB: a line further
    down with the first value of a column comes first, so that no column is typed as empty and then is not. Columns
    whose texts all look like dates become timestamps, which nothing in JSON prevents: they are problems.

    So are names of files, ``captions`` among them, that ``load_dataset("imagefolder", data_dir=…)`` does not load;
    this file itself names them as they are.
    https://huggingface.co/docs/datasets/image_dataset#imagefolder
    """
    id_of = _one_type(facts)
    names = _Names(captions)
    first: list[bytes] = []
    typed: set[str] = set()
    dated: set[str] = set()
    with SpooledTemporaryFile(_IN_MEMORY) as rest:

        def line(entry: Entry) -> bytes | None:
            names.add(entry.filename)
            row = _row(entry, id_of)
            if row is None:
                return None
            body = to_json(row) + b"\n"
            types = {name for name, value in row.items() if value is not None and value != []}
            dated.update(name for name, value in row.items() if any(map(_is_date, _texts(value))))
            is_late = rest.tell() > _TYPED and not types <= typed
            typed.update(types)
            if is_late:
                first.append(body)
            return b"" if is_late else body

        exported = write_each("imagefolder", entries, rest, line)
        rest.seek(0)
        wrong = sorted(_read_as_dates(chain(first, rest), dated)) if dated else []
        out.writelines(first)
        rest.seek(0)
        shutil.copyfileobj(rest, out)
    return exported._replace(
        problems=(*exported.problems, *names.problems(facts, "metadata.jsonl"), *_dates(facts, wrong))
    )


def write_imagefolder_parquet(
    facts: Facts, entries: Iterable[Entry], out: BinaryIO, *, captions: Iterable[Entry] = ()
) -> Exported:
    """``metadata.parquet``: as ``metadata.jsonl``, and each column has the type that it has in the manifest.

    Raises ``Invalid`` where pyarrow is not installed.
    """
    pa = load_pyarrow()
    id_of = _one_type(facts)
    names = _Names(captions)
    types = {"size_bytes": pa.int64(), "good": pa.bool_(), "labels": pa.list_(pa.string())}
    if id_of is not str:
        types["generation_id"] = pa.int64()
    columns = ["file_name", "text", *(name for name in Entry.model_fields if name not in _LEFT_OUT)]
    schema = pa.schema([pa.field(name, types.get(name, pa.string())) for name in columns])
    rows: list[dict[str, Any]] = []
    with parquet_writer(out, schema) as writer:

        def flush() -> None:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema), row_group_size=ROW_GROUP)
            rows.clear()

        def add(entry: Entry) -> bytes | None:
            names.add(entry.filename)
            row = _row(entry, id_of)
            if row is None:
                return None
            rows.append(row)
            if len(rows) == ROW_GROUP:
                flush()
            return b""

        with SpooledTemporaryFile() as nothing:
            exported = write_each("imagefolder-parquet", entries, nothing, add)
        if rows:
            flush()
    return exported._replace(problems=(*exported.problems, *names.problems(facts, "metadata.parquet")))


class _Names:
    """The names in the folder that the loader takes for something else."""

    def __init__(self, captions: Iterable[Entry]) -> None:
        self._found: dict[str, list[str]] = {}
        for caption in captions:
            self.add(caption.filename)

    def add(self, filename: str) -> None:
        for what, pattern in _TAKEN_FOR.items():
            if pattern.search(filename):
                self._found.setdefault(what, []).append(filename)

    def problems(self, facts: Facts, name: str) -> Iterator[Problem]:
        for what, filenames in self._found.items():
            examples = ", ".join(map(repr, filenames[:_EXAMPLES])) + (", …" if len(filenames) > _EXAMPLES else "")
            yield Problem(
                s3_key=facts.s3_prefix,
                problem=f'load_dataset("imagefolder", data_dir=…) takes {examples} for {what}, and drops images and'
                f' prompts, or fails. Load this file by name: load_dataset("imagefolder", data_files="…/{name}",'
                ' split="train")',
            )


def _row(entry: Entry, id_of: Callable[[Any], int | str]) -> dict[str, Any] | None:
    """An image by the columns' names; None for what is no image. Raises ``CannotHold``."""
    if not is_image(entry.filename):
        return None
    if "\\" in relative(entry.filename):
        raise CannotHold(f"ImageFolder takes the backslash of {entry.filename!r} for a slash; rename it")
    fields = entry.model_dump(mode="json", exclude=_LEFT_OUT)
    fields["generation_id"] = id_of(entry.generation_id)
    fields |= {name: to_json(fields[name]).decode() for name in ("checksum", "metadata")}
    return {"file_name": entry.filename, "text": entry.prompt or "", **fields}


def _one_type(facts: Facts) -> Callable[[Any], int | str]:
    """Ids as they are if all are numbers, else as text: a column has one type."""
    ids = [one.generation_id for one in facts.generations]
    return (lambda one: one) if all(isinstance(one, int) and abs(one) < 1 << 63 for one in ids) else str


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else value if isinstance(value, list) else []


def _is_date(text: str) -> bool:
    return text[4:5] == "-" and _DATE.fullmatch(text) is not None


def _read_as_dates(lines: Iterable[bytes], columns: set[str]) -> set[str]:
    """Those of the columns that in some batch of lines have nothing but dates."""
    found: set[str] = set()
    dates: set[str] = set()
    others: set[str] = set()
    size = 0
    for line in lines:
        row = from_json(line)
        for name in columns:
            for text in _texts(row[name]):
                (dates if _is_date(text) else others).add(name)
        size += len(line)
        if size > _BATCH:
            found |= dates - others
            dates, others, size = set(), set(), 0
    return found | (dates - others)


def _dates(facts: Facts, columns: list[str]) -> Iterator[Problem]:
    if columns:
        yield Problem(
            s3_key=facts.s3_prefix,
            problem=f"datasets reads {' and '.join(columns)} as timestamps, since each text looks like a date, and JSON"
            " lines have no types. Export the format imagefolder-parquet, which has",
        )
