"""A manifest compared with a listing of S3, page by page: which keys are to be looked at.

Each page is read once, to see that it is there and what the head says it is, also where the digest of what
is listed proves that it says the right thing. A listing and a manifest are of different moments, so what
differs need not be wrong; only looking at it tells.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

from s3_manifest.manifest import digests, layout
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.layout import Slot
from s3_manifest.manifest.model import Entry, PageRef
from s3_manifest.manifest.runs import Run
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.storage import pages
from s3_manifest.storage.heads import Loaded
from s3_manifest.storage.pages import Broken
from s3_manifest.storage.store import Each, Listed, Listing, Store, listings


class Reading(Protocol):
    """What of a ``Environment`` comparing takes: nothing is written."""

    @property
    def store(self) -> Store:
        """The bucket."""
        ...

    @property
    def collections(self) -> Collections:
        """The kinds of collections."""
        ...

    @property
    def each(self) -> Each:
        """Several requests at once."""
        ...

    def seconds_left(self) -> float:
        """Until it has to stop."""
        ...


@dataclass
class Comparison:
    """What came of comparing a range of a collection's keys."""

    keys: list[str] = field(default_factory=list)
    """Those that differ."""
    broken: list[Broken] = field(default_factory=list)
    """Pages that are missing or damaged; what was listed of them is compared with nothing."""
    listed: int = 0
    rest: str | None = None
    """The filename from which on nothing was compared any more; None where the range was, to its end."""


@dataclass
class _Part:
    """What was listed of one slot, from the filename ``low`` on (before the slot's first: all of it)."""

    index: int
    low: str = ""
    files: dict[str, Listed] = field(default_factory=dict)
    sidecars: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, listed: Listed) -> None:
        if name in SIDECARS:
            self.sidecars[listed.key] = listed.etag
        elif listed.size or not name.endswith("/"):
            self.files[name] = listed


def just_after(filename: str) -> str:
    """The least filename that is greater: all that ranges and parts begin with, but for the first ones."""
    return filename + "\0"


def ranges(slots: Sequence[Slot], start: str, slots_each: int) -> list[range]:
    """The slots from the one on that the filename ``start`` is compared with, in ranges of so many."""
    first = _index(slots, start)
    return [range(start, min(start + slots_each, len(slots))) for start in range(first, len(slots), slots_each)]


def _index(slots: Sequence[Slot], filename: str) -> int:
    """The index of the slot that a filename is compared with."""
    return bisect_left(slots[:-1], filename, key=_last)


def _last(slot: Slot) -> str:
    return slot.last if isinstance(slot, PageRef) else slot.run.last


