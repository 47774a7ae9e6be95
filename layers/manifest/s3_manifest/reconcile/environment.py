"""Everything outside the package that a commit or a sweep uses, passed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collection, Collections, Location
from s3_manifest.manifest.jobs import Job
from s3_manifest.manifest.model import Head, Timestamp
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import ParallelMap, Store

RESERVE_SECONDS = 10.0
"""No commit starts with less time left: an interrupted commit only delays others."""


class AnnouncementFailed(Exception):
    """EventBridge rejected an announcement, or its response was lost; the caller must announce again."""


class Announce(Protocol):
    """Announces a new revision and its changes.

    ``repeated``: there is no new revision, but an earlier attempt may have died before it announced one. Raises
    ``AnnouncementFailed``.
    """

    def __call__(self, head: Head, changes: Sequence[FileChange], *, repeated: bool) -> None:  # noqa: D102
        ...


class Enqueue(Protocol):
    """Puts jobs into the sweep queue, to start after ``delay_seconds`` (at most 900). Raises ``JobsNotQueued``."""

    def __call__(self, jobs: Sequence[Job], delay_seconds: int = 0) -> None:  # noqa: D102
        ...


@dataclass(frozen=True)
class Environment:
    """Storage, queues, clock and chance.

    ``stores`` has each bucket of ``collections``. ``subscribed_at``: since when the changes of a collection are
    announced, by the record in its bucket; None: the record does not have the collection's prefix yet. Call it after
    observing the objects whose ``source`` follows from it; it may raise ``StoreError``. ``seconds_left``: until the
    function is stopped. ``random``: uniform in [0, 1). ``commit_id``: a fresh id without ``-``.
    """

    stores: Mapping[str, Store]
    subscribed_at: Callable[[Collection], Timestamp | None]
    collections: Collections
    location: Location
    md5_max_bytes: int
    history_days: int
    enqueue: Enqueue
    announce: Announce
    parallel_map: ParallelMap
    now: Callable[[], Timestamp]
    seconds_left: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]
    commit_id: Callable[[], str]

    def store(self, collection: Collection) -> Store:
        """The store of the collection's bucket."""
        return self.stores[collection.bucket]

    def load(self, collection: Collection, unreadable_etag: str | None = None) -> Snapshot:
        """The collection's present manifest. Raises as ``Snapshot.load``."""
        return Snapshot.load(self.store(collection), self.parallel_map, collection, unreadable_etag)
