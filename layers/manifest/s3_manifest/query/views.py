"""What a reader is shown of a manifest: as it is or was, filtered, and in pages."""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.encoding import facts_json, json_bytes
from s3_manifest.manifest.layout import Slot
from s3_manifest.manifest.model import BrokenObjects, PageRef, Role, Timestamp
from s3_manifest.manifest.runs import Row, Run
from s3_manifest.query.history import HistoryGone, ManifestRevision
from s3_manifest.query.truncation import MAX_ANSWER_BYTES, cut_entry, escaped_size, fitting_facts
from s3_manifest.sidecars.formats import captioned_by, captions_of, is_captioned, may_be_caption
from s3_manifest.storage import pages
from s3_manifest.storage.heads import Checkpoint
from s3_manifest.storage.store import Each, Store

PAGES_READ = 2
"""An answer is made from so many pages of the manifest at most, however few of their files are shown."""

_MIN_ENTRY_BYTES = 400
# The longest filename in it, in base64.
_CURSOR_BYTES = 2000


class AnswerTooLarge(Exception):
    """What was asked for does not fit into one answer."""


Listing = Literal["files", "captions", "hidden", "orphans", "uncaptioned"]
"""What to list: entries of a role, or those of them that lack the other: captions an image, images a caption."""

_ROLES: dict[Listing, Role] = {"orphans": "captions", "uncaptioned": "files"}


class Filter(NamedTuple):
    """Which entries to show: of those listed all whose filename begins with, or matches, and that are newer."""

    prefix: str = ""
    glob: str | None = None
    modified_after: Timestamp | None = None
    listing: Listing = "files"

    def shows(self, row: Row) -> bool:
        """Whether the entry passes, but for what it may have beside it."""
        return (
            row.role == _ROLES.get(self.listing, self.listing)
            and row.filename.startswith(self.prefix)
            and (self.glob is None or fnmatchcase(row.filename, self.glob))
            and (self.modified_after is None or row.last_modified > self.modified_after)
        )

    def lacks(self, filename: str, has: Callable[[str], bool]) -> bool:
        """Whether it lacks what it has to lack to be listed; ``has``: whether there is an entry of that name."""
        match self.listing:
            case "orphans":
                return not any(map(has, captioned_by(filename)))
            case "uncaptioned":
                return is_captioned(filename) and not any(map(has, captions_of(filename)))
            case _:
                return True

    def is_past(self, filename: str) -> bool:
        """Whether nothing passes from this name on."""
        return filename > self.prefix and not filename.startswith(self.prefix)


class Page(NamedTuple):
    """Some of the files, and the filename to go on from; None after the last."""

    lines: list[bytes]
    following: str | None


def whole(store: Store, each: Each, collection: Collection, past: ManifestRevision) -> bytes:
    """The canonical manifest: all of its files and, apart, captions and hidden ones.

    Raises ``AnswerTooLarge``, ``Conflict``, ``StoreError``.
    """
    too_large = AnswerTooLarge("the manifest is too large for one answer")
    if past.facts.total_files * _MIN_ENTRY_BYTES > MAX_ANSWER_BYTES:
        raise too_large
    lines: dict[Listing, list[bytes]] = {"files": [], "captions": [], "hidden": []}
    for row in (row for run in runs(store, each, collection, past) for row in run.rows()):
        lines[row.role].append(row.line)
    body = _answer(facts_json(past.facts), lines)
    if escaped_size(body) > MAX_ANSWER_BYTES:
        raise too_large
    return body


def runs(store: Store, each: Each, collection: Collection, past: ManifestRevision) -> Iterator[Run]:
    """All entries, in order. Raises ``Conflict`` (the pages are gone, as the manifest changed), ``StoreError``."""
    slots = layout.slots_of(past.base.head)
    return _runs(store, each, collection, past, slots, range(len(slots)))


