"""The dataset manifest of CVAT."""

import json
import posixpath
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from s3_manifest.manifest.model import Entry, Facts
from s3_manifest.sidecars.formats import is_image
from s3_manifest_cli.client.export.exported import CannotHold, Exported, relative, write_each
from s3_manifest_cli.errors import Invalid

SizeOf = Callable[[str], tuple[int, int] | None]
"""Of an image's filename, its width and height in pixels, as it is shown (turned as its EXIF orientation says)."""


def write_cvat(_: Facts, entries: Iterable[Entry], out: BinaryIO, *, size_of: SizeOf | None = None) -> Exported:
    """What CVAT reads as the ``manifest.jsonl`` of a cloud storage, at the collection's prefix.

    CVAT wants the width and height of each image, and the manifest does not have them: without ``size_of``
    this raises ``Invalid``, and an image that it returns None for is a problem. Files that are not images are left
    out. There is no ``checksum``: CVAT's is the MD5 of the decoded pixels, and not that of the file.
    https://docs.cvat.ai/docs/dataset_management/dataset_manifest/
    """
    if size_of is None:
        raise Invalid(
            "CVAT wants the width and height of each image, which no manifest has: name a folder with --images"
        )
    told: SizeOf = size_of

    def line(entry: Entry) -> bytes | None:
        if not is_image(entry.filename):
            return None
        size = told(relative(entry.filename))
        if size is None:
            raise CannotHold("its width and height cannot be told")
        name, extension = posixpath.splitext(entry.filename)
        width, height = size
        image = {"name": name, "extension": extension, "width": width, "height": height}
        return _line(image | {"meta": {"related_images": []}})

    out.write(_line({"version": "1.1"}) + _line({"type": "images"}))
    return write_each("cvat", entries, out, line)


def _line(fields: dict[str, Any]) -> bytes:
    # In ASCII: CVAT opens it in whatever encoding its machine is set to.
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"
