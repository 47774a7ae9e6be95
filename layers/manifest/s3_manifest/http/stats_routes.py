"""The HTTP route of statistics."""

from datetime import UTC, datetime
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from pydantic_core import to_json

from s3_manifest.aws import runtime
from s3_manifest.aws.threads import each
from s3_manifest.http.api_docs import answers
from s3_manifest.http.fetch import no_manifest
from s3_manifest.http.web import Answer, BadParameter, json_text
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import Entry, timestamp
from s3_manifest.query import stats, training
from s3_manifest.query.catalog import Position, read_catalog
from s3_manifest.query.cursors import decode_cursor, encode_cursor
from s3_manifest.query.stats import CollectionTotals, Size, Stats, UnreadableCollection
from s3_manifest.storage import heads
from s3_manifest.storage.heads import Loaded
from s3_manifest.storage.store import Conflict, ReadFailed, Store

GROWTH_SECONDS = 5
"""After so long no more collections' history is read for one answer."""

# The largest and newest are told once more each, the files of one collection too, and growth.
_ROWS_BYTES = 2_500_000

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # powertools' own


@router.get(
    "/api/stats",
    summary="What is stored, by kind and by collection; the largest, the newest, and growth",
    responses=answers({200: Stats}, 400, 404, 503),
)
def get_stats(
    kind: Annotated[str | None, Query(min_length=1, description="Only collections of this kind")] = None,
    collection_id: Annotated[
        str | None, Query(alias="id", min_length=1, description="Only this one, of that kind; with its files")
    ] = None,
    top: Annotated[int, Query(ge=0, le=100, description="How many of the largest, and of the newest")] = 10,
    days: Annotated[int, Query(ge=0, le=90, description="Growth over so many days")] = 30,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of so many collections at most")] = 100,
    cursor: Annotated[str | None, Query(description="The cursor of the page before, exactly as it was given")] = None,
) -> Answer:
    """Totals are those of the answer's own collections; while there is a ``cursor`` there are more."""
    store, collections = runtime.store(), _of_kind(runtime.collections(), kind)
    if collection_id is not None:
        return _of_one(store, collections, kind, collection_id, top, days)
    after = decode_cursor(cursor, Position) if cursor else None
    found, following = read_catalog(store, collections, each, limit, after, _ROWS_BYTES)
    told = [stats.totals_of(row) for row in found]
    rows = [one for one in told if isinstance(one, CollectionTotals)]
    known = [one for row in rows if (one := collections.named(row.kind, row.id))]
    growth, growth_partial = _growth(store, known, days)
    return _told(
        stats.summed(
            rows,
            growth,
            None,
            top=top,
            growth_partial=growth_partial,
            partial=bool(cursor or following),
            cursor=encode_cursor(following) if following else None,
            unreadable=[one for one in told if isinstance(one, UnreadableCollection)],
        )
    )


def _of_one(
    store: Store, collections: Collections, kind: str | None, collection_id: str, top: int, days: int
) -> Answer:
    if kind is None:
        raise BadParameter("kind", "kind: say of which kind the id is")
    collection = collections.named(kind, collection_id)
    if collection is None:
        raise BadParameter("id", f"id: there can be no collection {kind} {collection_id}")
    loaded = heads.load(store, collection)
    if loaded.head is None:
        raise no_manifest(collection)
    rows: list[CollectionTotals] = [stats.totals_of_head(loaded.head)]
    growth, growth_partial = _growth(store, [collection], days)
    entries = _entries(store, collection, loaded) if loaded.head.total_files <= stats.MAX_FILES else None
    return _told(
        stats.summed(rows, growth, entries, top=top, growth_partial=growth_partial, partial=False, cursor=None)
    )


def _growth(store: Store, collections: list[Collection], days: int) -> tuple[list[stats.Point], bool]:
    """How these grew in all, and whether time ran out before each was read."""
    ends = stats.days_until(timestamp(datetime.now(UTC)), days)
    clock = runtime.clock()
    enough = clock.monotonic() + GROWTH_SECONDS

    def sizes(collection: Collection) -> list[Size | None] | None:
        if clock.monotonic() > enough:
            return None
        return stats.sizes_at(store, each, collection, [at for _, at in ends])

    told = each(sizes, collections) if ends else []
    read = [one for one in told if one is not None]
    return stats.grown(ends, read), len(read) < len(told)


def _entries(store: Store, collection: Collection, loaded: Loaded) -> list[Entry]:
    try:
        return training.entries_of(store, each, collection, loaded)
    except Conflict as error:
        raise ReadFailed(collection.head_key, "the manifest changed while it was read; try again") from error


def _of_kind(collections: Collections, kind: str | None) -> Collections:
    if kind is None:
        return collections
    patterns = [pattern for pattern in collections.patterns if pattern.kind == kind]
    if not patterns:
        kinds = ", ".join(sorted(pattern.kind for pattern in collections.patterns))
        raise BadParameter("kind", f"kind: there are no collections of kind {kind}; there are of: {kinds}")
    return Collections(patterns, collections.root)


def _told(found: Stats) -> Answer:
    return json_text(to_json(found))
