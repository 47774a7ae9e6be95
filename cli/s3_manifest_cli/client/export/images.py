"""How large images of a folder are, for the formats that have to say."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import imagesize

from s3_manifest_cli.client.export.cvat import SizeOf
from s3_manifest_cli.client.local.folders import folder_at
from s3_manifest_cli.client.local.reading import open_file
from s3_manifest_cli.errors import Invalid

# Some hundred bytes tell the size, at the beginning or, of a TIFF, anywhere. But a JPEG's thumbnails are before it,
# and what is no image at all could be searched to its end.
_MAX_BYTES = 4 << 20
_LEAST = 64


@contextmanager
def sizes_in(folder: Path) -> Iterator[SizeOf]:
    """Of an image below the folder its width and height; None where it is not there, or they cannot be told.

    As they are shown: turned as EXIF says in JPEG, TIFF and HEIF. What EXIF says in PNG and WebP, where hardly any
    has it, is not read.

    No link is followed. For the block of the ``with``. Raises ``Invalid`` where there is no such folder.
    """
    try:
        opened = folder_at(str(folder))
    except OSError as error:
        raise Invalid(f"there are no images in {folder}: {error.strerror}") from error
    with opened as top:

        def size_of(filename: str) -> tuple[int, int] | None:
            try:
                with open_file(top, filename) as file:
                    width, height = imagesize.get(_Bounded(file), exif_rotation=True)
            except OSError:
                return None
            # Of SVG, which is no picture of pixels whatever its name, it tells fractions.
            told = isinstance(width, int) and isinstance(height, int) and min(width, height) > 0
            return (width, height) if told else None

        yield size_of


class _Bounded:
    """A file that ends when so many bytes of it were read, wherever they lie; sooner, if they are read one by one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MAX_BYTES

    def read(self, size: int = -1) -> bytes:
        most = max(self._left, 0)
        data = self._file.read(min(size, most) if size >= 0 else most)
        self._left -= max(len(data), _LEAST)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)
