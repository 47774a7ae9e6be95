"""The catalog: every collection that has a manifest, with its totals.

Each costs one HEAD request, because a head carries a summary in its metadata. The summary counts only if it provably
belongs to the stored bytes; otherwise the head is read, and an unreadable one is listed with its ``problem``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from s3_manifest.manifest.collections import Collection, Collections, Pattern
from s3_manifest.manifest.encoding import json_bytes
from s3_manifest.manifest.model import Frozen, Head, Summary, UnreadableManifest
from s3_manifest.query.answers import MAX_ANSWER_BYTES, AnswerModel, escaped_size
from s3_manifest.query.cursors import decode_cursor, encode_cursor
from s3_manifest.storage import heads
from s3_manifest.storage.store import Archived, ParallelMap, Present, Store, StoreError, iter_folders

_FOLDERS_PER_LIST = 100
_FACTS = set(Summary.model_fields) - {"body"}


class Position(Frozen):
    """The last collection of a page of the catalog."""

    kind: str
    id: str


class UnreadableBucket(AnswerModel):
    """The collections of one kind are missing, because their bucket cannot be read: ``problem`` has the cause."""

    kind: str
    s3_bucket: str
    problem: str


class CatalogPage(NamedTuple):
    """Collections as JSON objects, the kinds that cannot be read, and the next page's cursor; None after the last."""

    collections: list[dict[str, Any]]
    problems: list[UnreadableBucket]
    cursor: str | None


def read_catalog(
    stores: Mapping[str, Store],
    collections: Collections,
    parallel_map: ParallelMap,
    limit: int,
    cursor: str | None,
    room: int = MAX_ANSWER_BYTES,
) -> CatalogPage:
    """At most ``limit`` collections from ``cursor`` on, by kind and, within a kind, in S3's order of their prefixes.

    Fewer where they would need more than ``room`` bytes of an answer. Lists the folders below the manifest root (one
    request for each hundred), HEADs each head, and reads those whose summary is not proven. Data is not read.

    A bucket that cannot be read does not hold up the others; raises ``StoreError`` if that applies to all of them.
    """
    after = last = decode_cursor(cursor, Position) if cursor else None
    rows: list[dict[str, Any]] = []
    problems: list[UnreadableBucket] = []
    for pattern in sorted(collections.patterns):
        if after and pattern.kind < after.kind:
            continue
        start = after.id if after and after.kind == pattern.kind else ""
        try:
            for collection, row in _rows(stores[pattern.bucket], collections.root, pattern, parallel_map, start):
                room -= escaped_size(json_bytes(row)) + 1
                if len(rows) == limit or (rows and room < 0):
                    return CatalogPage(rows, problems, encode_cursor(last) if last else None)
                rows.append(row)
                last = Position(kind=collection.kind, id=collection.id)
        except StoreError as error:
            problems.append(UnreadableBucket(kind=pattern.kind, s3_bucket=pattern.bucket, problem=str(error)))
            if {problem.s3_bucket for problem in problems} == set(collections.buckets):
                raise
    return CatalogPage(rows, problems, None)


def _rows(
    store: Store, root: str, pattern: Pattern, parallel_map: ParallelMap, after: str
) -> Iterator[tuple[Collection, dict[str, Any]]]:
    """The collections of one kind with a manifest, after the one with the id ``after``, and their rows."""
    for folders in iter_folders(store, root + pattern.before, after, _FOLDERS_PER_LIST):
        candidates = [pattern.collection(folder.removesuffix("/"), root) for folder in folders if folder != "/"]
        read = parallel_map(lambda candidate: _row(store, candidate), candidates)
        yield from ((collection, row) for collection, row in zip(candidates, read, strict=True) if row is not None)


def _row(store: Store, collection: Collection) -> dict[str, Any] | None:
    present = store.head(collection.head_key)
    if not isinstance(present, Present):
        return None
    kind = collection.kind
    name = {"kind": kind, f"{kind}_id": collection.id}
    place = {"s3_bucket": collection.bucket, "s3_prefix": collection.prefix}
    known: Summary | Head | None = heads.read_summary(present)
    if not isinstance(known, Summary) or present.archived or not heads.summary_matches(known, present):
        try:
            known = heads.load(store, collection).head
        except (UnreadableManifest, Archived) as error:
            return name | place | {"problem": str(error)}
    if known is None:
        return None
    facts = known.model_dump(include=_FACTS)
    return name | {f"{kind}_title": facts.pop("title"), **place, **facts}
