"""A bucket with any number of objects that take no memory: what they are follows from their number.

Whatever is uploaded or removed beside or among them is kept in a ``MemoryStore``.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from heapq import merge
from itertools import islice
from typing import Any

from s3_manifest.memory import EPOCH, MemoryStore
from s3_manifest.store import Listed, Listing, Observation, Present, Stored

_SUFFIX = ".png"


class SyntheticObjects:
    """``count`` objects ``<prefix><number, 8 digits>.png``, and what is uploaded. See ``wire.Contents``.

    ``changed`` counts the synthetic ones that were overwritten or removed; these few are remembered.
    """

    def __init__(self, prefix: str, count: int) -> None:
        self.prefix = prefix
        self.count = count
        self.uploaded = MemoryStore()
        self._covered: set[int] = set()

    @property
    def changed(self) -> int:
        return len(self._covered)

    def key(self, number: int) -> str:
        """The key of the synthetic object with that number."""
        return f"{self.prefix}{number:08d}{_SUFFIX}"

    def head(self, key: str) -> Observation:
        number = self._number(key)
        return self.uploaded.head(key) if number is None else self._present(number)

    def get(self, key: str) -> Stored | None:
        number = self._number(key)
        return self.uploaded.get(key) if number is None else Stored(_body(number), _md5(number))

    def upload(self, key: str, body: bytes, **facts: Any) -> Present:  # noqa: ANN401
        self._cover(key)
        return self.uploaded.upload(key, body, **facts)

    def remove(self, key: str) -> None:
        self._cover(key)
        self.uploaded.remove(key)

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        others = self.uploaded.list(prefix, after=after, limit=limit + 1).objects
        run = list(islice(merge(self._below(prefix, after), others, key=lambda listed: listed.key), limit + 1))
        return Listing(tuple(run[:limit]), len(run) > limit)

    def _below(self, prefix: str, after: str) -> Iterator[Listed]:
        first = self._first_from(max(prefix, after))
        for number in range(first, self.count):
            if number in self._covered or (key := self.key(number)) <= after:
                continue
            if not key.startswith(prefix):
                return
            yield Listed(key, len(_body(number)), _md5(number), EPOCH)

    def _first_from(self, key: str) -> int:
        """The number of the first object whose key is not less than ``key``."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.key(middle) < key else (low, middle)
        return low

    def _present(self, number: int) -> Present:
        checksum = {"crc64nvme": "kCr8f5rOVps=", "type": "FULL_OBJECT"}
        body = _body(number)
        return Present(self.key(number), len(body), _md5(number), EPOCH, "image/png", checksum=checksum)

    def _number(self, key: str) -> int | None:
        """Which of the synthetic objects this is; None for any other, and for one that was changed."""
        name = key.removeprefix(self.prefix).removesuffix(_SUFFIX)
        if not (name.isascii() and name.isdecimal()):
            return None
        number = int(name)
        there = number < self.count and number not in self._covered and self.key(number) == key
        return number if there else None

    def _cover(self, key: str) -> None:
        if (number := self._number(key)) is not None:
            self._covered.add(number)


def _body(number: int) -> bytes:
    return f"{number:032d}".encode()


@lru_cache(2000)
def _md5(number: int) -> str:
    return hashlib.md5(_body(number), usedforsecurity=False).hexdigest()
