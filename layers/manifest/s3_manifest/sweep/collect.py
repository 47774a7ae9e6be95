"""Deletes what no manifest and no kept history refers to any more."""

from collections.abc import Iterator

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Head, Timestamp, days_before
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.sidecars.descriptions import copies_of
from s3_manifest.storage import chain, heads
from s3_manifest.storage.store import Store, listed

GRACE_DAYS = 1
"""What is younger may belong to a commit that is being made. No function lives as long by far."""

_AT_ONCE = 1000


def collect(environment: Environment, collection: Collection) -> int:
    """Deletes pages, copies and records of lost commits, and history older than is to be kept; how many objects.

    Stops when time runs out, and may be stopped at any point: what it deletes, nothing refers to.
    Raises ``StoreError``, ``UnreadableManifest`` (of the head).
    """
    now, store = environment.now(), environment.store
    grace = days_before(now, GRACE_DAYS)
    kept_since = days_before(now, max(GRACE_DAYS, environment.history_days))
    folders = (f"{collection.folder}pages/", f"{collection.folder}sidecars/")
    old = {one.key for folder in folders for one in listed(store, folder) if one.last_modified < grace}
    head = heads.load(store, collection).head
    if head is None:
        return 0
    # After the head: every commit before it has written its checkpoint, so none is overlooked. Later
    # ones refer to pages of this head, or to pages too young to be collected.
    checkpoints = list(listed(store, heads.checkpoints_folder(collection)))
    expired = [one.key for one in checkpoints if one.last_modified < kept_since]
    expired += _records(store, collection, head, grace, kept_since)
    old -= {page.key for page in head.pages}.union(copies_of(head.sidecars))
    if old:
        old -= _kept(environment, collection, [one.key for one in checkpoints if one.last_modified >= kept_since])
    garbage = [*expired, *sorted(old)]
    deleted = 0
    while deleted < len(garbage) and environment.seconds_left() >= RESERVE_SECONDS:
        batch = garbage[deleted : deleted + _AT_ONCE]
        store.delete(batch)
        deleted += len(batch)
    return deleted


def _records(
    store: Store, collection: Collection, head: Head, grace: Timestamp, kept_since: Timestamp
) -> Iterator[str]:
    """The change records past keeping, and those of lost commits; the oldest first, so that no gap comes to be.

    The last one is kept: a manifest that takes the place of this one goes on with the next revision.
    """
    written_at = {record.key: record.last_modified for record in listed(store, chain.folder(collection))}
    names = chain.links(written_at)
    on_chain = set(chain.on_chain(names, head))
    for name in names:
        key = chain.key_of(collection, name)
        if name in on_chain and name.revision == head.revision:
            continue
        if written_at[key] < (kept_since if name in on_chain else grace):
            yield key


def _kept(environment: Environment, collection: Collection, checkpoints: list[str]) -> set[str]:
    """The pages that these checkpoints refer to."""

    def pages(key: str) -> set[str]:
        stored = environment.store.get(key)
        return {page.key for page in heads.decode(collection, stored.body).pages} if stored else set()

    return set().union(*environment.each(pages, checkpoints))
