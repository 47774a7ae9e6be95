"""One collection's manifest at one moment, with what is needed to read the objects it refers to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Head, PageRef
from s3_manifest.manifest.runs import Run
from s3_manifest.sidecars.applied import AppliedSidecars
from s3_manifest.sidecars.content import SidecarContent
from s3_manifest.storage import heads, pages
from s3_manifest.storage.heads import Checkpoint, LoadedHead
from s3_manifest.storage.store import NotModified, ParallelMap, Store


@dataclass(frozen=True)
class Snapshot:
    """A head (None: the collection has no manifest) with its ETag, its store, and a map for parallel requests.

    Pages are immutable until they are garbage-collected: a method that reads a deleted page raises ``Conflict`` if a
    newer head no longer refers to it. ``reload`` then returns the newer head.
    """

    store: Store
    parallel_map: ParallelMap
    collection: Collection
    loaded: LoadedHead

    @classmethod
    def of(cls, store: Store, parallel_map: ParallelMap, collection: Collection) -> "Snapshot":
        """A snapshot with no manifest yet; ``reload`` or ``refresh`` reads it."""
        return cls(store, parallel_map, collection, LoadedHead(None, None))

    @classmethod
    def load(
        cls, store: Store, parallel_map: ParallelMap, collection: Collection, unreadable_etag: str | None = None
    ) -> "Snapshot":
        """The collection's current manifest; the head with the ETag ``unreadable_etag`` counts as none.

        Raises ``UnreadableManifest``, ``StoreError``.
        """
        return cls(store, parallel_map, collection, heads.load(store, collection, unreadable_etag))

    @property
    def head(self) -> Head | None:
        """The head; None where there is no manifest."""
        return self.loaded.head

    @property
    def etag(self) -> str | None:
        """The head's ETag."""
        return self.loaded.etag

    @property
    def is_checkpoint(self) -> bool:
        """Whether the head is a checkpoint: a copy of an earlier revision."""
        return isinstance(self.loaded, Checkpoint)

    def reload(self) -> "Snapshot":
        """The current manifest. Raises as ``load``."""
        return replace(self, loaded=heads.load(self.store, self.collection))

    def refresh(self) -> "Snapshot":
        """The current manifest; this object itself, without a download, if it is unchanged. Raises as ``load``."""
        if not self.etag:
            return self.reload()
        stored = self.store.get_if_changed(self.collection.head_key, self.etag)
        if isinstance(stored, NotModified):
            return self
        head = heads.decode(self.collection, stored.body) if stored else None
        return replace(self, loaded=LoadedHead(head, stored.etag if stored else None))

    def unread(self) -> "Snapshot":
        """The same collection in the same store, with no manifest read."""
        return replace(self, loaded=LoadedHead(None, None))

    def slots(self) -> Sequence[layout.Slot]:
        """The open run and the references to pages, in order of filenames."""
        return layout.head_slots(self.head)

    def read(self, slots: Sequence[layout.Slot]) -> Iterator[Run]:
        """The entries of each slot. Raises ``BrokenObjects``, ``Conflict``, ``StoreError``."""
        refs = [slot for slot in slots if isinstance(slot, PageRef)]
        runs = iter(pages.read(self.store, self.parallel_map, self.collection, self.loaded, refs))
        return (next(runs) if isinstance(slot, PageRef) else slot.run for slot in slots)

    def entries(self) -> list[Entry]:
        """All entries, in order of filenames. Raises as ``read``."""
        return [entry for run in self.read(self.slots()) for entry in run.entries()]

    def entry(self, filename: str) -> Entry | None:
        """The entry of that name. Reads at most one page; raises as ``read``."""
        slots = self.slots()
        (run,) = self.read([slots[layout.slot_index(slots, filename)]])
        return run.find(filename)

    def examine_pages(self, refs: Sequence[PageRef]) -> list[Run | pages.BrokenObject]:
        """These pages, in order; ``BrokenObject`` for an unusable page. Raises ``Conflict``, ``StoreError``."""
        return pages.examine(self.store, self.parallel_map, self.collection, self.loaded, refs)

    def examine_copies(self) -> dict[str, SidecarContent | pages.BrokenObject]:
        """The copies of sidecars by key; ``BrokenObject`` for an unusable copy. Raises as ``examine_pages``."""
        return pages.examine_copies(self.store, self.parallel_map, self.collection, self.loaded)

    def restored_descriptions(self) -> AppliedSidecars:
        """The descriptions applied to the files; broken copies are rewritten if their sidecar is unchanged in S3."""
        return pages.restored_descriptions(self.store, self.parallel_map, self.collection, self.loaded)
