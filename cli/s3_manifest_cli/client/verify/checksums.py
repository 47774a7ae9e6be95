"""Checksum algorithms as S3 encodes them, also of objects uploaded in parts. Pure."""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from awscrt import checksums  # type: ignore[import-untyped]  # it has types, and no marker that it has

Bytes: TypeAlias = bytes | bytearray | memoryview

_MIB = 1 << 20
_MAX_PARTS = 10_000
_USUAL_PART_SIZES = (
    *(size * _MIB for size in (8, 5, 16, 15, 50, 64, 10, 20, 25, 32, 100, 128, 256, 512, 1024)),
    17_179_870,  # the S3 console
    *(size * 1_000_000 for size in (5, 8, 10, 16, 50, 64, 100)),  # clients that count in decimal megabytes
)
# AWS CLI and boto3 8 MiB, doubled as needed: https://docs.aws.amazon.com/cli/latest/topic/s3-config.html
# rclone 5 MiB: https://rclone.org/s3/#multipart-uploads; s3cmd 15 MiB: https://s3tools.org/usage;
# s5cmd 50 MiB: https://github.com/peak/s5cmd#readme; MinIO's clients 16 MiB or a multiple of it.


class Hash(Protocol):
    """The part of a ``hashlib`` object that is used."""

    def update(self, data: Bytes, /) -> None: ...  # noqa: D102
    def digest(self) -> bytes: ...  # noqa: D102


class _Crc:
    """A CRC with the interface of ``hashlib``. Its digest is big-endian, as S3 encodes it."""

    def __init__(self, function: Callable[[Bytes, int], int], size: int) -> None:
        self._function, self._size, self._value = function, size, 0

    def update(self, data: Bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


ALGORITHMS: Mapping[str, Callable[[], Hash]] = {
    "sha512": hashlib.sha512,
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "crc64nvme": lambda: _Crc(checksums.crc64nvme, 8),
    "crc32c": lambda: _Crc(checksums.crc32c, 4),
    "crc32": lambda: _Crc(zlib.crc32, 4),
}
"""Constructors by the names that checksums have in a manifest, strongest first."""


class MultipartHash:
    """The digest of the parts' digests. The last of ``sizes`` is the size of all parts that follow."""

    def __init__(self, algorithm: str, sizes: Sequence[int]) -> None:
        self._new = ALGORITHMS[algorithm]
        self._sizes = iter(sizes)
        self._digests = bytearray()
        self._start_part(next(self._sizes))

    def _start_part(self, size: int) -> None:
        self._part, self._size = self._new(), size
        self._left = max(1, size)  # with a part size of 0, ``update`` would not end

    def update(self, data: Bytes, /) -> None:
        """Adds the bytes that follow."""
        view = memoryview(data)
        while len(view) > self._left:
            self._part.update(view[: self._left])
            view = view[self._left :]
            self._digests += self._part.digest()
            self._start_part(next(self._sizes, self._size))
        self._part.update(view)
        self._left -= len(view)

    def digest(self) -> bytes:
        """The digest of all bytes so far."""
        whole = self._new()
        whole.update(self._digests + self._part.digest())
        return whole.digest()


def possible_part_sizes(size: int, parts: int) -> tuple[int, ...]:
    """The part sizes, in bytes, by which clients cut an object of this size into so many parts; usual ones first.

    S3 does not return part sizes with an object. But clients cut all parts except the last in one size, and use few
    sizes: their defaults, which they raise for objects of more than 10,000 parts.
    """
    even = (-(-size // count) for count in (parts, _MAX_PARTS))
    rounded = (-(-part // unit) * unit for part in even for unit in (1, _MIB, 5 * _MIB, 16 * _MIB))
    candidates = (*_USUAL_PART_SIZES, *rounded)
    return tuple(dict.fromkeys(part for part in candidates if part > 0 and part_count(size, part) == parts))


def part_count(size: int, part_size: int) -> int:
    """The number of parts of an object; an empty object has one."""
    return max(1, -(-size // part_size))
