"""How a manifest's entries are laid out: all in the head, or in pages of bounded size.

Pure: it says which pages have to be read, and its caller reads them. A layout is the sorted list of
its slots: pages that are not touched, each as its reference, and runs that were read.
"""

from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from s3_manifest.manifest import digests
from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.model import Entry, Head, PageRef, Role
from s3_manifest.manifest.runs import Run, sha256_hex

MAX_INLINE = 2000
"""A head holds up to so many entries itself."""
MIN_PAGED = 1000
"""With fewer entries than this the pages are taken back into the head: well below, lest it goes to and fro."""
MAX_PAGE, MIN_PAGE = 2000, 500
"""A page holds no more entries, and none that a commit has written holds fewer."""


class LoadedRun(NamedTuple):
    """A run that was read or made: its files and their bytes, its digest (None: not known), the page that holds it.

    Of a run's entries some may be no files. ``ref`` is None where no page holds just that (yet).
    """

    run: Run
    files: int
    size: int
    digest: int | None
    ref: PageRef | None = None


Slot = PageRef | LoadedRun


class Layout(NamedTuple):
    """How a new head holds its entries: as ``entries``, or in ``pages``, of which ``new`` are yet to be written."""

    entries: tuple[Entry, ...]
    pages: tuple[PageRef, ...]
    new: tuple[tuple[str, Run], ...]

    def with_role(self, role: Role) -> tuple[Entry, ...]:
        """Those of the entries, not of those in pages, that are this to the manifest."""
        return tuple(entry for entry in self.entries if entry.role == role)

    @property
    def total_files(self) -> int:
        """How many files there are."""
        return len(self.with_role("files")) + sum(page.total_files for page in self.pages)

    @property
    def total_size_bytes(self) -> int:
        """The size of all files together."""
        return sum(map(_bytes, self.entries)) + sum(page.total_size_bytes for page in self.pages)


def head_slots(head: Head | None) -> list[Slot]:
    """The layout of a head as it was read."""
    if head and head.pages:
        return list(head.pages)
    if head is None:
        return [LoadedRun(Run(), 0, 0, 0)]
    apart = [*head.captions, *head.hidden]
    entries = sorted([*head.files, *apart], key=lambda entry: entry.filename) if apart else head.files
    return [LoadedRun(Run(entries), head.total_files, head.total_size_bytes, None)]


def loaded_run(ref: PageRef, run: Run) -> LoadedRun:
    """The slot of a page, once it was read."""
    return LoadedRun(run, ref.total_files, ref.total_size_bytes, int(ref.digest, 16), ref)


def slot_index(slots: Sequence[Slot], filename: str) -> int:
    """The index of the slot that holds a filename, or would. Only for slots as they were read."""
    return max(0, bisect_right(slots, filename, key=first_filename) - 1) if len(slots) > 1 else 0


def find_entry(slots: Sequence[Slot], filename: str) -> Entry | None:
    """The entry of that name, for slots as they were read; its slot must be open."""
    slot = slots[slot_index(slots, filename)]
    return slot.run.find(filename) if isinstance(slot, LoadedRun) else None


def needs_page(slots: Sequence[Slot], filename: str) -> bool:
    """Whether a page has to be read to know if there is an entry of that name; for slots as they were read."""
    slot = slots[slot_index(slots, filename)]
    return isinstance(slot, PageRef) and slot.first <= filename <= slot.last


def apply_changes(slots: Sequence[Slot], file_changes: Iterable[FileChange]) -> list[Slot]:
    """The slots, as they were read, after the alterations; the slots concerned must be open."""
    concerned: dict[int, list[FileChange]] = {}
    for one in file_changes:
        concerned.setdefault(slot_index(slots, one.filename), []).append(one)
    return [_altered(slot, concerned[index]) if index in concerned else slot for index, slot in enumerate(slots)]


def join_small_runs(slots: Iterable[Slot]) -> list[Slot]:
    """The slots without empty ones, and each thin one joined with an open neighbour, if it has one."""
    made: list[Slot] = []
    for slot in slots:
        before = made[-1] if made else None
        if isinstance(slot, LoadedRun) and not len(slot.run):
            continue
        if isinstance(slot, LoadedRun) and isinstance(before, LoadedRun) and (_is_thin(slot) or _is_thin(before)):
            unknown = before.digest is None or slot.digest is None
            digest = None if unknown else (before.digest or 0) + (slot.digest or 0)
            made[-1] = LoadedRun(
                before.run.concat(slot.run), before.files + slot.files, before.size + slot.size, digest
            )
        else:
            made.append(slot)
    return made


