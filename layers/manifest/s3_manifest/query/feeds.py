"""What changed in a collection, as JSON: revision after revision, for whoever follows it."""

from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

from s3_manifest.manifest.changes import ChangeRecord, FileChange
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Head
from s3_manifest.query import history
from s3_manifest.query.truncation import MAX_ANSWER_BYTES, escaped_size
from s3_manifest.storage import chain
from s3_manifest.storage.store import Each, Store

_AT_ONCE = 16
_LAST_LINE_BYTES = 20_000


def changes(store: Store, each: Each, collection: Collection, head: Head, since: int, limit: int) -> bytes:
    """The changes of at most ``limit`` revisions after ``since``, in order and with none left out.

    ``next`` is the revision to ask for the following ones with, ``more`` whether there are any by
    now. One whose files do not fit into an answer comes without them (``added``, ``modified`` and
    ``removed`` are null): ``s3_key`` is where its record is. Raises ``HistoryGone``,
    ``NoSuchRevision``, ``StoreError``, ``UnreadableManifest``.
    """
    told: list[bytes] = []
    room, reached = MAX_ANSWER_BYTES - 1000, since
    for record in _records(store, each, collection, head, since, limit):
        change = to_json(_change(collection, record))
        if not told and escaped_size(change) > room:
            nothing = dict.fromkeys(("added", "modified", "removed"))
            change = to_json(_change(collection, record) | nothing)
        room -= escaped_size(change) + 1
        if room < 0:
            break
        told.append(change)
        reached = record.revision
    return _answer(collection, head, since, reached, "changes", told)


def removed(store: Store, each: Each, collection: Collection, head: Head, since: int | None, limit: int) -> bytes:
    """The files that at most ``limit`` revisions after ``since`` removed; None: since the oldest that is kept.

    A file that came back later is among them. ``file`` is what the manifest last said of it; null where
    that would be too much for one answer, of a revision that removed very many. Where even their names are,
    the last of them has the number of the others in ``left_out``, and in ``s3_key`` where the record is.
    ``next``, ``more``, and what is raised, as with ``changes``.
    """
    from_oldest = since is None
    if since is None:
        since = history.oldest_revision(store, collection, head) - 1
    told: list[bytes] = []
    room, reached = MAX_ANSWER_BYTES - 1000, since
    for record in _records(store, each, collection, head, since, limit, from_anew=from_oldest):
        lines = [to_json(_removal(record, one)) for one in record.removed]
        if not told and sum(escaped_size(line) + 1 for line in lines) > room:
            lines = _named(collection, record, room)
        room -= sum(escaped_size(line) + 1 for line in lines)
        if room < 0:
            break
        told += lines
        reached = record.revision
    return _answer(collection, head, since, reached, "removed", told)


def _records(
    store: Store, each: Each, collection: Collection, head: Head, since: int, limit: int, *, from_anew: bool = False
) -> Iterator[ChangeRecord]:
    # A few at a time, and no more than are taken: one may hold a megabyte.
    reached, left = since, limit
    while left > 0:
        at_once = min(_AT_ONCE, left)
        block = history.changes_since(store, each, collection, head, reached, at_once, from_anew=from_anew)
        yield from block
        if not block or block[-1].revision == head.revision:
            return
        reached, left, from_anew = block[-1].revision, left - len(block), False


def _removal(record: ChangeRecord, one: FileChange) -> dict[str, Any]:
    return {
        "filename": one.filename,
        "removed_at": record.last_synced,
        "revision": record.revision,
        "cause": one.cause,
        "file": one.before,
    }


def _named(collection: Collection, record: ChangeRecord, room: int) -> list[bytes]:
    """The removals of one revision by name alone, as many as there is room for."""
    lines: list[bytes] = []
    for index, one in enumerate(record.removed):
        told = _removal(record, one) | {"file": None}
        others = len(record.removed) - index - 1
        last = to_json(told | {"left_out": others, "s3_key": chain.key_of(collection, record)})
        line = to_json(told)
        room -= escaped_size(line) + 1
        # Room enough for the longest name with what is told of the rest.
        if others and room < _LAST_LINE_BYTES:
            return [*lines, last]
        lines.append(line)
    return lines


def _change(collection: Collection, record: ChangeRecord) -> dict[str, Any]:
    return {
        "revision": record.revision,
        "commit": record.commit,
        "committed_at": record.last_synced,
        "s3_key": chain.key_of(collection, record),
        "title": record.title,
        "complete": record.complete,
        "total_files": record.total_files,
        "total_size_bytes": record.total_size_bytes,
        "added": record.added,
        "modified": record.modified,
        "removed": record.removed,
    }


def _answer(collection: Collection, head: Head, since: int, reached: int, name: str, told: list[bytes]) -> bytes:
    facts = {
        "kind": collection.kind,
        f"{collection.kind}_id": collection.id,
        "since": since,
        "next": reached,
        "more": reached < head.revision,
        "revision": head.revision,
    }
    return to_json(facts)[:-1] + b',"%s":[' % name.encode() + b",".join(told) + b"]}"
