"""The change feed of a collection, as JSON: what each revision added, modified and removed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic_core import to_json

from s3_manifest.manifest.changes import ChangeRecord
from s3_manifest.manifest.collections import Collection
from s3_manifest.query.answers import MAX_ANSWER_BYTES, escaped_size, json_with_lists
from s3_manifest.query.history import History
from s3_manifest.storage import change_log
from s3_manifest.storage.snapshot import Snapshot

_BLOCK = 16
_FACTS_BYTES = 1000
_LAST_LINE_BYTES = 20_000
_FILES = ("added", "modified", "removed")

LinesOf = Callable[[Collection, ChangeRecord, int | None], list[bytes]]
"""The lines of a record; if a number of bytes is given, in a short form that fits."""


def changes(snapshot: Snapshot, since: int, limit: int) -> bytes:
    """The changes of at most ``limit`` revisions after ``since``, in order and with none skipped.

    ``next`` is the ``since`` of the next request; ``more`` is whether it has changes already. A revision whose files
    do not fit into an answer has null for ``added``, ``modified`` and ``removed``: read its record at ``s3_key``.
    Raises ``HistoryExpired``, ``NoSuchRevision``, ``StoreError``, ``UnreadableManifest``.
    """
    return _feed(snapshot, "changes", since, _records(History(snapshot), since, limit), _change)


def change_fields(collection: Collection, record: ChangeRecord) -> dict[str, Any]:
    """The fields of one revision's change in the feed."""
    return {
        "revision": record.revision,
        "commit": record.commit,
        "committed_at": record.last_synced,
        "s3_key": change_log.record_key(collection, record),
        "title": record.title,
        "complete": record.complete,
        "total_files": record.total_files,
        "total_size_bytes": record.total_size_bytes,
        **{name: getattr(record, name) for name in _FILES},
    }


def removed(snapshot: Snapshot, since: int | None, limit: int) -> bytes:
    """The files that at most ``limit`` revisions after ``since`` removed; None: since the oldest revision kept.

    A file that was uploaded again later is among them. ``file`` is its last entry; it is null where one revision
    removed more than fits into an answer. Where even the names do not fit, the last line has the number of omitted
    files in ``left_out``, and in ``s3_key`` the key of the record. ``next``, ``more`` and errors are as with
    ``changes``.
    """
    history, from_oldest = History(snapshot), since is None
    since = history.oldest_revision() - 1 if since is None else since
    records = _records(history, since, limit, include_first=from_oldest)
    return _feed(snapshot, "removed", since, records, _removals)


def _feed(snapshot: Snapshot, name: str, since: int, records: Iterable[ChangeRecord], lines_of: LinesOf) -> bytes:
    """As many of the records as fit into an answer, at least one."""
    collection, latest = snapshot.collection, snapshot.head.revision if snapshot.head else 0
    lines: list[bytes] = []
    room, reached = MAX_ANSWER_BYTES - _FACTS_BYTES, since
    for record in records:
        more = lines_of(collection, record, None)
        if not lines and _size(more) > room:
            more = lines_of(collection, record, room)
        room -= _size(more)
        if room < 0:
            break
        lines += more
        reached = record.revision
    facts = {
        "kind": collection.kind,
        f"{collection.kind}_id": collection.id,
        "since": since,
        "next": reached,
        "more": reached < latest,
        "revision": latest,
    }
    return json_with_lists(facts, {name: lines})


def _records(history: History, since: int, limit: int, *, include_first: bool = False) -> Iterator[ChangeRecord]:
    # In blocks, as they are consumed: a record can have a megabyte.
    while limit > 0:
        block = history.changes_since(since, min(_BLOCK, limit), include_first=include_first)
        yield from block
        if not block:
            return
        since, limit, include_first = block[-1].revision, limit - len(block), False


def _removals(collection: Collection, record: ChangeRecord, room: int | None) -> list[bytes]:
    """The removals of one revision; if ``room`` is given, without their entries, and as many as fit."""
    lines: list[bytes] = []
    for index, change in enumerate(record.removed):
        removal = {
            "filename": change.filename,
            "removed_at": record.last_synced,
            "revision": record.revision,
            "cause": change.cause,
            "file": change.before if room is None else None,
        }
        line = to_json(removal)
        if room is not None:
            room -= escaped_size(line) + 1
            omitted = len(record.removed) - index - 1
            # The longest filename fits into this, together with the members that are added here.
            if omitted and room < _LAST_LINE_BYTES:
                last = removal | {"left_out": omitted, "s3_key": change_log.record_key(collection, record)}
                return [*lines, to_json(last)]
        lines.append(line)
    return lines


def _change(collection: Collection, record: ChangeRecord, room: int | None) -> list[bytes]:
    """The change of one revision; if ``room`` is given, without its files."""
    return [to_json(change_fields(collection, record) | ({} if room is None else dict.fromkeys(_FILES)))]


def _size(lines: Sequence[bytes]) -> int:
    return sum(escaped_size(line) + 1 for line in lines)
