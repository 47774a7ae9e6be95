"""Concurrent readers: the pages of a reading are of one revision, and a follower misses no change."""

import json
from typing import Any

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry
from s3_manifest.query import history, reads
from s3_manifest.query.reads import Filter, PageQuery
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import ParallelMap, ReadFailed, Store

ComparedFields = tuple[str, str | None, bool]
"""The fields of a file that readers compare: its ETag, its prompt, and whether it is good."""


def compared_fields(entry: Entry) -> ComparedFields:
    """Returns the compared fields of a file."""
    return entry.etag, entry.prompt, entry.good


class InconsistentRead(AssertionError):
    """A reader received content that no revision of the manifest had."""


def read_whole(
    store: Store, parallel_map: ParallelMap, collection: Collection, limit: int, revision: int | None = None
) -> tuple[dict[str, Any], dict[str, ComparedFields]] | None:
    """Reads the manifest page by page, as an HTTP client does; returns None if that is not possible now."""
    snapshot = Snapshot.load(store, parallel_map, collection)
    if snapshot.head is None:
        return None
    files: dict[str, ComparedFields] = {}
    cursor = None
    first: dict[str, Any] | None = None
    while first is None or cursor:
        try:
            body = reads.page(snapshot, PageQuery(Filter(), limit, cursor, revision))
        except (reads.ManifestChanged, history.HistoryExpired, history.NoSuchRevision, ReadFailed):
            return None
        answer = json.loads(body.json)
        first = first or answer
        if (answer["revision"], answer["last_change"]) != (first["revision"], first["last_change"]):
            raise InconsistentRead(f"a page of revision {answer['revision']} after one of {first['revision']}")
        more = {file["filename"]: (file["etag"], file["prompt"], file["good"]) for file in answer["files"]}
        if files.keys() & more.keys():
            raise InconsistentRead(f"shown twice: {files.keys() & more.keys()}")
        files |= more
        cursor = answer["cursor"]
        snapshot = snapshot.reload()
        if snapshot.head is None:
            return None
    if first["total_files"] != len(files):
        raise InconsistentRead(f"{len(files)} files shown, and the manifest says {first['total_files']}")
    return first, files


class Follower:
    """Maintains a collection's files from its changes; it reads the manifest only if it has to."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.revision = 0
        self.files: dict[str, ComparedFields] = {}

    def follow(self, store: Store, parallel_map: ParallelMap, limit: int) -> bool:
        """Requests changes once; returns whether there were any."""
        snapshot = Snapshot.load(store, parallel_map, self.collection)
        head = snapshot.head
        if head is None:
            return False
        try:
            changes = history.History(snapshot).changes_since(self.revision, limit)
        except (history.HistoryExpired, history.NoSuchRevision):
            if whole := read_whole(store, parallel_map, self.collection, limit):
                answer, self.files = whole
                self.revision = answer["revision"]
            return True
        for record in changes:
            begins = self.revision == 0 and record.revision == head.first_revision
            if record.revision != self.revision + 1 and not begins:
                raise InconsistentRead(f"the changes of revision {record.revision} came after {self.revision}")
            for change in (*record.added, *record.modified, *record.removed):
                self._apply(change.filename, change.before, change.after)
            self.revision = record.revision
        return bool(changes)

    def _apply(self, filename: str, before: Entry | None, after: Entry | None) -> None:
        if self.files.get(filename) != (compared_fields(before) if before and before.is_file else None):
            raise InconsistentRead(f"{filename} was not as its change says it was before")
        self.files.pop(filename, None)
        if after and after.is_file:
            self.files[filename] = compared_fields(after)
