"""An advisory lease, so that workers with many keys of one collection do not make each other's commits conflict.

The commit protocol is correct without it. But when several workers observe hundreds of keys together, one commits and
the others have to observe again (``python -m benchmarks --without-leases`` measures it). The lease is a small object
beside the head, acquired and released by compare-and-swap. A lease that is not released is taken over after a while,
and after an error the worker proceeds without one.

A worker that comes to a busy collection also yields once to those that wait for the lease or retry after a conflict.
Otherwise they could miss the short moments in which they can succeed for many seconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from pydantic_core import from_json, to_json

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Timestamp
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.storage.store import Conflict, OutcomeUnknown, StoreError

MIN_KEYS = 16
"""Observing fewer keys, even twice, is quicker than acquiring a lease."""

YIELD_SECONDS = 0.4
"""A little longer than a commit of few keys, and than the longest pause between two attempts to acquire a lease."""

_BUSY = timedelta(seconds=0.5)
"""A collection written this recently may be written again at any moment."""

_POLL_SECONDS = 0.15
_EXPIRY_SECONDS = 5.0
"""How long a lease may stay unchanged, by the waiting worker's clock, before it is taken over."""

_FREE = b'{"holder":null'


@contextmanager
def lease(environment: Environment, collection: Collection, keys: int, *, retrying: bool = False) -> Iterator[None]:
    """Holds the collection's lease during the block if there are many keys; otherwise only runs the block.

    Waits until ``RESERVE_SECONDS`` are left, then runs the block without a lease. ``retrying``: a commit of these keys
    has failed before, so this worker does not yield.
    """
    etag = _acquire(environment, collection, yields=not retrying) if keys >= MIN_KEYS else None
    try:
        yield
    finally:
        if etag:
            with suppress(StoreError):
                _write(environment, collection, holder=None, replaces=etag)


def _key(collection: Collection) -> str:
    return f"{collection.folder}turn.json"


def is_busy(written_at: Timestamp, now: Timestamp) -> bool:
    """Whether another worker may write at any moment what was last written at ``written_at``."""
    return abs(datetime.fromisoformat(now) - datetime.fromisoformat(written_at)) < _BUSY


def _acquire(environment: Environment, collection: Collection, *, yields: bool) -> str | None:
    """The ETag of the acquired lease; None if time ran short or the store failed."""
    etag, waited = "", 0.0
    try:
        while environment.seconds_left() >= RESERVE_SECONDS:
            stored = environment.store(collection).get(_key(collection))
            if stored and stored.etag != etag:
                etag, waited = stored.etag, 0.0
            if stored is None or stored.body.startswith(_FREE) or waited >= _EXPIRY_SECONDS:
                if stored and yields and _was_just_released(stored.body, environment.now()):
                    yields = False
                    environment.sleep(YIELD_SECONDS)
                    continue
                with suppress(Conflict, OutcomeUnknown):
                    return _write(environment, collection, environment.commit_id(), stored.etag if stored else None)
            yields = False
            pause = _POLL_SECONDS * (0.5 + environment.random())
            environment.sleep(pause)
            waited += pause
    except StoreError:
        return None
    return None


def _was_just_released(body: bytes, now: Timestamp) -> bool:
    try:
        return is_busy(from_json(body)["at"], now)
    except (ValueError, KeyError, TypeError):
        return False


def _write(environment: Environment, collection: Collection, holder: str | None, replaces: str | None) -> str:
    # The id makes every write a different object, so that an ETag identifies one lease.
    body = to_json({"holder": holder, "id": environment.commit_id(), "at": environment.now()})
    return environment.store(collection).put(_key(collection), body, replaces=replaces, metadata={})