def pages_to_read(slots: Sequence[Slot], broken: Container[str] = ()) -> list[int]:
    """The indices of the pages to be read before the slots can be laid out; the slots must be ``joined``.

    Pages whose keys are ``broken`` cannot be read: a thin page beside one stays thin until that is repaired.
    """
    closed = {index for index, slot in enumerate(slots) if isinstance(slot, PageRef) and slot.key not in broken}
    if sum(map(_size, slots)) < MIN_PAGED:
        return sorted(closed)
    thin = [index for index in range(len(slots)) if index not in closed and _is_thin(slots[index])]
    # The page after it or, at the end, the one before.
    neighbours = {index + 1 if index + 1 < len(slots) else index - 1 for index in thin if len(slots) > 1}
    return sorted(neighbours & closed)


def build_layout(slots: Sequence[Slot], *, was_paged: bool, name: str) -> Layout:
    """The slots as a head has them; new pages are called ``<name>-<n>.json``.

    Nothing must be ``wanted`` any more.
    """
    total = sum(map(_size, slots))
    are_open = all(isinstance(slot, LoadedRun) for slot in slots)
    if are_open and (total < MIN_PAGED or (total <= MAX_INLINE and not was_paged)):
        return Layout(
            tuple(entry for slot in slots if isinstance(slot, LoadedRun) for entry in slot.run.entries()), (), ()
        )
    pages: list[PageRef] = []
    new: list[tuple[str, Run]] = []
    for slot in slots:
        if isinstance(slot, PageRef):
            pages.append(slot)
            continue
        if slot.ref:
            pages.append(slot.ref)
            continue
        parts = slot.run.split(-(-len(slot.run) // MAX_PAGE))
        for run in parts:
            key = f"{name}-{len(new)}.json"
            new.append((key, run))
            pages.append(_ref(key, slot) if len(parts) == 1 else run.page_ref(key))
    return Layout((), tuple(pages), tuple(new))


def _altered(slot: Slot, file_changes: Sequence[FileChange]) -> LoadedRun:
    if isinstance(slot, PageRef):
        raise TypeError(f"{slot.key} is altered without having been read")
    run = slot.run.with_changes({one.filename: one.after for one in file_changes})
    files = slot.files + sum(_is_file(one.after) - _is_file(one.before) for one in file_changes)
    size = slot.size + sum(_bytes(one.after) - _bytes(one.before) for one in file_changes)
    if slot.digest is None:
        return LoadedRun(run, files, size, None)
    return LoadedRun(
        run, files, size, slot.digest + sum(_digest(one.after) - _digest(one.before) for one in file_changes)
    )


def _ref(key: str, slot: LoadedRun) -> PageRef:
    """The reference to a page with the slot's run, without looking at entries that nobody altered."""
    if slot.digest is None:
        return slot.run.page_ref(key)
    return PageRef(
        key=key,
        first=slot.run.first,
        last=slot.run.last,
        total_files=slot.files,
        total_size_bytes=slot.size,
        unlisted=len(slot.run) - slot.files,
        problems=slot.run.count_problems(),
        digest=digests.to_hex(slot.digest),
        sha256=sha256_hex(slot.run.page),
    )


def _is_file(entry: Entry | None) -> bool:
    return entry is not None and entry.is_file


def _bytes(entry: Entry | None) -> int:
    return entry.size_bytes if entry and entry.is_file else 0


def _digest(entry: Entry | None) -> int:
    return digests.entry_digest(entry) if entry else 0


def first_filename(slot: Slot) -> str:
    """The first filename of a slot, which must not be empty."""
    return slot.first if isinstance(slot, PageRef) else slot.run.first


def _size(slot: Slot) -> int:
    return slot.total_entries if isinstance(slot, PageRef) else len(slot.run)


def _is_thin(slot: Slot) -> bool:
    return isinstance(slot, LoadedRun) and len(slot.run) < MIN_PAGE
