"""The ``metadata.jsonl`` of a Hugging Face ImageFolder."""

import shutil
from collections.abc import Callable, Iterable
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

from pydantic_core import to_json

from s3_manifest.model import Entry, Facts
from s3_manifest.sidecars import is_image
from s3_manifest_cli.client.export.exported import CannotHold, Exported, relative, write_each

# Below the loader's 10 MB, so that there is room for the lines that come first.
_TYPED = 8 << 20
_IN_MEMORY = 16 << 20
_LEFT_OUT = {"filename", "prompt", "overridden", "hidden", "caption", "problem"}


def write_imagefolder(facts: Facts, entries: Iterable[Entry], out: BinaryIO) -> Exported:
    """What ``datasets.load_dataset("imagefolder", data_dir=…)`` reads as ``metadata.jsonl`` above the images.

    One line for each image, with its ``file_name``, its prompt as ``text`` (empty where it has none: trainers
    take no null) and its other fields; the checksum and the user metadata are JSON in a string. Files that
    are not images are left out, for it loads each line as one.

    The lines are sorted by filename. But it takes the types of columns from the first 10 MB: a line further down
    with the first value of a column comes first, so that no column is typed as empty and then is not.
    https://huggingface.co/docs/datasets/image_dataset#imagefolder
    """
    id_of = _one_type(facts)
    first: list[bytes] = []
    typed: set[str] = set()
    with SpooledTemporaryFile(_IN_MEMORY) as rest:

        def line(entry: Entry) -> bytes | None:
            if not is_image(entry.filename):
                return None
            if "\\" in relative(entry.filename):
                raise CannotHold(f"ImageFolder takes the backslash of {entry.filename!r} for a slash; rename it")
            fields = entry.model_dump(mode="json", exclude=_LEFT_OUT)
            fields["generation_id"] = id_of(entry.generation_id)
            fields |= {name: to_json(fields[name]).decode() for name in ("checksum", "metadata")}
            body = to_json({"file_name": entry.filename, "text": entry.prompt or "", **fields}) + b"\n"
            types = {name for name, value in fields.items() if value is not None and value != []}
            is_late = rest.tell() > _TYPED and not types <= typed
            typed.update(types)
            if is_late:
                first.append(body)
            return b"" if is_late else body

        exported = write_each("imagefolder", entries, rest, line)
        out.writelines(first)
        rest.seek(0)
        shutil.copyfileobj(rest, out)
    return exported


def _one_type(facts: Facts) -> Callable[[Any], int | str]:
    """Ids as they are if all are numbers, else as text: a column has one type."""
    ids = [one.generation_id for one in facts.generations]
    return (lambda one: one) if all(isinstance(one, int) and abs(one) < 1 << 63 for one in ids) else str
