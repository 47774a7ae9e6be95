"""A bucket in memory, for tests, simulations and models. Each request is one atomic step."""

import hashlib
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any

from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage.store import (
    Absent,
    Archived,
    Conflict,
    Folders,
    HeadResult,
    ListedObject,
    Listing,
    NotModified,
    Present,
    StoredObject,
)

EPOCH: Timestamp = "2026-01-01T00:00:00.000Z"


@dataclass
class MemoryStore:
    """Gives S3's guarantees in one process: strongly consistent reads, and conditional writes by ETag.

    Not thread-safe: a simulation interleaves whole requests.
    """

    now: Callable[[], Timestamp] = lambda: EPOCH
    objects: dict[str, tuple[Present, bytes]] = field(default_factory=dict)
    _ordered: list[str] = field(default_factory=list, repr=False)

    def upload(self, key: str, body: bytes, **facts: Any) -> Present:  # noqa: ANN401
        """Stores an object unconditionally, as another program would; ``facts`` are fields of ``Present``."""
        present = Present(key, len(body), hashlib.md5(body, usedforsecurity=False).hexdigest(), self.now())
        present = present._replace(**facts)
        if key not in self.objects:
            insort(self._ordered, key)
        self.objects[key] = present, body
        return present

    def remove(self, key: str) -> None:
        """Removes an object, if it exists, as another program would."""
        if self.objects.pop(key, None):
            del self._ordered[bisect_left(self._ordered, key)]

    def get(self, key: str) -> StoredObject | None:
        if key not in self.objects:
            return None
        present, body = self.objects[key]
        if present.archived:
            raise Archived(key, "its bytes are in an archive; restore or copy it")
        return StoredObject(body, present.etag, present.metadata)

    def get_if_changed(self, key: str, etag: str) -> StoredObject | NotModified | None:
        stored = self.get(key)
        return NotModified(etag) if stored and stored.etag == etag else stored

    def head(self, key: str) -> HeadResult:
        return self.objects[key][0] if key in self.objects else Absent(key)

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        if self._etag(key) != replaces:
            raise Conflict(key, "another writer wrote it first")
        return self.upload(key, body, content_type="application/json", metadata=dict(metadata)).etag

    def add(self, key: str, body: bytes) -> None:
        self.upload(key, body, content_type="application/json")

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.remove(key)

    def delete_if_match(self, key: str, etag: str) -> bool:
        if key not in self.objects:
            return False
        if self.objects[key][0].etag != etag:
            raise Conflict(key, "the object has been replaced")
        self.remove(key)
        return True

    def delete_if_unchanged(self, objects: Sequence[ListedObject]) -> Sequence[str]:
        changed = [listed.key for listed in objects if self._etag(listed.key) not in (None, listed.etag)]
        self.delete([listed.key for listed in objects if listed.key not in changed])
        return changed

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        keys, truncated = _run(self._below(prefix, after), limit)
        present = (self.objects[key][0] for key in keys)
        listed = (ListedObject(p.key, p.size, p.etag, p.last_modified, p.storage_class) for p in present)
        return Listing(tuple(listed), truncated)

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        below = (key.removeprefix(prefix).split("/") for key in self._below(prefix, ""))
        folders = {f"{prefix}{parts[0]}/" for parts in below if len(parts) > 1}
        return Folders(*_run(sorted(folder for folder in folders if folder > after), limit))

    def md5(self, key: str, etag: str) -> str:
        stored = self.get(key)
        if stored is None or stored.etag != etag:
            raise Conflict(key, "the object has been replaced")
        return hashlib.md5(stored.body, usedforsecurity=False).hexdigest()

    def _etag(self, key: str) -> str | None:
        return self.objects[key][0].etag if key in self.objects else None

    def _below(self, prefix: str, after: str) -> Iterator[str]:
        ordered = self._ordered
        start = bisect_right(ordered, after) if after > prefix else bisect_left(ordered, prefix)
        keys = (ordered[index] for index in range(start, len(ordered)))
        return takewhile(lambda key: key.startswith(prefix), keys)


def _run(ordered: Iterable[str], limit: int) -> tuple[tuple[str, ...], bool]:
    run = tuple(islice(ordered, limit + 1))
    return run[:limit], len(run) > limit
