"""A bucket in memory: a store for tests, simulations and models, one atomic step per request."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from s3_manifest.model import Timestamp
from s3_manifest.store import (
    Absent,
    Conflict,
    Listing,
    NotModified,
    Observation,
    Present,
    Stored,
)

EPOCH: Timestamp = "2026-01-01T00:00:00.000Z"


@dataclass
class MemoryStore:
    """Keeps S3's promises in one process: strong reads, and conditional writes by ETag.

    Not for several threads at once: whoever interleaves requests does so between them.
    """

    now: Callable[[], Timestamp] = lambda: EPOCH
    objects: dict[str, tuple[Present, bytes]] = field(default_factory=dict)

    def upload(self, key: str, body: bytes, **facts: Any) -> Present:  # noqa: ANN401
        """Stores an object as somebody else would, unconditionally; ``facts`` are ``Present``'s fields."""
        present = Present(key, len(body), hashlib.md5(body, usedforsecurity=False).hexdigest(), self.now())
        present = present._replace(**facts)
        self.objects[key] = present, body
        return present

    def delete(self, key: str) -> None:
        """Removes an object, if it is there."""
        self.objects.pop(key, None)

    def get(self, key: str) -> Stored | None:
        if key not in self.objects:
            return None
        present, body = self.objects[key]
        return Stored(body, present.etag)

    def get_unless(self, key: str, etag: str) -> Stored | NotModified | None:
        stored = self.get(key)
        return NotModified(etag) if stored and stored.etag == etag else stored

    def head(self, key: str) -> Observation:
        return self.objects[key][0] if key in self.objects else Absent(key)

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        current = self.objects[key][0].etag if key in self.objects else None
        if current != replaces:
            raise Conflict(key, "somebody else wrote it first")
        return self.upload(key, body, content_type="application/json", metadata=dict(metadata)).etag

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        return _run(sorted(key for key in self.objects if key.startswith(prefix) and key > after), limit)

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        below = (key.removeprefix(prefix).split("/") for key in self.objects if key.startswith(prefix))
        folders = {f"{prefix}{parts[0]}/" for parts in below if len(parts) > 1}
        return _run(sorted(folder for folder in folders if folder > after), limit)

    def md5(self, key: str, etag: str) -> str:
        stored = self.get(key)
        if stored is None or stored.etag != etag:
            raise Conflict(key, "it is another object now")
        return hashlib.md5(stored.body, usedforsecurity=False).hexdigest()


def _run(ordered: Iterable[str], limit: int) -> Listing:
    run = tuple(islice(ordered, limit + 1))
    return Listing(run[:limit], truncated=len(run) > limit)
