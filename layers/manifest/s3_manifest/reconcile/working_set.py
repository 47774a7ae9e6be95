"""The pages of a snapshot that a commit or a repair has read, and those that it cannot read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from s3_manifest.manifest import layout
from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.layout import Layout, Slot
from s3_manifest.manifest.model import Entry, PageRef
from s3_manifest.storage.snapshot import BrokenObject, BrokenObjects, Snapshot
from s3_manifest.storage.store import ReadFailed

MAX_PAGES = 32
"""Pages that one commit may touch, so that its memory does not grow with the collection."""


@dataclass
class WorkingSet:
    """The slots of one snapshot; grows as pages are read. Methods raise ``Conflict`` if the head is stale."""

    snapshot: Snapshot
    slots: Sequence[Slot]
    broken: dict[str, BrokenObject] = field(default_factory=dict)
    """Broken pages met so far, by key; their slots stay unread."""

    def read(self, names: Iterable[str]) -> None:
        """Reads the pages that hold, or would hold, these filenames."""
        self.slots = self._read(self.slots, {layout.slot_index(self.slots, name) for name in names})

    def read_existing(self, names: Iterable[str]) -> None:
        """Reads the pages that may hold an entry of one of these filenames; others need not be read to exclude it."""
        self.read(name for name in names if layout.needs_page(self.slots, name))

    def _read(self, slots: Sequence[Slot], indices: Iterable[int]) -> list[Slot]:
        slots_at = ((index, slots[index]) for index in indices)
        unread = {index: slot for index, slot in slots_at if isinstance(slot, PageRef) and slot.key not in self.broken}
        runs = self.snapshot.examine_pages(list(unread.values()))
        self.broken |= {run.key: run for run in runs if isinstance(run, BrokenObject)}
        read = {
            index: layout.loaded_run(ref, run)
            for (index, ref), run in zip(unread.items(), runs, strict=True)
            if not isinstance(run, BrokenObject)
        }
        return [read.get(index, slot) for index, slot in enumerate(slots)]

    def portion(self, names: Sequence[str]) -> Sequence[str]:
        """The first of the sorted filenames, as many as lie in the pages that one commit may touch."""
        last, touched = None, 0
        for count, name in enumerate(names):
            index = layout.slot_index(self.slots, name)
            if index != last:
                if touched == MAX_PAGES:
                    return names[:count]
                last, touched = index, touched + 1
        return names

    def needs_broken(self, names: Iterable[str]) -> bool:
        """Whether one of these filenames is, or would be, in a broken page."""
        if not self.broken:
            return False
        slots = (self.slots[layout.slot_index(self.slots, name)] for name in names)
        return any(isinstance(slot, PageRef) and slot.key in self.broken for slot in slots)

    def hides(self, names: Iterable[str]) -> bool:
        """Whether a broken page may hold an entry of one of these filenames."""
        return self.needs_broken(name for name in names if layout.needs_page(self.slots, name))

    def failure(self, key: str) -> ReadFailed:
        """The failure of a key that needs a broken page."""
        error = BrokenObjects(self.snapshot.collection, list(self.broken.values()))
        return ReadFailed(key, f"not committed: {error}", bucket=self.snapshot.collection.bucket)

    def entries(self, names: Iterable[str]) -> dict[str, Entry]:
        """The entries of these filenames; their pages must have been read."""
        return {name: entry for name in names if (entry := layout.find_entry(self.slots, name))}

    def lay_out(self, changes: Sequence[FileChange], commit_id: str) -> Layout:
        """The entries after the changes, in pages if there are many; reads the neighbours of pages that become thin."""
        slots = layout.join_small_runs(layout.apply_changes(self.slots, changes))
        while indices := layout.pages_to_read(slots, self.broken):
            slots = layout.join_small_runs(self._read(slots, indices))
        return layout.build_layout(slots, name=f"{self.snapshot.collection.pages_folder}{commit_id}")
