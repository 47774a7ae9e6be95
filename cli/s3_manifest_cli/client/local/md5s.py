"""MD5s of files, as manifests have them."""

from functools import partial
from hashlib import file_digest, md5
from typing import BinaryIO


def md5_of(file: BinaryIO) -> str:
    """The MD5 of what is left to be read, in hex. Raises ``OSError``."""
    return file_digest(file, partial(md5, usedforsecurity=False)).hexdigest()  # type: ignore[arg-type]  # it has readinto
