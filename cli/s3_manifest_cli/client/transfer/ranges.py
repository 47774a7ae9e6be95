"""Byte ranges: reading and writing them in files, and recording beside a partial file which ones it holds.

The record is lines of text: first which object it is about, then one line for each range, written after its bytes. A
last line without a line break is from a killed run, and is ignored.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_LINE = re.compile(rb"(\d+) (\d+)\n")


class Range(NamedTuple):
    """The bytes from ``start`` up to, but not including, ``end``."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.end - self.start


class Record(NamedTuple):
    """The ranges that an earlier run recorded, and the size of the valid part of the record."""

    ranges: tuple[Range, ...]
    size: int


def merge(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same bytes in as few ranges as possible, in order."""
    merged: list[Range] = []
    for part in sorted(ranges):
        if merged and part.start <= merged[-1].end:
            merged[-1] = Range(merged[-1].start, max(merged[-1].end, part.end))
        else:
            merged.append(part)
    return tuple(merged)


def missing(size: int, present: Iterable[Range], max_size: int) -> Iterator[Range]:
    """The bytes of an object of ``size`` bytes that are not present, in order, in ranges of at most ``max_size``."""
    start = 0
    for part in (*merge(present), Range(size, size)):
        while start < part.start:
            end = min(start + max_size, part.start)
            yield Range(start, end)
            start = end
        start = max(start, part.end)


def record_header(etag: str, size: int) -> bytes:
    """The first line of a record."""
    return json.dumps({"etag": etag, "size": size}).encode() + b"\n"


def record_line(part: Range) -> bytes:
    """The line of a range whose bytes are in the file."""
    return f"{part.start} {part.end}\n".encode()


def read_record(record: bytes, etag: str, size: int) -> Record | None:
    """The valid part of a record about this object; None if it is about another, or is not a record."""
    header = record_header(etag, size)
    if not record.startswith(header):
        return None
    ranges: list[Range] = []
    valid = len(header)
    while line := _LINE.match(record, valid):
        part = Range(int(line[1]), int(line[2]))
        if not part.start < part.end <= size:
            break
        ranges.append(part)
        valid = line.end()
    return Record(merge(ranges), valid)


def open_record(fd: int, etag: str, size: int, *, is_valid: bool) -> tuple[Range, ...]:
    """The ranges in the record of an object, none unless it is valid; more lines can follow. Raises ``OSError``."""
    record = read_record(read_at(fd, os.fstat(fd).st_size, 0), etag, size) if is_valid else None
    os.ftruncate(fd, record.size if record else 0)
    os.lseek(fd, 0, os.SEEK_END)
    if record is None:
        os.write(fd, record_header(etag, size))
    return record.ranges if record else ()


if sys.platform == "win32":
    # A descriptor has a single position there.
    _lock = threading.Lock()

    def _pread(fd: int, size: int, offset: int) -> bytes:
        with _lock:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, size)

    def _preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        block = _pread(fd, len(buffers[0]), offset)
        buffers[0][: len(block)] = block
        return len(block)

    def _pwrite(fd: int, data: memoryview, offset: int) -> int:
        with _lock:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.write(fd, data)

else:
    _pread, _preadv, _pwrite = os.pread, os.preadv, os.pwrite


def read_into(fd: int, buffer: memoryview, offset: int) -> int:
    """Reads bytes into a buffer and returns how many, 0 only at the end of the file. Raises ``OSError``."""
    return _preadv(fd, [buffer], offset)


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Reads so many bytes, fewer only at the end of the file, from any thread. Raises ``OSError``."""
    blocks: list[bytes] = []
    while size and (block := _pread(fd, size, offset)):
        blocks.append(block)
        size -= len(block)
        offset += len(block)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def write_at(fd: int, data: bytes, offset: int) -> None:
    """Writes all the bytes, from any thread. Raises ``OSError``."""
    remaining = memoryview(data)
    while remaining:
        written = _pwrite(fd, remaining, offset)
        remaining = remaining[written:]
        offset += written
