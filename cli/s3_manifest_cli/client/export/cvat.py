"""The dataset manifest of CVAT, and the sizes of images that it needs."""

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import imagesize

from s3_manifest.manifest.model import Entry, Facts
from s3_manifest.sidecars.captions import is_image
from s3_manifest_cli.client.export.writer import ExportResult, UnsupportedFile, relative, write_each
from s3_manifest_cli.client.local.folders import folder_at
from s3_manifest_cli.client.local.reading import open_file
from s3_manifest_cli.errors import Invalid

SizeOf = Callable[[str], tuple[int, int] | None]
"""Returns the width and height of an image in pixels as displayed (after its EXIF rotation), by its filename."""

# The size is in the first hundred bytes or, in a TIFF, anywhere. But a JPEG's thumbnails precede it, and a file that is
# no image could be searched to its end.
_MAX_BYTES = 4 << 20
_MIN_READ = 64


def write_cvat(_: Facts, entries: Iterable[Entry], out: BinaryIO, *, size_of: SizeOf | None = None) -> ExportResult:
    """Writes the ``manifest.jsonl`` that CVAT reads at a collection's prefix in a cloud storage.

    CVAT needs the width and height of each image, which the manifest does not hold: without ``size_of`` this raises
    ``Invalid``, and an image without a size is a problem. Files that are not images are left out. There is no
    ``checksum``: CVAT's is the MD5 of the decoded pixels, not of the file.
    https://docs.cvat.ai/docs/dataset_management/dataset_manifest/
    """
    if size_of is None:
        raise Invalid("CVAT needs the width and height of each image. Pass the folder with the images as --images")
    get_size: SizeOf = size_of

    def line(entry: Entry) -> bytes | None:
        if not is_image(entry.filename):
            return None
        size = get_size(relative(entry.filename))
        if size is None:
            raise UnsupportedFile("its width and height are not known")
        name, extension = posixpath.splitext(entry.filename)
        image = {"name": name, "extension": extension, "width": size[0], "height": size[1]}
        return _line(image | {"meta": {"related_images": []}})

    out.write(_line({"version": "1.1"}) + _line({"type": "images"}))
    return write_each("cvat", entries, out.write, line)


def _line(fields: dict[str, Any]) -> bytes:
    # In ASCII: CVAT opens the file in the default encoding of its machine.
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


@contextmanager
def image_sizes(folder: Path) -> Iterator[SizeOf]:
    """For the block: a function for the sizes of images below a folder; None for an image without a readable size.

    EXIF rotation applies in JPEG, TIFF and HEIF; in PNG and WebP, where it is rare, it is ignored. Symlinks are not
    followed. Raises ``Invalid`` if the folder does not exist.
    """
    try:
        opened = folder_at(str(folder))
    except OSError as error:
        raise Invalid(f"The folder of --images was not read: {folder}: {error.strerror}.") from error
    with opened as top:

        def size_of(filename: str) -> tuple[int, int] | None:
            try:
                with open_file(top, filename) as file:
                    width, height = imagesize.get(_BoundedFile(file), exif_rotation=True)
            except OSError:
                return None
            # SVG images, whatever their suffix, have fractional sizes.
            is_valid = isinstance(width, int) and isinstance(height, int) and min(width, height) > 0
            return (width, height) if is_valid else None

        yield size_of


class _BoundedFile:
    """A file that ends after ``_MAX_BYTES`` bytes were read in total, wherever they lie.

    Each read counts as ``_MIN_READ`` bytes at least, so that a search byte by byte ends sooner.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._remaining = _MAX_BYTES

    def read(self, size: int = -1) -> bytes:
        limit = max(self._remaining, 0)
        data = self._file.read(min(size, limit) if size >= 0 else limit)
        self._remaining -= max(len(data), _MIN_READ)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)