class Comparer:
    """Compares one collection's manifest, as it was loaded, with listings of it.

    With ``stop_at_keys`` differing keys, or less than ``stop_at_seconds_left`` left, a range is
    not compared to its end. ``doubts_problems``: sidecars and captions with a problem count as differing, since
    one that was archived may be readable by now, and no listing tells.
    """

    def __init__(
        self,
        environment: Reading,
        collection: Collection,
        loaded: Loaded,
        *,
        stop_at_keys: int,
        stop_at_seconds_left: float,
        doubts_problems: bool = False,
    ) -> None:
        self._world = environment
        self._collection = collection
        self._loaded = loaded
        self._stop_at_keys = stop_at_keys
        self._stop_at_seconds_left = stop_at_seconds_left
        self._sidecars = loaded.head.sidecars if loaded.head else ()
        self._doubts = doubts_problems
        problems = loaded.head.problems if loaded.head and doubts_problems else ()
        self._doubtful = {problem.s3_key for problem in problems}
        self.slots = layout.slots_of(loaded.head)

    def compare(self, within: range, start: str) -> Comparison:
        """Lists what lies in a range of slots, from the filename ``start`` on if that lies in it.

        Raises ``StoreError``, ``UnreadableManifest``.
        """
        comparison = Comparison()
        ends = self.begins(within.stop)
        low = max(start, self.begins(within.start) or "")
        part = _Part(_index(self.slots, low), low)
        for listing in listings(self._world.store, self._collection.prefix, self._key_before(low)):
            comparison.listed += len(listing.objects)
            for name, listed in self._own(listing):
                if name < low or (ends and name >= ends):
                    continue
                part = self._moved(comparison, part, within, name)
                if comparison.rest is not None:
                    return comparison
                part.add(name, listed)
            last = self._collection.filename(listing.objects[-1].key) if listing.objects else ""
            if not listing.truncated or (ends and just_after(last) >= ends):
                break
            if last < low:
                continue
            part = self._moved(comparison, part, within, last)
            if comparison.rest is not None:
                return comparison
            stop = self._stops(comparison)
            # So many cannot be the page: what differs is told before they are too many to be held.
            if stop or len(part.files) > 4 * layout.MAX_PAGE:
                comparison.keys += self._differences(comparison, part, up_to=last)
                part = _Part(part.index, low=just_after(last))
            if stop:
                comparison.rest = part.low
                return comparison
        self._moved(comparison, part, within, None)
        return comparison

    def _stops(self, comparison: Comparison) -> bool:
        return len(comparison.keys) >= self._stop_at_keys or self._world.seconds_left() < self._stop_at_seconds_left

    def _moved(self, comparison: Comparison, part: _Part, within: range, name: str | None) -> _Part:
        """The part that a name belongs to (None: past the end), those before it having been compared, or some."""
        while part.index < within.stop:
            ends = self.begins(part.index + 1)
            if name is not None and (ends is None or name < ends):
                break
            comparison.keys += self._differences(comparison, part)
            part = _Part(part.index + 1)
            if part.index < within.stop and self._stops(comparison):
                comparison.rest = self.begins(part.index)
                break
        return part

    def _differences(self, comparison: Comparison, part: _Part, up_to: str | None = None) -> Iterator[str]:
        """The keys of a part, up to a filename or to the slot's end, that are not as the manifest says."""
        begins, ends = max(part.low, self.begins(part.index) or ""), self.begins(part.index + 1)

        def concerns(name: str) -> bool:
            return begins <= name and (up_to is None or name <= up_to) and (ends is None or name < ends)

        prefix = self._collection.prefix
        said = {s.s3_key: s for s in self._sidecars if concerns(self._collection.filename(s.s3_key))}
        for key in said.keys() | part.sidecars.keys():
            sidecar = said.get(key)
            is_same = sidecar and sidecar.is_applied and sidecar.etag == part.sidecars.get(key)
            if not is_same or key in self._doubtful:
                yield key
        is_the_page = self._is_the_page(part, up_to)
        if is_the_page and part.low > (self.begins(part.index) or ""):
            return  # a part of it that was compared before has read it
        run = self._run(part.index)
        if isinstance(run, Broken):
            if run not in comparison.broken:
                comparison.broken.append(run)
            return
        if is_the_page:
            return
        listed = dict(part.files)
        for entry in self._entries(run, part, up_to):
            found = listed.pop(entry.filename, None)
            is_same = found and digest_of_listed(found, entry.filename) == digests.of_entry(entry)
            if not is_same or (entry.problem and self._doubts):
                yield entry.s3_key
        yield from (prefix + name for name in listed)

    def _is_the_page(self, part: _Part, up_to: str | None) -> bool:
        """Whether what was listed of a slot is, by its digest, what its page holds."""
        slot = self.slots[part.index]
        if not isinstance(slot, PageRef) or (slot.problems and self._doubts):
            return False
        if part.low > slot.first:
            return not part.files and part.low > slot.last
        whole = up_to is None and len(part.files) == slot.total_entries
        return whole and slot.digest == digests.written(
            digests.total(digest_of_listed(listed, name) for name, listed in part.files.items())
        )

    def _run(self, index: int) -> Run | Broken:
        slot = self.slots[index]
        if not isinstance(slot, PageRef):
            return slot.run
        (run,) = pages.examine(self._world.store, self._world.each, self._collection, self._loaded, [slot])
        return run

    def _entries(self, run: Run, part: _Part, up_to: str | None) -> Iterator[Entry]:
        entries = run.begun_with(part.low).entries()
        return entries if up_to is None else takewhile(lambda entry: entry.filename <= up_to, entries)

    def begins(self, index: int) -> str | None:
        """The least filename that is compared with a slot; None for the first slot, and after the last.

        What lies between two pages is compared with the second one, so that the listing of a range of
        pages may end with the last file of the last of them.
        """
        return just_after(_last(self.slots[index - 1])) if 0 < index < len(self.slots) else None

    def _key_before(self, low: str) -> str:
        """The key to list after, to be told of the filename ``low`` and what follows."""
        return self._collection.prefix + low[:-1] if low else ""

    def _own(self, listing: Listing) -> Iterator[tuple[str, Listed]]:
        collection = self._collection
        own = self._world.collections.own_keys(collection, listing.keys)
        if len(own) == len(listing.objects):
            return zip((key[len(collection.prefix) :] for key in own), listing.objects, strict=True)
        kept = set(own)
        return ((collection.filename(o.key), o) for o in listing.objects if o.key in kept)


def digest_of_listed(listed: Listed, filename: str) -> int:
    """One object's part, from a listing."""
    return digests.part(filename, listed.etag, listed.size, listed.last_modified, listed.storage_class)
