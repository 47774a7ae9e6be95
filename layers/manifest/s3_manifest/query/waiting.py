"""Waiting, for a limited time, until a manifest meets a condition."""

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import Conflict

MAX_WAIT_SECONDS = 20
"""The longest that a request may wait. An HTTP API times out after 30 seconds."""

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.1, 1.0, 1.5

Result = TypeVar("Result")
Condition = Callable[[Snapshot], bool]


class Clock(NamedTuple):
    """A monotonic clock in seconds, and a pause of that many seconds."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


SYSTEM_CLOCK = Clock(time.monotonic, time.sleep)


class HeadWait(NamedTuple):
    """The manifest as it was last read, and whether it meets the condition."""

    snapshot: Snapshot
    is_met: bool


def poll_until(read: Callable[[], Result], is_met: Callable[[Result], bool], seconds: float, clock: Clock) -> Result:
    """The first result that meets the condition, or the last one when the time is over. Reads at least once."""
    end = clock.monotonic() + seconds
    pause = _FIRST_PAUSE
    while not is_met(result := read()):
        left = end - clock.monotonic()
        if left <= 0:
            return result
        clock.sleep(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
    return result


def complete_since(time: Timestamp | None) -> Condition:
    """The condition that a manifest is complete and, if a time is given, was compared with S3 since then."""

    def is_met(snapshot: Snapshot) -> bool:
        head = snapshot.head
        return head is not None and head.complete and (time is None or (head.last_verified_at or "") >= time)

    return is_met


def wait_for_head(snapshot: Snapshot, condition: Condition, seconds: float, clock: Clock) -> HeadWait:
    """The collection's manifest when it meets the condition, or as it is after so many seconds.

    The manifest is always read again, whatever the snapshot holds. While it is unchanged, polling costs one small
    request, and the condition is not evaluated again. Raises ``StoreError``, ``UnreadableManifest``, and what the
    condition raises, except that ``Conflict`` counts as not met.
    """
    unread = snapshot.unread()
    last = unread

    def poll() -> HeadWait:
        nonlocal last
        newer, is_met = last.refresh(), False
        if newer is not last:
            last = newer
            try:
                is_met = condition(newer)
            except Conflict:
                last = unread  # a newer head is there already
        return HeadWait(newer, is_met)

    return poll_until(poll, lambda wait: wait.is_met, seconds, clock)
