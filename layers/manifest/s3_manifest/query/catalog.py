"""Every collection that has a manifest, with its totals, read off the heads' summaries.

One HEAD for each. A summary counts only if it is proven to be that of the bytes that are there; else the head itself is
read, and one that cannot be read is in the catalog with its ``problem``.
"""

from typing import Any, NamedTuple

from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.encoding import json_bytes
from s3_manifest.manifest.model import Frozen, Summary, UnreadableManifest
from s3_manifest.query.truncation import MAX_ANSWER_BYTES, escaped_size
from s3_manifest.storage import heads
from s3_manifest.storage.store import Archived, Each, Present, Store

_FOLDERS_PER_LIST = 100


class Position(Frozen):
    """Where a page of the catalog ends: after this collection, in order of kind and id."""

    kind: str
    id: str


class CatalogPage(NamedTuple):
    """Some of the collections, as JSON objects, and where to go on; None after the last.

    One whose manifest cannot be read has, instead of totals, a ``problem``: what is wrong, and what to do.
    """

    collections: list[dict[str, Any]]
    following: Position | None


def read_catalog(
    store: Store,
    collections: Collections,
    each: Each,
    limit: int,
    after: Position | None,
    room: int = MAX_ANSWER_BYTES,
) -> CatalogPage:
    """At most ``limit`` collections after ``after``, by kind and, within a kind, in S3's order of their prefixes.

    Fewer where they would not fit into so many bytes of an answer.

    Lists the folders below the manifest root (one request for each hundred) and HEADs each head, and reads those whose
    metadata do not prove their bytes; neither the data nor what else is below the root is read.
    """
    found: list[dict[str, Any]] = []
    position: Position | None = None
    for pattern in sorted(collections.patterns):
        if after and pattern.kind < after.kind:
            continue
        prefix = collections.root + pattern.before
        start = f"{prefix}{after.id}/" if after and after.kind == pattern.kind else ""
        truncated = True
        while truncated:
            folders, truncated = store.folders(prefix, after=start, limit=_FOLDERS_PER_LIST)
            ids = [folder.removeprefix(prefix).removesuffix("/") for folder in folders]
            candidates = [Collection(pattern.kind, id_, pattern.prefix(id_), collections.root) for id_ in ids if id_]
            for collection, row in zip(candidates, each(lambda c: _row(store, c), candidates), strict=True):
                if row is None:
                    continue
                room -= escaped_size(json_bytes(row)) + 1
                if len(found) == limit or (found and room < 0):
                    return CatalogPage(found, position)
                found.append(row)
                position = Position(kind=collection.kind, id=collection.id)
            start = folders[-1] if folders else start
    return CatalogPage(found, None)


def _row(store: Store, collection: Collection) -> dict[str, Any] | None:
    present = store.head(collection.head_key)
    if not isinstance(present, Present):
        return None
    summary = heads.summary_of(present)
    kind = collection.kind
    place = {"kind": kind, f"{kind}_id": collection.id}
    if summary is None or present.archived or not heads.is_summary_of(summary, present):
        try:
            head = heads.load(store, collection).head
        except (UnreadableManifest, Archived) as error:
            return place | {"s3_prefix": collection.prefix, "problem": str(error)}
        if head is None:
            return None
        facts = head.model_dump(include=_FACTS)
    else:
        facts = summary.model_dump(include=_FACTS)
    return place | {f"{kind}_title": facts.pop("title"), "s3_prefix": collection.prefix, **facts}


_FACTS = set(Summary.model_fields) - {"body"}
