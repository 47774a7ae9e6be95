"""What a file is known again by: its MD5, as manifests have it, and a CRC, which takes next to no time to compute."""

import base64
import hashlib
from typing import BinaryIO, NamedTuple

from awscrt import checksums  # type: ignore[import-untyped]  # it says its types, and not that it does

_BLOCK = 1 << 20


class Checksums(NamedTuple):
    """``md5`` in hex; ``crc`` is the CRC-64/NVME of the same bytes."""

    md5: str
    crc: int


def compute_checksums(file: BinaryIO, size: int) -> Checksums:
    """Those of all that is left to be read, of about that size. Raises ``OSError``."""
    md5, crc = hashlib.md5(usedforsecurity=False), 0
    while block := file.read(min(_BLOCK, size + 1)):
        md5.update(block)
        crc = crc_of(block, crc)
    return Checksums(md5.hexdigest(), crc)


def crc_of_both(before: int, crc: int, size: int) -> int:
    """The CRC of bytes that have ``before``, followed by so many that have ``crc``."""
    both: int = checksums.combine_crc64nvme(before, crc, size)
    return both


def encoded(crc: int) -> str:
    """As S3 writes it."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()


def crc_of(data: bytes | memoryview, before: int = 0) -> int:
    """The CRC of bytes that follow others, whose CRC is ``before``."""
    crc: int = checksums.crc64nvme(data, before)
    return crc
