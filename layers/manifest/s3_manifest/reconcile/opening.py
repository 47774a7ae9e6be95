"""Reads the pages that a commit needs, leaving those closed that are broken."""

from collections.abc import Iterable, Sequence

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.layout import Layout, Slot
from s3_manifest.manifest.model import Entry, PageRef
from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.merge import Delta
from s3_manifest.sidecars.descriptions import Descriptions
from s3_manifest.storage import heads, pages
from s3_manifest.storage.pages import Broken
from s3_manifest.storage.store import ReadFailed


class WorkingSet:
    """Opens slots of one loaded head. Methods raise ``Conflict`` where it is another one by now, ``StoreError``."""

    def __init__(self, environment: Environment, collection: Collection, loaded: heads.Loaded) -> None:
        self.collection = collection
        self.loaded = loaded
        self.broken: dict[str, Broken] = {}
        """The broken pages met so far, by key."""
        self._world = environment

    def opened(self, slots: list[Slot], indices: Iterable[int]) -> list[Slot]:
        """The slots with the pages at these indices read, except for broken ones."""
        closed = {
            index: slot
            for index in indices
            if isinstance(slot := slots[index], PageRef) and slot.key not in self.broken
        }
        if not closed:
            return slots
        found = pages.examine(self._world.store, self._world.each, self.collection, self.loaded, list(closed.values()))
        self.broken |= {one.key: one for one in found if isinstance(one, Broken)}
        read = {
            index: layout.opened(ref, run)
            for (index, ref), run in zip(closed.items(), found, strict=True)
            if not isinstance(run, Broken)
        }
        return [read.get(index, slot) for index, slot in enumerate(slots)]

    def is_broken_for(self, slots: Sequence[Slot], names: Iterable[str]) -> bool:
        """Whether one of these filenames is, or would be, in a broken page."""
        if not self.broken:
            return False
        of_names = (slots[layout.slot_of(slots, name)] for name in names)
        return any(isinstance(slot, PageRef) and slot.key in self.broken for slot in of_names)

    def holds_out(self, slots: Sequence[Slot], names: Iterable[str]) -> bool:
        """Whether a broken page keeps from knowing whether there is an entry of one of these names, and which."""
        return self.is_broken_for(slots, (name for name in names if layout.is_out(slots, name)))

    def failure(self, key: str) -> ReadFailed:
        """Why a key that needs a broken page is not committed."""
        error = pages.broken_objects(self.collection, list(self.broken.values()))
        return ReadFailed(key, f"not committed: {error}")

    def descriptions(self) -> Descriptions:
        """What the files go by of what the sidecars say.

        A copy that is lost is written again, if the sidecar in S3 is still the one that it was made of. Raises
        ``BrokenObjects`` where it is not.
        """
        return pages.restored_descriptions(self._world.store, self._world.each, self.collection, self.loaded)

    def laid_out(self, slots: list[Slot], news: Delta, commit_id: str) -> Layout:
        """The entries after the alterations, in pages if they are many; reads what pages it needs for that."""
        after = layout.joined(layout.altered(slots, news.alterations))
        while wanted := layout.wanted(after, self.broken):
            after = layout.joined(self.opened(after, wanted))
        was_paged = self.loaded.head is not None and bool(self.loaded.head.pages)
        return layout.laid_out(after, was_paged=was_paged, name=f"{self.collection.folder}pages/{commit_id}")


def entries_of(slots: Sequence[Slot], names: Iterable[str]) -> dict[str, Entry]:
    """The manifest's entries of these names; the slots that would hold them must be open."""
    return {name: entry for name in names if (entry := layout.find(slots, name))}
