"""Compares a manifest with a listing of its collection, page by page, and reports the keys to observe again.

Each page is read once to verify it against its SHA-256 in the head, even where the digest of the listing already
matches the page. The listing and the manifest are from different moments, so a difference need not be drift: only
observing the key decides.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile

from s3_manifest.manifest import digests, layout
from s3_manifest.manifest.collections import Collections
from s3_manifest.manifest.layout import Slot
from s3_manifest.manifest.model import PageRef
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.storage.snapshot import BrokenObject, Snapshot
from s3_manifest.storage.store import ListedObject, Listing, iter_listings


@dataclass
class Comparison:
    """The result of comparing a range of slots."""

    keys: list[str] = field(default_factory=list)
    """Keys that differ."""
    broken: list[BrokenObject] = field(default_factory=list)
    """Missing or damaged pages; their part of the listing was not compared."""
    listed: int = 0
    resume_at: str | None = None
    """The filename from which nothing was compared; None if the range was compared to its end."""


@dataclass
class _SlotListing:
    """The objects listed for one slot, from the filename ``low`` on (before the slot's first: all of it)."""

    index: int
    low: str = ""
    files: dict[str, ListedObject] = field(default_factory=dict)
    sidecars: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, listed: ListedObject) -> None:
        if name in SIDECARS:
            self.sidecars[listed.key] = listed.etag
        elif listed.size or not name.endswith("/"):
            self.files[name] = listed


def just_after(filename: str) -> str:
    """The smallest filename that is greater."""
    return filename + "\0"


def split_slots(slots: Sequence[Slot], start: str, size: int) -> list[range]:
    """The slots from the one that covers the filename ``start``, in ranges of at most ``size``."""
    first = _slot_index(slots, start)
    return [range(begin, min(begin + size, len(slots))) for begin in range(first, len(slots), size)]


def _slot_index(slots: Sequence[Slot], filename: str) -> int:
    """The index of the slot that covers a filename."""
    return bisect_left(slots[:-1], filename, key=_last)


def _last(slot: Slot) -> str:
    return slot.last if isinstance(slot, PageRef) else slot.run.last


