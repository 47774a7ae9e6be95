"""Compares manifests with listings, twice: what differs both times is drift."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from s3_manifest.aws.threads import parallel_map
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import UnreadableManifest, timestamp
from s3_manifest.sidecars.applied import copy_keys
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import Conflict, ParallelMap, Present, Store, StoreError, iter_objects
from s3_manifest.sweep.compare import Comparer
from s3_manifest.sweep.jobs import collection_ids
from s3_manifest_cli.client.access.explanations import explain_error
from s3_manifest_cli.client.doctor.checks.manifests import CollectionState

TEST_ID = "__doctor"
"""The prefix of the ids of test collections."""

_ATTEMPTS = 5
_MAX_KEYS = 10_000
"""Comparing stops at so many differences."""
_STOP_SECONDS = 1.0
_RECENT_SECONDS = 60
_MAX_HEADS = 100
_ENTRY_FIELDS = ("files", "captions", "hidden", "pages")


@dataclass(frozen=True)
class DriftScan:
    """Compares the manifests of a bucket until ``deadline`` (of ``time.monotonic``)."""

    store: Store
    bucket: str
    collections: Collections
    deadline: float
    parallel_map: ParallelMap = parallel_map

    def _is_time_short(self) -> bool:
        return self.deadline - time.monotonic() < _STOP_SECONDS

    def list_collections(self) -> list[Collection]:
        """Returns the bucket's collections that have objects or a manifest. Raises ``StoreError``."""
        return [
            collection
            for pattern in sorted(self.collections.patterns)
            if pattern.bucket == self.bucket
            for collection_id in collection_ids(self.store, self.collections.root, pattern)
            if (collection := self.collections.lookup(pattern.kind, collection_id))
        ]

    def compare(self, collections: Sequence[Collection], recheck_after: float) -> list[CollectionState]:
        """Returns the state of each collection that was compared in time. Raises ``StoreError``.

        Compares again what differs, ``recheck_after`` seconds later: events may be on their way.
        """
        states = [state for state in self.parallel_map(self._compare_one, collections) if state]
        if not (differing := [state for state in states if state.differing]):
            return states
        time.sleep(recheck_after)
        second = iter(self.parallel_map(self._compare_again, differing))
        return [state for first in states if (state := next(second) if first.differing else first)]

    def _compare_again(self, first: CollectionState) -> CollectionState | None:
        second = self._compare_one(first.collection)
        keys = tuple(sorted({*first.differing}.intersection(second.differing))) if second else ()
        late = len(first.differing) - len(keys)
        return second and second._replace(differing=keys, late=late, is_recent=self._are_recent(keys))

    def _are_recent(self, keys: Sequence[str]) -> bool:
        """Whether all were written in the last minute; the age of a missing object is unknown."""
        if not 0 < len(keys) <= _MAX_HEADS:
            return False
        since = timestamp(datetime.now(UTC) - timedelta(seconds=_RECENT_SECONDS))
        objects = self.parallel_map(self.store.head, keys)
        return all(isinstance(item, Present) and item.last_modified > since for item in objects)

    def _compare_one(self, collection: Collection) -> CollectionState | None:
        if self._is_time_short():
            return None
        try:
            return self._attempt(collection)
        except UnreadableManifest as error:  # a newer one has a remedy; a rebuild would discard what its version wrote
            failure = explain_error(error)
            reason = failure.message.partition(". It is left untouched")[0]
            return CollectionState(collection, unreadable=reason, remedy=failure.remedy)
        except StoreError as error:
            return CollectionState(collection, unanswered=str(error))

    def _attempt(self, collection: Collection) -> CollectionState | None:
        for _ in range(_ATTEMPTS):
            snapshot = Snapshot.load(self.store, self.parallel_map, collection)
            comparer = Comparer(snapshot, self.collections, _MAX_KEYS, self._is_time_short)
            try:
                comparison = comparer.compare(range(len(comparer.slots)), "")
                lost = {*self._lost(snapshot), *(page.key for page in comparison.broken)}
            except Conflict:
                continue
            if comparison.resume_at is not None and len(comparison.keys) < _MAX_KEYS:
                return None  # out of time
            # Without its entries, because the states of all collections are in memory together.
            facts = snapshot.head and snapshot.head.model_copy(update=dict.fromkeys(_ENTRY_FIELDS, ()))
            return CollectionState(collection, facts, lost=tuple(sorted(lost)), differing=tuple(comparison.keys))
        return CollectionState(collection, unanswered="the manifest changes too fast to be read; run doctor again")

    def _lost(self, snapshot: Snapshot) -> set[str]:
        """Returns the pages and sidecar copies that the head refers to and S3 lacks. Raises ``Conflict``."""
        head, collection = snapshot.head, snapshot.collection
        references = {page.key for page in head.pages} | {*copy_keys(head.sidecars)} if head else set()
        if not references:
            return set()
        folders = (collection.pages_folder, collection.copies_folder)
        lost = references - {item.key for name in folders for item in iter_objects(self.store, name)}
        if lost and snapshot.reload().etag != snapshot.etag:
            raise Conflict(collection.head_key, "the manifest changed")
        return lost
