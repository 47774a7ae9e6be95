"""Workers that are about to look at many keys of one collection take turns.

The commit protocol needs none of this: it is as right without. But of several workers that look at
hundreds of keys at once, one commits and the others have looked in vain, so on a busy collection
most requests would be waste (``python -m benchmarks --without-turns`` shows it). A turn is a small object
beside the head, taken and given back by compare-and-swap. It is only advice: one that is not given
back is taken over after a while, and any trouble with it is no reason not to go on without.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from pydantic_core import to_json

from s3_manifest.collections import Collection
from s3_manifest.store import Conflict, OutcomeUnknown, StoreError
from s3_manifest.world import World

MIN_KEYS = 32
"""Fewer keys are quicker looked at, and again if need be, than a turn is taken."""

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0
"""How long a turn may stay unchanged, by the waiting worker's own count, before it is taken over."""

_FREE = b'{"holder":null'


class _Turn(NamedTuple):
    key: str
    etag: str


@contextmanager
def turn(world: World, collection: Collection, keys: int, until_seconds_left: float) -> Iterator[None]:
    """Waits, if there are many keys, until nobody else works on many keys of the collection.

    Waits no longer than until so many seconds are left. Whether the turn was taken or not, the
    block is run.
    """
    taken = _take(world, f"{collection.folder}turn.json", until_seconds_left) if keys >= MIN_KEYS else None
    try:
        yield
    finally:
        if taken:
            with suppress(StoreError):
                _write(world, taken.key, holder=None, replaces=taken.etag)


def _take(world: World, key: str, until_seconds_left: float) -> _Turn | None:
    seen, waited = "", 0.0
    try:
        while world.seconds_left() >= until_seconds_left:
            stored = world.store.get(key)
            if stored and stored.etag != seen:
                seen, waited = stored.etag, 0.0
            if stored is None or stored.body.startswith(_FREE) or waited >= _PATIENCE_SECONDS:
                with suppress(Conflict, OutcomeUnknown):
                    return _Turn(key, _write(world, key, world.commit_id(), stored.etag if stored else None))
            pause = _POLL_SECONDS * (0.5 + world.random())
            world.sleep(pause)
            waited += pause
    except StoreError:
        return None
    return None


def _write(world: World, key: str, holder: str | None, replaces: str | None) -> str:
    # The id makes every write another object, so that an ETag names one turn.
    body = to_json({"holder": holder, "id": world.commit_id()})
    return world.store.put(key, body, replaces=replaces, metadata={})
