"""Everything outside of the package that reconciling touches, passed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collections, Location
from s3_manifest.manifest.jobs import Job
from s3_manifest.manifest.model import Head, Timestamp
from s3_manifest.storage.store import Each, Store

RESERVE_SECONDS = 10.0
"""Nothing long is begun with less time left: what is cut off in the middle only delays others."""


class Announce(Protocol):
    """Tells whoever listens that a manifest is at a new revision, and what that altered.

    ``repeated``: nothing new, but an earlier attempt may have died before it told of its revision.
    Raises ``AnnouncementFailed``.
    """

    def __call__(self, head: Head, alterations: Sequence[FileChange], *, repeated: bool) -> None:  # noqa: D102
        ...


class Enqueue(Protocol):
    """Puts jobs into the sweep queue, each to be begun so many seconds (at most 900) later.

    Raises ``JobsNotQueued``.
    """

    def __call__(self, jobs: Sequence[Job], delay_seconds: int = 0) -> None:  # noqa: D102
        ...


@dataclass(frozen=True)
class Environment:
    """What is given to the commit protocol instead of being reached for.

    ``seconds_left`` is what remains until whoever runs this is stopped; ``random`` is uniform in
    [0, 1); ``commit_id`` gives one never given before, without a ``-`` in it.
    """

    store: Store
    collections: Collections
    location: Location
    md5_max_bytes: int
    history_days: int
    enqueue: Enqueue
    announce: Announce
    each: Each
    now: Callable[[], Timestamp]
    seconds_left: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]
    commit_id: Callable[[], str]
