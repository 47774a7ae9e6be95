"""Statistics: totals by kind and by collection, the largest and the newest, and growth over days.

Totals are read from the summaries of heads, growth from change records. An answer covers one page of the catalog, so
the number of requests is bounded.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from heapq import nlargest
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic import ConfigDict

from s3_manifest.manifest.changes import ChangeRecord
from s3_manifest.manifest.model import Count, Entry, Facts, Revision, Timestamp, timestamp
from s3_manifest.query.answers import AnswerModel
from s3_manifest.query.catalog import UnreadableBucket
from s3_manifest.query.history import History, HistoryExpired
from s3_manifest.storage.snapshot import Snapshot

MAX_FILES = 30_000
"""The largest and newest files are listed of collections with up to this many files: all pages have to be read."""


class KindTotals(AnswerModel):
    """Totals of the collections of one kind."""

    kind: str
    total_collections: int
    total_files: int
    total_size_bytes: int


class CollectionTotals(AnswerModel):
    """One collection, from the summary of its manifest."""

    model_config = ConfigDict(strict=True)

    kind: str
    id: str
    title: str | None
    s3_bucket: str
    s3_prefix: str
    revision: Revision
    complete: bool
    total_files: Count
    total_size_bytes: Count
    created_at: Timestamp
    last_synced: Timestamp


class UnreadableCollection(AnswerModel):
    """A collection whose manifest cannot be read; ``problem`` states the cause and the remedy."""

    kind: str
    id: str
    s3_bucket: str
    s3_prefix: str
    problem: str


class FileSize(AnswerModel):
    """One file."""

    filename: str
    s3_key: str
    size_bytes: int
    last_modified: Timestamp


class GrowthPoint(AnswerModel):
    """What was stored at the end of a day (UTC), or is stored now.

    A collection whose history does not reach back to that day is not counted, so ``total_collections`` is lower. One
    that was created later is counted as empty.
    """

    day: str
    total_collections: int
    total_files: int
    total_size_bytes: int


class Stats(AnswerModel):
    """The answer. Totals are those of ``collections``: one page of the catalog, and not all of it if ``partial``.

    ``unreadable`` collections and those of the kinds in ``problems`` are not counted. ``largest_files`` and
    ``newest_files`` are those of one collection; they are null for several collections, and for one with more than
    30,000 files. ``growth_partial``: time ran out before the history of every collection was read.
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
    growth: tuple[GrowthPoint, ...]
    growth_partial: bool
    problems: tuple[UnreadableBucket, ...] = ()
    partial: bool
    cursor: str | None


class Size(NamedTuple):
    """How much a collection held: the number of files, and their bytes."""

    total_files: int
    total_size_bytes: int


class Growth(NamedTuple):
    """What was stored on each day; ``partial`` if the history of some collections was not read."""

    by_day: Sequence[GrowthPoint]
    partial: bool


def totals_of(row: dict[str, Any]) -> CollectionTotals | UnreadableCollection:
    """A row of the catalog, with the same field names for every kind."""
    kind = row["kind"]
    fields = {**row, "id": row[f"{kind}_id"], "title": row.get(f"{kind}_title")}
    model = UnreadableCollection if "problem" in row else CollectionTotals
    return model.model_validate({name: value for name, value in fields.items() if name in model.model_fields})


def totals_of_facts(facts: Facts) -> CollectionTotals:
    """One collection, from its manifest."""
    return CollectionTotals.model_validate(facts.model_dump(include=set(CollectionTotals.model_fields)))