@dataclass(frozen=True)
class Comparer:
    """Compares one snapshot with listings of its collection.

    A comparison stops before the end of its range after ``max_keys`` differing keys, or when ``is_time_short``.
    ``recheck_problems`` reports sidecars and captions with a problem as differing: an archived one may have been
    restored, which no listing shows.
    """

    snapshot: Snapshot
    collections: Collections
    max_keys: int
    is_time_short: Callable[[], bool]
    recheck_problems: bool = False

    @cached_property
    def slots(self) -> Sequence[Slot]:
        """The slots of the head, by whose indices ranges are compared."""
        return self.snapshot.slots()

    def compare(self, within: range, start: str) -> Comparison:
        """Lists and compares a range of slots, from the filename ``start`` if it lies in the range.

        Raises ``StoreError``, ``UnreadableManifest``.
        """
        comparison = Comparison()
        end = self.first_filename(within.stop)
        low = max(start, self.first_filename(within.start) or "")
        part = _SlotListing(_slot_index(self.slots, low), low)
        list_after = self.snapshot.collection.prefix + low[:-1] if low else ""
        for listing in iter_listings(self.snapshot.store, self.snapshot.collection.prefix, list_after):
            comparison.listed += len(listing.objects)
            for name, listed in self._own_objects(listing):
                if name < low or (end and name >= end):
                    continue
                part = self._advance(comparison, part, within, name)
                if comparison.resume_at is not None:
                    return comparison
                part.add(name, listed)
            last = self.snapshot.collection.filename(listing.objects[-1].key) if listing.objects else ""
            if not listing.truncated or (end and just_after(last) >= end):
                break
            if last < low:
                continue
            part = self._advance(comparison, part, within, last)
            if comparison.resume_at is not None:
                return comparison
            stops = self._reached_limit(comparison)
            # A slot this large cannot match its page: report the differences before memory runs out.
            if stops or len(part.files) > 4 * layout.MAX_PAGE:
                comparison.keys += self._differences(comparison, part, up_to=last)
                part = _SlotListing(part.index, low=just_after(last))
            if stops:
                comparison.resume_at = part.low
                return comparison
        self._advance(comparison, part, within, None)
        return comparison

    def _reached_limit(self, comparison: Comparison) -> bool:
        return len(comparison.keys) >= self.max_keys or self.is_time_short()

    def _advance(self, comparison: Comparison, part: _SlotListing, within: range, name: str | None) -> _SlotListing:
        """Compares the slots before that of ``name`` (None: all) until a limit is reached; returns the next part."""
        while part.index < within.stop:
            end = self.first_filename(part.index + 1)
            if name is not None and (end is None or name < end):
                break
            comparison.keys += self._differences(comparison, part)
            part = _SlotListing(part.index + 1)
            if part.index < within.stop and self._reached_limit(comparison):
                comparison.resume_at = self.first_filename(part.index)
                break
        return part

    def _differences(self, comparison: Comparison, part: _SlotListing, up_to: str | None = None) -> Iterator[str]:
        """The keys of a part, up to a filename or to the slot's end, that differ from the manifest."""
        slot_begin = self.first_filename(part.index) or ""
        yield from self._differing_sidecars(part, up_to)
        matches = self._matches_digest(part, up_to)
        if matches and part.low > slot_begin:
            return  # an earlier part of the slot has read the page
        slot = self.slots[part.index]
        run = self.snapshot.examine_pages([slot])[0] if isinstance(slot, PageRef) else slot.run
        if isinstance(run, BrokenObject):
            if run not in comparison.broken:
                comparison.broken.append(run)
            return
        if matches:
            return
        unmatched = dict(part.files)
        entries = run.starting_at(part.low).entries()
        for entry in entries if up_to is None else takewhile(lambda entry: entry.filename <= up_to, entries):
            listed = unmatched.pop(entry.filename, None)
            is_same = listed and digest_of_listed(listed, entry.filename) == digests.entry_digest(entry)
            if not is_same or (entry.problem and self.recheck_problems):
                yield entry.s3_key
        yield from (self.snapshot.collection.prefix + name for name in unmatched)

    def _differing_sidecars(self, part: _SlotListing, up_to: str | None) -> Iterator[str]:
        head, collection = self.snapshot.head, self.snapshot.collection
        begin, end = max(part.low, self.first_filename(part.index) or ""), self.first_filename(part.index + 1)

        def covers(name: str) -> bool:
            return begin <= name and (up_to is None or name <= up_to) and (end is None or name < end)

        sidecars, problems = (head.sidecars, head.problems) if head else ((), ())
        known = {sidecar.s3_key: sidecar for sidecar in sidecars if covers(collection.filename(sidecar.s3_key))}
        for key in known.keys() | part.sidecars.keys():
            sidecar = known.get(key)
            is_same = sidecar and sidecar.is_applied and sidecar.etag == part.sidecars.get(key)
            if not is_same or (self.recheck_problems and any(problem.s3_key == key for problem in problems)):
                yield key

    def _matches_digest(self, part: _SlotListing, up_to: str | None) -> bool:
        """Whether the digest of the objects listed for a slot is that of its page."""
        slot = self.slots[part.index]
        if not isinstance(slot, PageRef) or (slot.problems and self.recheck_problems):
            return False
        if part.low > slot.first:
            return not part.files and part.low > slot.last
        is_whole = up_to is None and len(part.files) == slot.total_entries
        return is_whole and slot.digest == digests.to_hex(
            digests.combine(digest_of_listed(listed, name) for name, listed in part.files.items())
        )

    def first_filename(self, index: int) -> str | None:
        """The smallest filename that a slot covers; None for the first slot, and after the last.

        A slot also covers the gap before its first entry, so that the listing of a range may end with the last file
        of its last page.
        """
        return just_after(_last(self.slots[index - 1])) if 0 < index < len(self.slots) else None

    def _own_objects(self, listing: Listing) -> Iterator[tuple[str, ListedObject]]:
        collection = self.snapshot.collection
        own = set(self.collections.own_keys(collection, listing.keys))
        return ((collection.filename(listed.key), listed) for listed in listing.objects if listed.key in own)


def digest_of_listed(listed: ListedObject, filename: str) -> int:
    """The digest of one listed object; equal to that of its entry if nothing changed."""
    return digests.object_digest(filename, listed.etag, listed.size, listed.last_modified, listed.storage_class)
