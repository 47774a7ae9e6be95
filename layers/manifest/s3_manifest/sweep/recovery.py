"""Replaces broken objects of one collection's manifest: copies of sidecars, pages, or the whole manifest."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.reconcile.commit import commit
from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.repair import TooManyBrokenPages, repair
from s3_manifest.storage import heads
from s3_manifest.storage.snapshot import BrokenObject, BrokenObjects, Snapshot
from s3_manifest.storage.store import Conflict
from s3_manifest.sweep.result import SweepFailed, SweepResult


def back_up_unreadable(environment: Environment, collection: Collection) -> str | None:
    """Copies an unreadable head to ``set-aside/<ETag>.json``; returns its ETag, by which a commit can replace it.

    None if there is no head, or if it is readable with all of its copies and pages. A repeat writes the same copy.
    Raises ``StoreError``.
    """
    stored = environment.store(collection).get(collection.head_key)
    if stored is None or _is_readable(environment, collection, stored.body):
        return None
    environment.store(collection).add(f"{collection.folder}set-aside/{stored.etag}.json", stored.body)
    return stored.etag


def _is_readable(environment: Environment, collection: Collection, body: bytes) -> bool:
    try:
        head = heads.decode(collection, body)
        # As a checkpoint: this head is examined, whatever the current one refers to.
        snapshot = Snapshot(
            environment.store(collection), environment.parallel_map, collection, head, is_checkpoint=True
        )
        if any(isinstance(copy, BrokenObject) for copy in snapshot.examine_copies().values()):
            return False
        for page in head.pages:
            (run,) = snapshot.examine_pages([page])
            if isinstance(run, BrokenObject):
                return False
            for _ in run.entries():
                pass
    except UnreadableManifest:
        return False
    return True


@dataclass
class Recovery:
    """Repairs for one message of the sweep queue; notes them in its result."""

    environment: Environment
    collection: Collection
    result: SweepResult

    def repair_referenced(self, snapshot: Snapshot, keys: Iterable[str], *, repeated: bool) -> bool:
        """Repairs those of these objects that are broken and referred to; returns whether no sweep is needed."""
        if snapshot.head is None or self.repair_copies(snapshot):
            return True
        pages = snapshot.examine_pages([page for page in snapshot.head.pages if page.key in keys])
        if broken := [page.key for page in pages if isinstance(page, BrokenObject)]:
            self.repair_pages(broken)
        # An earlier attempt may have died between a partial repair and the sweep for the remainder.
        results = self.result.commit_results
        head = results[-1].head if results else snapshot.head if repeated else None
        return head is None or head.complete

    def repair_copies(self, snapshot: Snapshot) -> bool:
        """Rewrites broken copies of sidecars; returns whether the manifest had to be rebuilt instead."""
        copies = snapshot.examine_copies()
        broken = [key for key, copy in copies.items() if isinstance(copy, BrokenObject)]
        if not broken:
            return False
        self.result.repaired += broken
        try:
            snapshot.restored_descriptions()
        except BrokenObjects:
            # Nothing else records which descriptions were applied: start over from the objects and sidecars.
            self._rebuild()
            return True
        return False

    def repair_all(self, broken: Iterable[str]) -> None:
        """Repairs copies of sidecars, without which nothing can be committed, and pages."""
        with suppress(Conflict):  # a newer head; the caller loads it
            if not self.repair_copies(self.environment.load(self.collection)):
                self.repair_pages(broken)

    def repair_pages(self, broken: Iterable[str]) -> None:
        """Replaces broken pages by what S3 holds in their range."""
        broken = list(broken)
        try:
            result = repair(self.environment, self.collection, broken)
        except (TooManyBrokenPages, BrokenObjects):
            self._rebuild()
        else:
            self.result.commit_results.append(result)
            if not result.finished:
                raise self.failure("time ran out during a repair; the queue retries it")
        self.result.repaired += [key for key in broken if key not in self.result.repaired]

    def _rebuild(self) -> None:
        """Backs up a manifest that cannot be repaired and creates a new one, which requests a sweep of its own."""
        if unreadable_etag := back_up_unreadable(self.environment, self.collection):
            result = commit(self.environment, self.collection, {}, unreadable_etag=unreadable_etag)
            self.result.commit_results.append(result)
            if not result.finished:
                raise self.failure("time ran out before the rebuild; the queue retries it")

    def failure(self, reason: str) -> SweepFailed:
        """The error that ends the message."""
        return SweepFailed(f"{self.collection.place(self.collection.prefix)}: {reason}")
