"""Which bytes of an object there are, and which are to be fetched; and the record of that beside a partial file.

The record is lines of text: what the object is, and then a line for each run of bytes, appended when these are in the
file. A last line without its end is one that a run was killed in, and says nothing.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Range(NamedTuple):
    """The bytes from ``start`` to before ``end``."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return self.end - self.start


class Record(NamedTuple):
    """What an earlier run recorded: the ranges that are there, and how many bytes of the record are good."""

    there: tuple[Range, ...]
    size: int


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same bytes in as few ranges as can be, in order."""
    made: list[Range] = []
    for one in sorted(ranges):
        if made and one.start <= made[-1].end:
            made[-1] = Range(made[-1].start, max(made[-1].end, one.end))
        else:
            made.append(one)
    return tuple(made)


def missing(size: int, there: Iterable[Range], most: int) -> Iterator[Range]:
    """The bytes of an object of that size that are not there, in order, in ranges of at most so many bytes."""
    start = 0
    for one in (*joined(there), Range(size, size)):
        while start < one.start:
            end = min(start + most, one.start)
            yield Range(start, end)
            start = end
        start = max(start, one.end)


def begun(etag: str, size: int) -> bytes:
    """The first line of a record."""
    return json.dumps({"etag": etag, "size": size}).encode() + b"\n"


def line(finished: Range) -> bytes:
    """The line that says that these bytes are in the file."""
    return f"{finished.start} {finished.end}\n".encode()


def recorded(record: bytes, etag: str, size: int) -> Record | None:
    """What a record says of this object; None where it is of another, or is no such record."""
    first = begun(etag, size)
    if not record.startswith(first):
        return None
    there: list[Range] = []
    good = len(first)
    for text in record[good:].splitlines(keepends=True):
        found = _range(text, size)
        if found is None:
            break
        there.append(found)
        good += len(text)
    return Record(joined(there), good)


def _range(text: bytes, size: int) -> Range | None:
    start, space, end = text.removesuffix(b"\n").partition(b" ")
    if not (text.endswith(b"\n") and space and start.isdigit() and end.isdigit()):
        return None
    found = Range(int(start), int(end))
    return found if found.start < found.end <= size else None