def page(
    store: Store, each: Each, collection: Collection, past: ManifestRevision, wanted: Filter, limit: int, start: str
) -> Page:
    """At most ``limit`` of the files that pass, from the filename ``start`` on.

    There may be fewer, or none, though more follow: so much is read for one answer, and no more. An entry
    that no answer has room for is cut, so that there is always one to go on from.
    Raises ``Conflict`` (the pages are gone, as the manifest changed), ``StoreError``.
    """
    room = MAX_ANSWER_BYTES - escaped_size(page_json(past, Page([], None), wanted.listing, None)) - _CURSOR_BYTES
    slots = layout.slots_of(past.base.head)
    reader = _Reader(store, each, collection, past, slots)
    start = max(start, wanted.prefix)
    first = _first(past, slots, start)
    rest = first + PAGES_READ
    lines: list[bytes] = []
    for index in range(first, min(rest, len(slots))):
        if len(lines) == limit:
            rest = index
            break
        run = reader.run(index)
        for row in run.begun_with(start).rows():
            if wanted.is_past(row.filename):
                return Page(lines, None)
            if not wanted.shows(row) or not wanted.lacks(row.filename, reader.has):
                continue
            line = row.line
            if not lines and escaped_size(line) > room:
                line = cut_entry(line)
            room -= escaped_size(line) + 1
            if len(lines) == limit or (lines and room < 0):
                return Page(lines, row.filename)
            lines.append(line)
    following = layout.begins(slots[rest]) if rest < len(slots) else None
    return Page(lines, None if following is None or wanted.is_past(following) else following)


def page_json(past: ManifestRevision, found: Page, listing: Listing, cursor: str | None) -> bytes:
    """The manifest with a page of what is listed; totals are those of the whole manifest, whatever is shown."""
    return _answer(fitting_facts(facts_json(past.facts)), {listing: found.lines}, cursor=cursor)


def _answer(facts: Mapping[str, Any], lines: Mapping[Listing, list[bytes]], **more: Any) -> bytes:  # noqa: ANN401
    body = json_bytes(facts)[:-1]
    for listing, listed in lines.items():
        body += b',"%s":[' % listing.encode() + b",".join(listed) + b"]"
    return body + (b"," + to_json(more)[1:] if more else b"}")


class _Reader:
    """Reads pages of a manifest for one answer, each once."""

    def __init__(
        self, store: Store, each: Each, collection: Collection, past: ManifestRevision, slots: list[Slot]
    ) -> None:
        self._of = (store, each, collection, past, slots)
        self._slots = slots
        self._read: dict[int, Run] = {}

    def run(self, index: int) -> Run:
        """The entries of a slot, as they were."""
        if index not in self._read:
            (self._read[index],) = _runs(*self._of, range(index, index + 1))
        return self._read[index]

    def has(self, filename: str) -> bool:
        """Whether there was an entry of that name, of a caption's name a caption.

        An image and its caption are at most a page apart, mostly none.
        """
        found = self.run(layout.slot_of(self._slots, filename)).find(filename)
        return found is not None and (found.caption is not None or not may_be_caption(filename))


def _runs(
    store: Store, each: Each, collection: Collection, past: ManifestRevision, slots: list[Slot], indices: range
) -> Iterator[Run]:
    """The files of these slots, as they were."""
    chosen = [slots[index] for index in indices]
    refs = [slot for slot in chosen if isinstance(slot, PageRef)]
    try:
        read = iter(pages.read(store, each, collection, past.base, refs))
    except BrokenObjects as error:
        if not isinstance(past.base, Checkpoint):
            raise
        # No sweep repairs what only the past refers to.
        reason = f"part of what the manifest said at revision {past.facts.revision} is lost or damaged"
        base = past.base.head
        raise HistoryGone(reason, (base.revision if base else past.facts.revision) + 1) from error
    for index, slot in zip(indices, chosen, strict=True):
        run = next(read) if isinstance(slot, PageRef) else slot.run
        begins = layout.begins(slots[index]) if index else ""
        ends = layout.begins(slots[index + 1]) if index + 1 < len(slots) else None
        differs = {
            name: entry for name, entry in past.differs.items() if name >= begins and (ends is None or name < ends)
        }
        yield run.replaced(differs) if differs else run


def _first(past: ManifestRevision, slots: list[Slot], start: str) -> int:
    """The index of the slot to begin with, for what follows from the filename ``start`` on."""
    index = layout.slot_of(slots, start)
    slot = slots[index]
    # In the past there may have been files between two pages of the base.
    nothing_left = isinstance(slot, PageRef) and slot.last < start and not past.differs
    return index + 1 if nothing_left and index + 1 < len(slots) else index
