"""A bucket with any number of objects that need no memory: each object is computed from its number.

Uploaded objects are stored in a ``DiskStore``, in a file, so that the memory of the process does not include
the bucket.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from heapq import merge
from itertools import islice
from typing import Any

from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage.memory import EPOCH, MemoryStore
from s3_manifest.storage.store import HeadResult, ListedObject, Listing, Present, StoredObject

_SUFFIX = ".png"


class DiskStore(MemoryStore):
    """A ``MemoryStore`` that stores the bytes of its objects in a temporary file, which only grows."""

    def __init__(self, now: Callable[[], Timestamp] = lambda: EPOCH) -> None:
        super().__init__(now)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # removed with the store
        self._at: dict[str, int] = {}

    def upload(self, key: str, body: bytes, **facts: Any) -> Present:  # noqa: ANN401
        present = super().upload(key, body, **facts)
        self._at[key] = self._file.seek(0, 2)
        self._file.write(body)
        self.objects[key] = present, b""
        return present

    def get(self, key: str) -> StoredObject | None:
        if key not in self.objects:
            return None
        present = self.objects[key][0]
        self._file.seek(self._at[key])
        return StoredObject(self._file.read(present.size), present.etag)


class SyntheticObjects:
    """``count`` objects ``<prefix><number, 8 digits>.png``, and uploaded ones. See ``wire.Contents``.

    ``changed`` counts the synthetic objects that were overwritten or removed.
    """

    def __init__(self, prefix: str, count: int, now: Callable[[], Timestamp] = lambda: EPOCH) -> None:
        self.prefix = prefix
        self.count = count
        self.uploaded: MemoryStore = DiskStore(now)
        self._covered: set[int] = set()

    @property
    def changed(self) -> int:
        return len(self._covered)

    def key(self, number: int) -> str:
        """The key of the synthetic object with that number."""
        return f"{self.prefix}{number:08d}{_SUFFIX}"

    def head(self, key: str) -> HeadResult:
        number = self._number(key)
        return self.uploaded.head(key) if number is None else self._present(number)

    def get(self, key: str) -> StoredObject | None:
        number = self._number(key)
        return self.uploaded.get(key) if number is None else StoredObject(_body(number), md5_of(number))

    def upload(self, key: str, body: bytes, **facts: Any) -> Present:  # noqa: ANN401
        self._cover(key)
        return self.uploaded.upload(key, body, **facts)

    def remove(self, key: str) -> None:
        self._cover(key)
        self.uploaded.remove(key)

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        """Only for keys that are not synthetic."""
        return self.uploaded.put(key, body, replaces=replaces, metadata=metadata)

    def add(self, key: str, body: bytes) -> None:
        """Only for keys that are not synthetic."""
        self.uploaded.add(key, body)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.remove(key)

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        others = self.uploaded.list(prefix, after=after, limit=limit + 1).objects
        run = list(islice(merge(self._below(prefix, after), others, key=lambda listed: listed.key), limit + 1))
        return Listing(tuple(run[:limit]), len(run) > limit)

    def _below(self, prefix: str, after: str) -> Iterator[ListedObject]:
        first = self._first_from(max(prefix, after))
        for number in range(first, self.count):
            if number in self._covered or (key := self.key(number)) <= after:
                continue
            if not key.startswith(prefix):
                return
            yield ListedObject(key, len(_body(number)), md5_of(number), EPOCH)

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
        return Present(self.key(number), len(body), md5_of(number), EPOCH, "image/png", checksum=checksum)

    def _number(self, key: str) -> int | None:
        """The number of a synthetic object; None for other objects and for changed ones."""
        name = key.removeprefix(self.prefix).removesuffix(_SUFFIX)
        if not (name.isascii() and name.isdecimal()):
            return None
        number = int(name)
        exists = number < self.count and number not in self._covered and self.key(number) == key
        return number if exists else None

    def _cover(self, key: str) -> None:
        if (number := self._number(key)) is not None:
            self._covered.add(number)


def _body(number: int) -> bytes:
    return f"{number:032d}".encode()


@lru_cache(2000)
def md5_of(number: int) -> str:
    """The MD5, and ETag, of the synthetic object with that number."""
    return hashlib.md5(_body(number), usedforsecurity=False).hexdigest()
