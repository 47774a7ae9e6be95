"""CVAT reads image sizes with Pillow and applies their EXIF orientation; exported sizes must be the same.

https://github.com/cvat-ai/cvat/blob/develop/utils/dataset_manifest/core.py
"""

import pytest
from PIL import ExifTags, Image, ImageOps

from s3_manifest_cli.client.export.cvat import image_sizes

pytestmark = pytest.mark.readers


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_the_size_of_an_image_follows_its_exif_orientation(suffix, orientation, tmp_path):
    exif = Image.Exif()
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (7, 11)).save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as image, image_sizes(tmp_path) as size_of:
        assert size_of(f"a.{suffix}") == ImageOps.exif_transpose(image).size
        assert size_of(f"a.{suffix}") == ((11, 7) if orientation and orientation > 4 else (7, 11))


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "bmp", "avif"])
def test_the_size_of_each_format_is_read(suffix, tmp_path):
    Image.new("RGB", (7, 11)).save(tmp_path / f"a.{suffix}")
    with image_sizes(tmp_path) as size_of:
        assert size_of(f"a.{suffix}") == (7, 11)
