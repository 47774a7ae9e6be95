"""The metadata file of a Hugging Face ImageFolder: ``metadata.jsonl``, or ``metadata.parquet`` with fixed types.

Load it by its own name: ``load_dataset("imagefolder", data_files="…/metadata.jsonl", split="train")``. With
``data_dir=`` the loader interprets some names in the folder as splits, URLs, archives or metadata
(https://huggingface.co/docs/datasets/repository_structure), and silently drops the other images and all prompts.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

from pydantic_core import from_json, to_json

from s3_manifest.manifest.model import Entry, Facts, Problem
from s3_manifest.sidecars.captions import is_image
from s3_manifest_cli.client.export.tables import load_pyarrow, parquet_writer
from s3_manifest_cli.client.export.writer import ExportResult, UnsupportedFile, relative, write_each

_BATCH = 10 << 20
"""Bytes of one batch: the loader infers the types of columns for each batch separately."""
_TYPED = 8 << 20
"""Smaller than ``_BATCH``, which leaves room for the lines that are moved to the beginning."""
_IN_MEMORY = 16 << 20
_EXCLUDED = {"filename", "prompt", "overridden", "hidden", "caption", "problem"}

# Arrow's JSON reader turns a column into timestamps if all of its strings look like this.
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d(:?\d\d(:?\d\d)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")

# What the loader recognizes by names in a folder: https://github.com/huggingface/datasets/blob/main/src/datasets/data_files.py
_RESERVED_NAMES = {
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
) -> ExportResult:
    """Writes ``metadata.jsonl``, which belongs above the images: one line for each image.

    A line has the ``file_name``, the prompt as ``text`` (empty without a prompt: trainers do not accept null) and the
    other fields; the checksum and the user metadata are JSON in a string. Files that are not images are left out,
    since the loader loads every line as an image.

    The lines are sorted by filename. But the loader infers the types of columns from the first 10 MB: a line further
    down that has the first value of a column moves to the beginning, so that no column is typed as empty. Columns in
    which every text looks like a date become timestamps, which nothing in JSON prevents: they are problems.

    Filenames, also of ``captions``, that ``load_dataset("imagefolder", data_dir=…)`` does not load are problems too.
    https://huggingface.co/docs/datasets/image_dataset#imagefolder
    """
    images = _Images(facts, captions)
    first: list[bytes] = []
    typed: set[str] = set()
    dated: set[str] = set()
    with SpooledTemporaryFile(_IN_MEMORY) as lines:

        def write(row: Mapping[str, Any]) -> None:
            types = {name for name, value in row.items() if value is not None and value != []}
            dated.update(name for name, value in row.items() if any(map(_is_date, _texts(value))))
            is_late = lines.tell() > _TYPED and not types <= typed
            typed.update(types)
            (first.append if is_late else lines.write)(to_json(row) + b"\n")

        result = write_each("imagefolder", entries, write, images.row)
        lines.seek(0)
        timestamps = sorted(_timestamp_columns(chain(first, lines), dated)) if dated else []
        out.writelines(first)
        lines.seek(0)
        shutil.copyfileobj(lines, out)
    problems = [*result.problems, *images.problems("metadata.jsonl")]
    if timestamps:
        reason = (
            f"datasets reads {' and '.join(timestamps)} as timestamps, since every text looks like a date, and JSON"
        )
        reason += " lines have no types. Export imagefolder-parquet instead"
        problems.append(Problem(s3_key=facts.s3_prefix, problem=reason))
    return result._replace(problems=tuple(problems))


def write_imagefolder_parquet(
    facts: Facts, entries: Iterable[Entry], out: BinaryIO, *, captions: Iterable[Entry] = ()
) -> ExportResult:
    """Writes ``metadata.parquet``: the same, with the types of the manifest. Raises ``Invalid`` without pyarrow."""
    pa = load_pyarrow()
    images = _Images(facts, captions)
    types = {"size_bytes": pa.int64(), "good": pa.bool_(), "labels": pa.list_(pa.string())}
    if images.has_numeric_ids:
        types["generation_id"] = pa.int64()
    columns = ["file_name", "text", *(name for name in Entry.model_fields if name not in _EXCLUDED)]
    schema = pa.schema([pa.field(name, types.get(name, pa.string())) for name in columns])
    with parquet_writer(out, schema) as write:
        result = write_each("imagefolder-parquet", entries, write, images.row)
    return result._replace(problems=(*result.problems, *images.problems("metadata.parquet")))


class _Images:
    """The rows of images, whose ids are numbers if all are, and the filenames that are not loaded as images."""

    def __init__(self, facts: Facts, captions: Iterable[Entry]) -> None:
        ids = [generation.generation_id for generation in facts.generations]
        self.has_numeric_ids = all(isinstance(value, int) and abs(value) < 1 << 63 for value in ids)
        self._prefix = facts.s3_prefix
        self._reserved: dict[str, list[str]] = {}
        for caption in captions:
            self._check_name(caption.filename)

    def row(self, entry: Entry) -> dict[str, Any] | None:
        """The values of an image by column; None for a file that is not an image. Raises ``UnsupportedFile``."""
        self._check_name(entry.filename)
        if not is_image(entry.filename):
            return None
        if "\\" in relative(entry.filename):
            raise UnsupportedFile(
                f"ImageFolder reads the backslash in {entry.filename!r} as a slash; rename the object in S3"
            )
        fields = entry.model_dump(mode="json", exclude=_EXCLUDED)
        if not self.has_numeric_ids:
            fields["generation_id"] = str(entry.generation_id)
        fields |= {name: to_json(fields[name]).decode() for name in ("checksum", "metadata")}
        return {"file_name": entry.filename, "text": entry.prompt or "", **fields}

    def problems(self, name: str) -> Iterator[Problem]:
        """The problems of loading the folder instead of this file."""
        for meaning, filenames in self._reserved.items():
            examples = ", ".join(map(repr, filenames[:_EXAMPLES])) + (", …" if len(filenames) > _EXAMPLES else "")
            yield Problem(
                s3_key=self._prefix,
                problem=f'load_dataset("imagefolder", data_dir=…) reads {examples} as {meaning}, and drops images and'
                f' prompts, or fails. Load this file by name: load_dataset("imagefolder", data_files="…/{name}",'
                ' split="train")',
            )

    def _check_name(self, filename: str) -> None:
        for meaning, pattern in _RESERVED_NAMES.items():
            if pattern.search(filename):
                self._reserved.setdefault(meaning, []).append(filename)


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else value if isinstance(value, list) else []


def _is_date(text: str) -> bool:
    return text[4:5] == "-" and _DATE.fullmatch(text) is not None


def _timestamp_columns(lines: Iterable[bytes], columns: set[str]) -> set[str]:
    """The columns in which, in some batch of lines, every text is a date."""
    timestamps: set[str] = set()
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
            timestamps |= dates - others
            dates, others, size = set(), set(), 0
    return timestamps | (dates - others)
