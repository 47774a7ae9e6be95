"""The ``metadata.jsonl`` of a Hugging Face ImageFolder."""

from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from pydantic_core import to_json

from s3_manifest.model import Entry, Facts
from s3_manifest.sidecars import is_image
from s3_manifest_cli.client.export.exported import CannotHold, Exported, relative, write_each

_LEFT_OUT = {"filename", "prompt", "overridden", "hidden", "caption", "problem"}


def write_imagefolder(facts: Facts, entries: Iterable[Entry], out: BinaryIO) -> Exported:
    """What ``datasets.load_dataset("imagefolder", data_dir=…)`` reads as ``metadata.jsonl`` above the images.

    One line for each image, with its ``file_name``, its prompt as ``text`` (empty where it has none: trainers
    take no null) and its other fields; the checksum and the user metadata are JSON in a string. Files that
    are not images are left out, for it loads a line as one.

    It takes the types of columns from the first 10 MB: a field that is empty in all of these, and not in all
    after them, needs ``features=``.
    https://huggingface.co/docs/datasets/image_dataset#imagefolder
    """
    id_of = _one_type(facts)

    def line(entry: Entry) -> bytes | None:
        if not is_image(entry.filename):
            return None
        if "\\" in relative(entry.filename):
            raise CannotHold(f"ImageFolder takes the backslash of {entry.filename!r} for a slash; rename it")
        fields = entry.model_dump(mode="json", exclude=_LEFT_OUT)
        fields["generation_id"] = id_of(entry.generation_id)
        fields |= {name: to_json(fields[name]).decode() for name in ("checksum", "metadata")}
        return to_json({"file_name": entry.filename, "text": entry.prompt or "", **fields}) + b"\n"

    return write_each("imagefolder", entries, out, line)


def _one_type(facts: Facts) -> Callable[[Any], int | str]:
    """Ids as they are if all are numbers, else as text: a column has one type."""
    ids = [one.generation_id for one in facts.generations]
    return (lambda one: one) if all(isinstance(one, int) and abs(one) < 1 << 63 for one in ids) else str
