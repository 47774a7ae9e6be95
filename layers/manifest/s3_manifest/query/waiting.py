"""Waiting, within bounds, for a manifest to say something."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage import heads
from s3_manifest.storage.heads import Loaded
from s3_manifest.storage.store import Conflict, NotModified, Store

MAX_WAIT_SECONDS = 20
"""The longest that a request may wait. An HTTP API gives up after 30 seconds."""

_FIRST_PAUSE, _LONGEST_PAUSE, _SLOWER = 0.1, 1.0, 1.5

Answer = TypeVar("Answer")


class Clock(NamedTuple):
    """How time passes: seconds on a clock that never goes back, and a pause of so many seconds."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


class HeadWait(NamedTuple):
    """A head as it was last read, and whether it says what was waited for."""

    loaded: Loaded
    holds: bool


def poll_until(ask: Callable[[], Answer], holds: Callable[[Answer], bool], seconds: float, clock: Clock) -> Answer:
    """Asks until the answer holds, for so many seconds at most; the last answer, whether it holds or not.

    It is asked once at least, and for the last time when the time is over.
    """
    end = clock.monotonic() + seconds
    pause = _FIRST_PAUSE
    while not holds(answer := ask()):
        left = end - clock.monotonic()
        if left <= 0:
            return answer
        clock.sleep(min(pause, left))
        pause = min(pause * _SLOWER, _LONGEST_PAUSE)
    return answer


def complete_since(since: Timestamp | None) -> Callable[[Loaded], bool]:
    """What holds of a manifest that is complete and, if ``since`` is given, was compared with S3 since then."""

    def says(loaded: Loaded) -> bool:
        head = loaded.head
        if head is None or not head.complete:
            return False
        return since is None or (head.last_verified_at or "") >= since

    return says


def wait_for_head(
    store: Store, collection: Collection, says: Callable[[Loaded], bool], seconds: float, clock: Clock
) -> HeadWait:
    """The collection's head once ``says`` holds of it, or as it is after so many seconds.

    While it stays the same that costs little: it is not read again, nor is ``says`` asked again.
    Raises ``StoreError``, ``UnreadableManifest``, and what ``says`` raises but ``Conflict``, which is a no.
    """
    known: Loaded | None = None

    def ask() -> HeadWait:
        nonlocal known
        if known is not None and known.etag:
            stored = store.get_unless(collection.head_key, known.etag)
            if isinstance(stored, NotModified):
                return HeadWait(known, holds=False)
        else:
            stored = store.get(collection.head_key)
        head = heads.decode(collection, stored.body) if stored else None
        loaded = Loaded(head, stored.etag if stored else None)
        try:
            holds = says(loaded)
        except Conflict:
            known = None  # there is a newer one by now
            return HeadWait(loaded, holds=False)
        known = loaded
        return HeadWait(loaded, holds)

    return poll_until(ask, lambda awaiting: awaiting.holds, seconds, clock)
