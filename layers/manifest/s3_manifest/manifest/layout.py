"""Lays out a manifest's entries: all in the head, or in pages of bounded size.

Pure: it returns which pages to read, and the caller reads them. It works on a sorted list of
slots: references of unread pages, and loaded runs.
"""

from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from operator import add, attrgetter
from typing import NamedTuple

from s3_manifest.manifest import digests
from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.model import Entry, Head, PageRef, Role
from s3_manifest.manifest.runs import Run, Totals

MAX_INLINE = 2000
"""The most entries that a head holds itself; more are in pages. It follows from their number alone, not from how many
there were before: the problems of captions in the head must not depend on the order of changes."""
MAX_PAGE, MIN_PAGE = 2000, 500
"""The bounds of the number of entries in a page that a commit writes."""


class LoadedRun(NamedTuple):
    """A run in memory, and its totals (None if unknown). ``ref`` is the page that holds exactly this run, if any."""

    run: Run
    totals: Totals | None = None
    ref: PageRef | None = None

    @property
    def first(self) -> str:
        """The first filename. Raises ``IndexError`` if it is empty."""
        return self.run.first

    @property
    def total_entries(self) -> int:
        """The number of entries."""
        return len(self.run)


Slot = PageRef | LoadedRun


class Layout(NamedTuple):
    """A new head's entries: inline as ``entries``, or in ``pages``; ``new`` has the keys and runs of pages to write."""

    entries: tuple[Entry, ...]
    pages: tuple[PageRef, ...]
    new: tuple[tuple[str, Run], ...]

    def with_role(self, role: Role) -> tuple[Entry, ...]:
        """The inline entries with this role."""
        return tuple(entry for entry in self.entries if entry.role == role)

    @property
    def total_files(self) -> int:
        """The number of files, inline and in pages."""
        return len(self.with_role("files")) + sum(page.total_files for page in self.pages)

    @property
    def total_size_bytes(self) -> int:
        """The size of all files, inline and in pages."""
        inline = sum(entry.size_bytes for entry in self.with_role("files"))
        return inline + sum(page.total_size_bytes for page in self.pages)


def head_slots(head: Head | None) -> list[Slot]:
    """The slots of a head: its pages, or one run with its inline entries."""
    if head and head.pages:
        return list(head.pages)
    if head is None:
        return [LoadedRun(Run(), Totals())]
    unlisted = [*head.captions, *head.hidden]
    entries = sorted([*head.files, *unlisted], key=lambda entry: entry.filename) if unlisted else head.files
    return [LoadedRun(Run(entries))]


def loaded_run(ref: PageRef, run: Run) -> LoadedRun:
    """The slot of a page that was read."""
    return LoadedRun(run, Totals(ref.total_files, ref.total_size_bytes, int(ref.digest, 16)), ref)


def slot_index(slots: Sequence[Slot], filename: str) -> int:
    """The index of the slot for a filename. Only for slots without changes."""
    return max(0, bisect_right(slots, filename, key=attrgetter("first")) - 1) if len(slots) > 1 else 0


def find_entry(slots: Sequence[Slot], filename: str) -> Entry | None:
    """The entry with this filename. Only for slots without changes; its slot must be loaded."""
    slot = slots[slot_index(slots, filename)]
    return slot.run.find(filename) if isinstance(slot, LoadedRun) else None


def needs_page(slots: Sequence[Slot], filename: str) -> bool:
    """Whether finding this filename requires reading a page. Only for slots without changes."""
    slot = slots[slot_index(slots, filename)]
    return isinstance(slot, PageRef) and slot.first <= filename <= slot.last


def apply_changes(slots: Sequence[Slot], file_changes: Iterable[FileChange]) -> list[Slot]:
    """The slots after the changes; the affected slots must be loaded."""
    affected: dict[int, list[FileChange]] = {}
    for change in file_changes:
        affected.setdefault(slot_index(slots, change.filename), []).append(change)
    return [_modify(slot, affected[index]) if index in affected else slot for index, slot in enumerate(slots)]


def join_small_runs(slots: Iterable[Slot]) -> list[Slot]:
    """The slots without empty runs, and with each small run joined to a loaded neighbour, if any."""
    joined: list[Slot] = []
    for slot in slots:
        before = joined[-1] if joined else None
        if isinstance(slot, LoadedRun) and not len(slot.run):
            continue
        if isinstance(slot, LoadedRun) and isinstance(before, LoadedRun) and (_is_small(slot) or _is_small(before)):
            totals = Totals(*map(add, before.totals, slot.totals)) if before.totals and slot.totals else None
            joined[-1] = LoadedRun(before.run.concat(slot.run), totals)
        else:
            joined.append(slot)
    return joined


def pages_to_read(slots: Sequence[Slot], broken: Container[str] = ()) -> list[int]:
    """The indices of the pages to read before ``build_layout``; the slots come from ``join_small_runs``.

    Pages with ``broken`` keys cannot be read: a small page beside one stays small until the repair.
    """
    unread = {index for index, slot in enumerate(slots) if isinstance(slot, PageRef) and slot.key not in broken}
    if sum(slot.total_entries for slot in slots) <= MAX_INLINE:
        return sorted(unread)
    small = [index for index in range(len(slots)) if index not in unread and _is_small(slots[index])]
    # The next page or, for the last, the previous page.
    neighbours = {index + 1 if index + 1 < len(slots) else index - 1 for index in small if len(slots) > 1}
    return sorted(neighbours & unread)


def build_layout(slots: Sequence[Slot], *, name: str) -> Layout:
    """The layout of a new head; new pages have the keys ``<name>-<n>.json``.

    ``pages_to_read`` must be empty for these slots.
    """
    total = sum(slot.total_entries for slot in slots)
    all_loaded = all(isinstance(slot, LoadedRun) for slot in slots)
    if all_loaded and total <= MAX_INLINE:
        return Layout(
            tuple(entry for slot in slots if isinstance(slot, LoadedRun) for entry in slot.run.entries()), (), ()
        )
    pages: list[PageRef] = []
    new: list[tuple[str, Run]] = []
    for slot in slots:
        if isinstance(slot, PageRef):
            pages.append(slot)
        elif slot.ref:
            pages.append(slot.ref)
        else:
            parts = slot.run.split(-(-len(slot.run) // MAX_PAGE))
            for run in parts:
                key = f"{name}-{len(new)}.json"
                new.append((key, run))
                pages.append(run.page_ref(key, slot.totals if len(parts) == 1 else None))
    return Layout((), tuple(pages), tuple(new))


def _modify(slot: Slot, file_changes: Sequence[FileChange]) -> LoadedRun:
    if isinstance(slot, PageRef):
        raise TypeError(f"{slot.key} must be read before it is modified")
    run = slot.run.with_changes({change.filename: change.after for change in file_changes})
    if slot.totals is None:
        return LoadedRun(run)
    files, size_bytes, digest = slot.totals
    for change in file_changes:
        for entry, sign in ((change.before, -1), (change.after, 1)):
            if entry:
                digest += sign * digests.entry_digest(entry)
                files += sign * entry.is_file
                size_bytes += sign * entry.size_bytes * entry.is_file
    return LoadedRun(run, Totals(files, size_bytes, digest))


def _is_small(slot: Slot) -> bool:
    return isinstance(slot, LoadedRun) and len(slot.run) < MIN_PAGE
