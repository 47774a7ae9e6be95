"""Deletes objects that no manifest and no retained history refers to."""

from collections.abc import Iterator

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Head, Timestamp, days_before
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.sidecars.applied import copy_keys
from s3_manifest.storage import change_log, heads
from s3_manifest.storage.store import Store, iter_objects

GRACE_DAYS = 1
"""Younger objects may belong to a commit in progress; no function runs nearly as long."""

_DELETE_BATCH = 1000


def collect_garbage(environment: Environment, collection: Collection) -> int:
    """Deletes objects of lost commits and history past retention; returns their number.

    Safe to interrupt at any point: nothing refers to what it deletes. Raises ``StoreError``, ``UnreadableManifest``
    (of the head).
    """
    now, store = environment.now(), environment.store(collection)
    grace = days_before(now, GRACE_DAYS)
    retained_since = days_before(now, max(GRACE_DAYS, environment.history_days))
    folders = (collection.pages_folder, collection.copies_folder)
    objects = (listed for folder in folders for listed in iter_objects(store, folder))
    old = {listed.key for listed in objects if listed.last_modified < grace}
    head = heads.load(store, collection).head
    if head is None:
        return 0
    # List checkpoints after reading the head: every earlier commit has written its checkpoint, so none is missed.
    # Later commits refer to pages of this head, or to pages too young to be collected.
    checkpoints = list(iter_objects(store, collection.checkpoints_folder))
    expired = [checkpoint.key for checkpoint in checkpoints if checkpoint.last_modified < retained_since]
    expired += _expired_records(store, collection, head, grace, retained_since)
    old -= {page.key for page in head.pages}.union(copy_keys(head.sidecars))
    if old:
        retained = [checkpoint.key for checkpoint in checkpoints if checkpoint.last_modified >= retained_since]
        old -= _referenced_pages(environment, collection, retained)
    garbage = [*expired, *sorted(old)]
    deleted = 0
    while deleted < len(garbage) and environment.seconds_left() >= RESERVE_SECONDS:
        batch = garbage[deleted : deleted + _DELETE_BATCH]
        store.delete(batch)
        deleted += len(batch)
    return deleted


def _expired_records(
    store: Store, collection: Collection, head: Head, grace: Timestamp, retained_since: Timestamp
) -> Iterator[str]:
    """The change records past retention and those of lost commits, oldest first, so that the history has no gap.

    The latest record is kept: a manifest that replaces this one continues with the next revision.
    """
    written_at = {record.key: record.last_modified for record in iter_objects(store, collection.changes_folder)}
    links = change_log.parse_names(written_at)
    on_chain = set(change_log.follow_chain(links, head))
    for link in links:
        key = change_log.record_key(collection, link)
        is_latest = link in on_chain and link.revision == head.revision
        if not is_latest and written_at[key] < (retained_since if link in on_chain else grace):
            yield key


def _referenced_pages(environment: Environment, collection: Collection, checkpoints: list[str]) -> set[str]:
    store = environment.store(collection)

    def pages(key: str) -> set[str]:
        stored = store.get(key)
        return {page.key for page in heads.decode(collection, stored.body).pages} if stored else set()

    return set().union(*environment.parallel_map(pages, checkpoints))
