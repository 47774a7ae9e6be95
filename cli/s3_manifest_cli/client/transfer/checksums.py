"""The checksums of a file: its MD5, which manifests hold, and its CRC-64/NVME, which costs next to nothing."""

import base64
import hashlib
from typing import BinaryIO, NamedTuple

from awscrt import checksums  # type: ignore[import-untyped]  # it has types, but no py.typed

_BLOCK = 1 << 20


class Checksums(NamedTuple):
    """``md5`` in hex, and ``crc`` of the same bytes. An empty ``md5`` was not computed."""

    md5: str
    crc: int


def compute_checksums(file: BinaryIO, size: int) -> Checksums:
    """The checksums of the rest of the file, which is about ``size`` bytes. Raises ``OSError``."""
    md5, crc = hashlib.md5(usedforsecurity=False), 0
    while block := file.read(min(_BLOCK, size + 1)):
        md5.update(block)
        crc = crc_of(block, crc)
    return Checksums(md5.hexdigest(), crc)


def crc_of(data: bytes | memoryview, previous: int = 0) -> int:
    """The CRC of bytes that follow others, whose CRC is ``previous``."""
    crc: int = checksums.crc64nvme(data, previous)
    return crc


def combine_crcs(first: int, second: int, second_size: int) -> int:
    """The CRC of two sequences of bytes, one after the other."""
    crc: int = checksums.combine_crc64nvme(first, second, second_size)
    return crc


def encode_crc(crc: int) -> str:
    """The CRC in base64, as S3 writes it."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()
