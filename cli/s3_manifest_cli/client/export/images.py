"""How large images of a folder are, for the formats that have to say."""

from io import BytesIO
from pathlib import Path

import imagesize

from s3_manifest_cli.client.export.cvat import SizeOf
from s3_manifest_cli.client.folders import folder_at
from s3_manifest_cli.client.reading import open_file

# What tells the size is at an image's beginning, but for a JPEG's thumbnails and colour profiles before it.
_MAX_BYTES = 4 << 20


def sizes_in(folder: Path) -> SizeOf:
    """Of an image below the folder its width and height; None where it is not there, or they cannot be told.

    No link is followed. Raises ``OSError`` where there is no such folder.
    """
    top = folder_at(str(folder))

    def size_of(filename: str) -> tuple[int, int] | None:
        try:
            with open_file(top, filename) as file:
                width, height = imagesize.get(BytesIO(file.read(_MAX_BYTES)), exif_rotation=True)
        except (OSError, ValueError):
            return None
        return (int(width), int(height)) if width > 0 and height > 0 else None

    return size_of
