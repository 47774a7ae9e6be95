"""Workers that are about to look at many keys of one collection take turns.

The commit protocol needs none of this: it is as right without. But of several workers that look at
hundreds of keys at once, one commits and the others have looked in vain, so on a busy collection
most requests would be waste (``python -m benchmarks --without-turns`` shows it). A turn is a small object
beside the head, taken and given back by compare-and-swap. It is only advice: one that is not given
back is taken over after a while, and any trouble with it is no reason not to go on without.

And whoever comes anew to a collection that somebody was at work on a moment ago gives way to those
that wait for a turn, or lost a compare-and-swap and try again. Otherwise they would go on missing
the short moment in which they can succeed, and their changes would be late by many seconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic_core import from_json, to_json

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Timestamp
from s3_manifest.reconcile.environment import Environment
from s3_manifest.storage.store import Conflict, OutcomeUnknown, StoreError

MIN_KEYS = 16
"""Fewer keys are quicker looked at, and again if need be, than a turn is taken."""

YIELD_SECONDS = 0.4
"""A little longer than a commit of few keys takes, and than the longest pause of whoever waits for a turn."""

_BUSY = timedelta(seconds=0.5)
"""What was written no longer ago may be written again at any moment."""

_POLL_SECONDS = 0.15
_PATIENCE_SECONDS = 5.0
"""How long a turn may stay unchanged, by the waiting worker's own count, before it is taken over."""

_FREE = b'{"holder":null'


class _Turn(NamedTuple):
    key: str
    etag: str


@contextmanager
def turn(
    environment: Environment, collection: Collection, keys: int, until_seconds_left: float, *, lost: bool = False
) -> Iterator[None]:
    """Waits, if there are many keys, until nobody else works on many keys of the collection.

    Waits no longer than until so many seconds are left. Whether the turn was taken or not, the
    block is run. ``lost``: an attempt at this was made before, so nobody is given way to.
    """
    key = f"{collection.folder}turn.json"
    taken = _take(environment, key, until_seconds_left, gives_way=not lost) if keys >= MIN_KEYS else None
    try:
        yield
    finally:
        if taken:
            with suppress(StoreError):
                _write(environment, taken.key, holder=None, replaces=taken.etag)


def is_busy(written_at: Timestamp, now: Timestamp) -> bool:
    """Whether what was written then may be written by somebody else at any moment now."""
    return abs(datetime.fromisoformat(now) - datetime.fromisoformat(written_at)) < _BUSY


def _take(environment: Environment, key: str, until_seconds_left: float, *, gives_way: bool) -> _Turn | None:
    seen, waited = "", 0.0
    try:
        while environment.seconds_left() >= until_seconds_left:
            stored = environment.store.get(key)
            if stored and stored.etag != seen:
                seen, waited = stored.etag, 0.0
            if stored is None or stored.body.startswith(_FREE) or waited >= _PATIENCE_SECONDS:
                if stored and gives_way and _was_just_given_back(stored.body, environment.now()):
                    gives_way = False
                    environment.sleep(YIELD_SECONDS)
                    continue
                with suppress(Conflict, OutcomeUnknown):
                    return _Turn(
                        key, _write(environment, key, environment.commit_id(), stored.etag if stored else None)
                    )
            gives_way = False
            pause = _POLL_SECONDS * (0.5 + environment.random())
            environment.sleep(pause)
            waited += pause
    except StoreError:
        return None
    return None


def _was_just_given_back(body: bytes, now: Timestamp) -> bool:
    try:
        return is_busy(from_json(body)["at"], now)
    except (ValueError, KeyError, TypeError):
        return False


def _write(environment: Environment, key: str, holder: str | None, replaces: str | None) -> str:
    # The id makes every write another object, so that an ETag names one turn.
    body = to_json({"holder": holder, "id": environment.commit_id(), "at": environment.now()})
    return environment.store.put(key, body, replaces=replaces, metadata={})
