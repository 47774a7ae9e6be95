"""What is stored: by kind and by collection, the largest and the newest, and how it grew.

Totals are read off the summaries of the heads, growth off the change records. Everything is of one
page of the catalog's collections, so an answer takes a bounded number of requests.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from pydantic import ConfigDict

from s3_manifest.manifest.changes import ChangeRecord
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Count, Entry, Facts, Frozen, Head, Revision, Timestamp, timestamp
from s3_manifest.query import history
from s3_manifest.query.history import HistoryGone
from s3_manifest.storage.heads import load
from s3_manifest.storage.store import Each, Store

MAX_FILES = 30_000
"""The largest and newest files are told of collections with so many at most: to know them takes all pages."""


class _Told(Frozen):
    """Part of an answer. Its validator is built when it is first needed, not at each cold start."""

    model_config = ConfigDict(defer_build=True)


class KindTotals(_Told):
    """What the collections of one kind come to."""

    kind: str
    total_collections: int
    total_files: int
    total_size_bytes: int


class CollectionTotals(_Told):
    """One collection, as far as the summary of its manifest tells."""

    model_config = ConfigDict(strict=True)

    kind: str
    id: str
    title: str | None
    s3_prefix: str
    revision: Revision
    complete: bool
    total_files: Count
    total_size_bytes: Count
    created_at: Timestamp
    last_synced: Timestamp


class UnreadableCollection(_Told):
    """A collection whose manifest is there and cannot be read: what is wrong with it, and what to do."""

    kind: str
    id: str
    s3_prefix: str
    problem: str


class FileSize(_Told):
    """One file."""

    filename: str
    s3_key: str
    size_bytes: int
    last_modified: Timestamp


class Point(_Told):
    """What was stored at the end of a day (UTC), or is by now, in so many collections.

    Of a collection whose history does not reach back to that day nothing is counted: ``total_collections``
    is lower then. One that was begun later is counted, with nothing in it.
    """

    day: str
    total_collections: int
    total_files: int
    total_size_bytes: int


class Stats(_Told):
    """The answer. Totals are those of ``collections``: a page of all, ``partial`` unless it is the only one.

    Of those that are ``unreadable`` nothing is counted.

    ``files`` of one collection, if that was asked for: None for several, and for one with too many to read.
    ``growth_partial``: time ran out before the history of each collection was read.
    """

    total_collections: int
    total_files: int
    total_size_bytes: int
    kinds: tuple[KindTotals, ...]
    collections: tuple[CollectionTotals, ...]
    unreadable: tuple[UnreadableCollection, ...]
    largest: tuple[CollectionTotals, ...]
    newest: tuple[CollectionTotals, ...]
    largest_files: tuple[FileSize, ...] | None
    newest_files: tuple[FileSize, ...] | None
    growth: tuple[Point, ...]
    growth_partial: bool
    partial: bool
    cursor: str | None


class Size(NamedTuple):
    """How much a collection held: files, and their bytes."""

    files: int
    size_bytes: int


def totals_of(row: dict[str, Any]) -> CollectionTotals | UnreadableCollection:
    """A row of the catalog, under names that are the same for every kind."""
    kind = row["kind"]
    if "problem" in row:
        return UnreadableCollection(kind=kind, id=row[f"{kind}_id"], s3_prefix=row["s3_prefix"], problem=row["problem"])
    named = {"id": row[f"{kind}_id"], "title": row[f"{kind}_title"]}
    return CollectionTotals.model_validate(
        named | {name: value for name, value in row.items() if name in CollectionTotals.model_fields}
    )


def totals_of_head(head: Head) -> CollectionTotals:
    """One collection, from its manifest."""
    return CollectionTotals.model_validate(head.model_dump(include=set(CollectionTotals.model_fields)))


def summed(
    collections: Sequence[CollectionTotals],
    growth: Sequence[Point],
    entries: Iterable[Entry] | None,
    *,
    top: int,
    growth_partial: bool,
    partial: bool,
    cursor: str | None,
    unreadable: Sequence[UnreadableCollection] = (),
) -> Stats:
    """The answer about these collections; ``entries`` are those of the only one, if its files are to be told."""
    files = None if entries is None else [_file(entry) for entry in entries if entry.is_file]
    return Stats(
        total_collections=len(collections),
        total_files=sum(one.total_files for one in collections),
        total_size_bytes=sum(one.total_size_bytes for one in collections),
        kinds=tuple(_kind(kind, collections) for kind in sorted({one.kind for one in collections})),
        collections=tuple(collections),
        unreadable=tuple(unreadable),
        largest=_first(top, collections, lambda one: one.total_size_bytes),
        newest=_first(top, collections, lambda one: one.created_at),
        largest_files=None if files is None else _first(top, files, lambda one: one.size_bytes),
        newest_files=None if files is None else _first(top, files, lambda one: one.last_modified),
        growth=tuple(growth),
        growth_partial=growth_partial,
        partial=partial,
        cursor=cursor,
    )


def days_until(now: Timestamp, days: int) -> list[tuple[str, Timestamp]]:
    """The last so many days (UTC), today included: each with its last millisecond, today with ``now``."""
    today = datetime.fromisoformat(now).date()
    found: list[tuple[str, Timestamp]] = []
    for ago in reversed(range(days)):
        day = date.fromordinal(max(1, today.toordinal() - ago))
        last = datetime.combine(day, time.max, UTC)
        found.append((day.isoformat(), min(timestamp(last), now)))
    return found


def grown(days: Sequence[tuple[str, Timestamp]], told: Sequence[Sequence[Size | None]]) -> list[Point]:
    """What was stored on each of these days in all, from what each collection held then (None: not known)."""
    points = []
    for index, (day, _) in enumerate(days):
        known = [size for sizes in told if (size := sizes[index]) is not None]
        points.append(
            Point(
                day=day,
                total_collections=len(known),
                total_files=sum(size.files for size in known),
                total_size_bytes=sum(size.size_bytes for size in known),
            )
        )
    return points


def sizes_at(store: Store, each: Each, collection: Collection, moments: Sequence[Timestamp]) -> list[Size | None]:
    """How much a collection held at each of these moments, which are in order; None where that is not known.

    Reads the head, the last change record and, if that is later than the first of the moments, as many
    as the logarithm of the revisions for each of them. Raises ``StoreError``, ``UnreadableManifest``.
    """
    head = load(store, collection).head
    if head is None or not moments:
        return [None for _ in moments]
    records: dict[int, ChangeRecord] = {}

    def record_of(revision: int) -> ChangeRecord:
        if revision not in records:
            (records[revision],) = history.changes_since(store, each, collection, head, revision - 1, 1, from_anew=True)
        return records[revision]

    try:
        last = record_of(head.revision)
    except HistoryGone:
        # The head has been so since some time before its last commit, and nothing is known of before.
        return [_size(head) if head.last_synced <= at else None for at in moments]
    if last.last_synced <= moments[0]:
        return [_size(last) for _ in moments]
    oldest = min(history.oldest_revision(store, collection, head), head.revision)
    # Of one that took another's place nobody knows here what that one held.
    before = Size(0, 0) if oldest == 1 else None
    sizes: list[Size | None] = []
    low = oldest
    for at in moments:
        try:
            if record_of(oldest).last_synced > at:
                sizes.append(before)
                continue
            # What changed before one moment is not looked at again for the next.
            low = _last_until(record_of, low, head.revision, at)
            sizes.append(_size(record_of(low)))
        except HistoryGone:  # it was collected meanwhile
            sizes.append(None)
    return sizes


def _last_until(record_of: Callable[[int], ChangeRecord], low: int, high: int, at: Timestamp) -> int:
    """The last revision from ``low``, which was committed by then, that was committed by ``at``.

    Steps get longer from ``low`` on: from one day to the next there are few revisions.
    """
    step = 1
    while low + step <= high and record_of(low + step).last_synced <= at:
        low, step = low + step, step * 2
    high = min(high, low + step - 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if record_of(middle).last_synced <= at else (low, middle - 1)
    return low


def _size(facts: Facts) -> Size:
    return Size(facts.total_files, facts.total_size_bytes)


def _kind(kind: str, collections: Sequence[CollectionTotals]) -> KindTotals:
    of_kind = [one for one in collections if one.kind == kind]
    return KindTotals(
        kind=kind,
        total_collections=len(of_kind),
        total_files=sum(one.total_files for one in of_kind),
        total_size_bytes=sum(one.total_size_bytes for one in of_kind),
    )


def _file(entry: Entry) -> FileSize:
    return FileSize(
        filename=entry.filename, s3_key=entry.s3_key, size_bytes=entry.size_bytes, last_modified=entry.last_modified
    )


def _first(top: int, items: Iterable[Any], key: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The items with the highest keys; of equal ones those that come first."""
    return tuple(sorted(items, key=key, reverse=True)[:top])