def summarize(
    collections: Sequence[CollectionTotals],
    growth: Growth,
    top: int,
    *,
    unreadable: Sequence[UnreadableCollection] = (),
    entries: Iterable[Entry] | None = None,
) -> Stats:
    """The answer for these collections; ``entries`` are those of the only one, if its files are to be listed."""
    files = None
    if entries is not None:
        files = [FileSize.model_validate(entry, from_attributes=True) for entry in entries if entry.is_file]
    by_kind = {
        kind: [totals for totals in collections if totals.kind == kind]
        for kind in sorted({totals.kind for totals in collections})
    }
    return Stats(
        **_totals(collections),
        kinds=tuple(KindTotals(kind=kind, **_totals(members)) for kind, members in by_kind.items()),
        collections=tuple(collections),
        unreadable=tuple(unreadable),
        largest=tuple(nlargest(top, collections, key=attrgetter("total_size_bytes"))),
        newest=tuple(nlargest(top, collections, key=attrgetter("created_at"))),
        largest_files=None if files is None else tuple(nlargest(top, files, key=attrgetter("size_bytes"))),
        newest_files=None if files is None else tuple(nlargest(top, files, key=attrgetter("last_modified"))),
        growth=tuple(growth.by_day),
        growth_partial=growth.partial,
        partial=False,
        cursor=None,
    )


def last_days(now: Timestamp, days: int) -> list[tuple[str, Timestamp]]:
    """The last days (UTC) up to today, each with its last millisecond; today with ``now``."""
    today = datetime.fromisoformat(now).date()
    dates = [date.fromordinal(max(1, today.toordinal() - ago)) for ago in reversed(range(days))]
    return [(day.isoformat(), min(timestamp(datetime.combine(day, time.max, UTC)), now)) for day in dates]


def daily_growth(days: Sequence[str], sizes: Sequence[Sequence[Size | None]]) -> list[GrowthPoint]:
    """What was stored on each of these days, from each collection's sizes on these days (None: unknown)."""
    return [
        GrowthPoint(day=day, **_totals([size for by_day in sizes if (size := by_day[index]) is not None]))
        for index, day in enumerate(days)
    ]


def sizes_at(snapshot: Snapshot, moments: Sequence[Timestamp]) -> list[Size | None]:
    """The size of a collection at each of these moments, which are in order; None where it is unknown.

    Reads the last change record and, if that is later than the first moment, O(log revisions) records for each moment.
    Raises ``StoreError``, ``UnreadableManifest``.
    """
    head = snapshot.head
    if head is None or not moments:
        return [None] * len(moments)
    history = History(snapshot)
    record_of = cache(history.record)
    try:
        latest = record_of(head.revision)
    except HistoryExpired:
        # The head is of its last commit; nothing is known of the time before.
        return [_size(head) if head.last_synced <= moment else None for moment in moments]
    if latest.last_synced <= moments[0]:
        return [_size(latest)] * len(moments)
    oldest = min(history.oldest_revision(), head.revision)
    # The size of an earlier manifest, which this one replaced, is unknown.
    before = Size(0, 0) if oldest == 1 else None
    sizes: list[Size | None] = []
    low = oldest
    for moment in moments:
        try:
            if record_of(oldest).last_synced > moment:
                sizes.append(before)
                continue
            # The revision for a moment is the lower bound for the next one.
            low = _last_until(record_of, low, head.revision, moment)
            sizes.append(_size(record_of(low)))
        except HistoryExpired:  # garbage-collected since
            sizes.append(None)
    return sizes


def _last_until(record_of: Callable[[int], ChangeRecord], low: int, high: int, moment: Timestamp) -> int:
    """The last revision that was committed at or before a moment, as ``low`` was."""
    # Steps grow from ``low`` on, because few revisions lie between one day and the next.
    step = 1
    while low + step <= high and record_of(low + step).last_synced <= moment:
        low, step = low + step, step * 2
    later = range(low + 1, min(high, low + step - 1) + 1)
    return low + bisect_right(later, moment, key=lambda revision: record_of(revision).last_synced)


def _size(facts: Facts) -> Size:
    return Size(facts.total_files, facts.total_size_bytes)


def _totals(members: Sequence[CollectionTotals | Size]) -> dict[str, int]:
    return {
        "total_collections": len(members),
        "total_files": sum(member.total_files for member in members),
        "total_size_bytes": sum(member.total_size_bytes for member in members),
    }
