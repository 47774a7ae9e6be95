"""Reading a manifest while it may change: each answer, and each series of pages, is of one revision."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal, NamedTuple, TypeVar

from s3_manifest.manifest import layout
from s3_manifest.manifest.encoding import facts_json
from s3_manifest.manifest.layout import Slot
from s3_manifest.manifest.model import Frozen, PageRef, Role, Timestamp
from s3_manifest.manifest.runs import Row, Run
from s3_manifest.query.answers import (
    MAX_ANSWER_BYTES,
    AnswerTooLarge,
    escaped_size,
    json_with_lists,
    truncate_entry,
    truncate_facts,
)
from s3_manifest.query.cursors import decode_cursor, encode_cursor
from s3_manifest.query.history import History, HistoryExpired, ManifestRevision
from s3_manifest.sidecars.captions import can_have_caption, caption_candidates, caption_targets, may_be_caption
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import Conflict, ReadFailed

PAGES_READ = 2
"""At most this many pages of the manifest are read for one answer, however few of their files match."""

_MIN_ENTRY_BYTES = 400
# The cursor holds the longest filename, in base64.
_CURSOR_BYTES = 2000
_ATTEMPTS = 5

Result = TypeVar("Result")

Listing = Literal["files", "captions", "hidden", "orphans", "uncaptioned"]
"""Entries of one role, or ``orphans`` (captions without an image) and ``uncaptioned`` (images without a caption)."""

_ROLES: dict[Listing, Role] = {"orphans": "captions", "uncaptioned": "files"}


class Filter(NamedTuple):
    """Which entries of a listing to return: by the start of the filename, by a glob, and by the time of upload."""

    prefix: str = ""
    glob: str | None = None
    modified_after: Timestamp | None = None
    listing: Listing = "files"

    def matches(self, row: Row) -> bool:
        """Whether the entry passes, apart from ``has_no_partner``."""
        return (
            row.role == _ROLES.get(self.listing, self.listing)
            and row.filename.startswith(self.prefix)
            and (self.glob is None or fnmatchcase(row.filename, self.glob))
            and (self.modified_after is None or row.last_modified > self.modified_after)
        )

    def has_no_partner(self, filename: str, exists: Callable[[str], bool]) -> bool:
        """Whether the caption has no image, or the image no caption, if that is what is listed."""
        match self.listing:
            case "orphans":
                return not any(map(exists, caption_targets(filename)))
            case "uncaptioned":
                return can_have_caption(filename) and not any(map(exists, caption_candidates(filename)))
            case _:
                return True

    def ends_before(self, filename: str) -> bool:
        """Whether neither this filename nor any later one has the prefix."""
        return filename > self.prefix and not filename.startswith(self.prefix)


class Document(NamedTuple):
    """JSON made from a manifest, and the ETag of the head; None where it is of an earlier revision."""

    json: bytes
    etag: str | None


class ManifestChanged(Exception):
    """The manifest has a new revision, and the revision of the cursor is no longer kept."""


class PageQuery(NamedTuple):
    """A page of a manifest to read: its files, and the ``revision`` or the time ``at`` which they are read.

    A ``cursor`` continues with the revision of the page that returned it, whatever else is given.
    """

    filter: Filter = Filter()
    limit: int = 100
    cursor: str | None = None
    revision: int | None = None
    at: Timestamp | None = None


class _Position(Frozen):
    """Where the next page starts: the filename, and the revision of the manifest."""

    revision: int
    created_at: Timestamp
    start: str


def whole(snapshot: Snapshot) -> Document:
    """The canonical manifest: its files, captions and hidden files. Raises ``AnswerTooLarge``, and as ``page``."""
    too_large = AnswerTooLarge("the manifest is too large for one answer")

    def read(now: Snapshot) -> Document:
        revision = History(now).at()
        if revision.facts.total_files * _MIN_ENTRY_BYTES > MAX_ANSWER_BYTES:
            raise too_large
        lines: dict[str, list[bytes]] = {"files": [], "captions": [], "hidden": []}
        for row in (row for run in revision.runs() for row in run.rows()):
            lines[row.role].append(row.line)
        body = json_with_lists(facts_json(revision.facts), lines)
        if escaped_size(body) > MAX_ANSWER_BYTES:
            raise too_large
        return Document(body, now.etag)

    return retry_on_conflict(snapshot, read)


def page(snapshot: Snapshot, query: PageQuery) -> Document:
    """The manifest with at most ``limit`` of its files, and the ``cursor`` of the next page (null on the last).

    Raises ``BadParameter``, ``ManifestChanged``, ``HistoryExpired``, ``NoSuchRevision``, ``AnswerTooLarge``,
    ``StoreError``, ``UnreadableManifest``.
    """
    position = decode_cursor(query.cursor, _Position) if query.cursor else None

    def read(now: Snapshot) -> Document:
        if position is None:
            revision = History(now).at(query.revision, query.at)
        elif now.head is None or now.head.created_at != position.created_at:
            raise ManifestChanged("the manifest was recreated. Start again without a cursor")
        else:
            try:
                revision = History(now).at(position.revision)
            except HistoryExpired as error:
                reason = f"the cursor is of revision {position.revision}, and {error}. Start again without a cursor"
                raise ManifestChanged(reason) from error
        members = truncate_facts(facts_json(revision.facts))
        empty = json_with_lists(members, {query.filter.listing: []}, cursor=None)
        room = MAX_ANSWER_BYTES - escaped_size(empty) - _CURSOR_BYTES
        lines, following = _page(revision, query, position.start if position else "", room)
        facts, cursor = revision.facts, None
        if following is not None:
            cursor = encode_cursor(_Position(revision=facts.revision, created_at=facts.created_at, start=following))
        body = json_with_lists(members, {query.filter.listing: lines}, cursor=cursor)
        return Document(body, now.etag if facts is now.head else None)

    return retry_on_conflict(snapshot, read)


def retry_on_conflict(snapshot: Snapshot, read: Callable[[Snapshot], Result]) -> Result:
    """What ``read`` returns. Where pages were collected, repeats it with the newer head; finally ``ReadFailed``."""
    for _ in range(_ATTEMPTS):
        try:
            return read(snapshot)
        except Conflict:
            snapshot = snapshot.reload()
    collection, reason = snapshot.collection, "the manifest changed during each of five attempts to read it; try again"
    raise ReadFailed(collection.head_key, reason, bucket=collection.bucket)


def _page(revision: ManifestRevision, query: PageQuery, start: str, room: int) -> tuple[list[bytes], str | None]:
    """Entries from the filename ``start`` on, as lines of JSON, and where the next page starts; None after the last.

    ``room`` is the size of all lines as they are escaped in the answer.

    Fewer than the limit, even none, may be returned although more follow, because reading is bounded. An entry that is
    too large for any answer is truncated, so that there is always progress.
    """
    filter_, limit, slots = query.filter, query.limit, revision.base.slots()

    @cache
    def read(index: int) -> Run:
        (run,) = revision.read(slots, [index])
        return run

    def exists(filename: str) -> bool:
        """Whether there is an entry of that name and, for the name of a caption, whether it is a caption."""
        # An image and its caption are in the same slot or in adjacent ones.
        entry = read(layout.slot_index(slots, filename)).find(filename)
        return entry is not None and (entry.caption is not None or not may_be_caption(filename))

    start = max(start, filter_.prefix)
    first = _first_slot(revision, slots, start)
    following = first + PAGES_READ
    lines: list[bytes] = []
    for index in range(first, min(following, len(slots))):
        if len(lines) == limit:
            following = index
            break
        for row in read(index).starting_at(start).rows():
            if filter_.ends_before(row.filename):
                return lines, None
            if not filter_.matches(row) or not filter_.has_no_partner(row.filename, exists):
                continue
            line = row.line
            if not lines and escaped_size(line) > room:
                line = truncate_entry(line)
            room -= escaped_size(line) + 1
            if len(lines) == limit or (lines and room < 0):
                return lines, row.filename
            lines.append(line)
    next_filename = slots[following].first if following < len(slots) else None
    return lines, None if next_filename is None or filter_.ends_before(next_filename) else next_filename


def _first_slot(revision: ManifestRevision, slots: Sequence[Slot], start: str) -> int:
    """The index of the first slot that may hold an entry from the filename ``start`` on."""
    index = layout.slot_index(slots, start)
    slot = slots[index]
    # An earlier revision may have files that lie between two pages of its base.
    is_before = isinstance(slot, PageRef) and slot.last < start and not revision.differences
    return index + 1 if is_before and index + 1 < len(slots) else index
