"""The routes of all collections: the catalog and statistics."""

from datetime import UTC, datetime
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from pydantic_core import to_json

from s3_manifest.aws import runtime
from s3_manifest.aws.threads import parallel_map
from s3_manifest.http import manifest_requests, openapi
from s3_manifest.http.app import HttpResponse, json_response
from s3_manifest.http.manifest_routes import Cursor
from s3_manifest.http.openapi import responses
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import timestamp
from s3_manifest.query import stats
from s3_manifest.query.catalog import read_catalog
from s3_manifest.query.cursors import BadParameter
from s3_manifest.query.history import History
from s3_manifest.query.reads import retry_on_conflict
from s3_manifest.query.stats import CollectionTotals, Growth, Size, Stats, UnreadableCollection
from s3_manifest.storage.snapshot import Snapshot

GROWTH_SECONDS = 5
"""After this time no further histories are read for one answer."""

# The largest and newest collections are repeated in the answer, with the files of one collection and growth.
_ROWS_BYTES = 2_500_000

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # Powertools does not type it

Limit = Annotated[int, Query(ge=1, le=1000, description="The most collections in one answer")]


@router.get(
    "/api/manifests", summary="List collections with totals", responses=responses({200: openapi.CATALOG}, 400, 503)
)
def get_catalog(limit: Limit = 100, cursor: Cursor = None) -> HttpResponse:
    """``collections``, by kind and id, and the ``cursor`` of the next page (null on the last).

    A collection whose manifest cannot be read has, instead of totals, a ``problem`` with the cause and the remedy. In a
    deployment with several buckets, ``problems`` lists the kinds whose bucket cannot be read; if no bucket can be, the
    answer is an error.
    """
    page = read_catalog(runtime.stores(), runtime.collections(), parallel_map, limit, cursor)
    return json_response(to_json(page._asdict()))


@router.get(
    "/api/stats",
    summary="Get statistics: totals, the largest, the newest, and growth",
    responses=responses({200: Stats}, 400, 404, 503),
)
def get_stats(
    kind: Annotated[str | None, Query(min_length=1, description="Only collections of this kind")] = None,
    collection_id: Annotated[
        str | None, Query(alias="id", min_length=1, description="Only this collection of that kind, with its files")
    ] = None,
    top: Annotated[int, Query(ge=0, le=100, description="How many of the largest and of the newest to list")] = 10,
    days: Annotated[int, Query(ge=0, le=90, description="For how many days to report growth")] = 30,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> HttpResponse:
    """Totals are those of the collections in the answer; a ``cursor`` means that there are more."""
    collections = _of_kind(runtime.collections(), kind)
    if collection_id is not None:
        return json_response(to_json(_collection_stats(_collection(collections, kind, collection_id), top, days)))
    page = read_catalog(runtime.stores(), collections, parallel_map, limit, cursor, _ROWS_BYTES)
    rows = [stats.totals_of(row) for row in page.collections]
    totals = [row for row in rows if isinstance(row, CollectionTotals)]
    known = [collection for row in totals if (collection := collections.lookup(row.kind, row.id))]
    unreadable = [row for row in rows if isinstance(row, UnreadableCollection)]
    answer = stats.summarize(totals, _growth(known, days), top, unreadable=unreadable)
    is_partial = bool(cursor or page.cursor or page.problems)
    update = {"partial": is_partial, "cursor": page.cursor, "problems": page.problems}
    return json_response(to_json(answer.model_copy(update=update)))


def _of_kind(collections: Collections, kind: str | None) -> Collections:
    if kind is None:
        return collections
    patterns = [pattern for pattern in collections.patterns if pattern.kind == kind]
    if not patterns:
        kinds = ", ".join(sorted(pattern.kind for pattern in collections.patterns))
        raise BadParameter("kind", f"kind: this deployment has no kind {kind}; it has {kinds}")
    return Collections(patterns, collections.root)


def _collection(collections: Collections, kind: str | None, collection_id: str) -> Collection:
    if kind is None:
        raise BadParameter("kind", "kind: required together with id")
    collection = collections.lookup(kind, collection_id)
    if collection is None:
        raise BadParameter("id", f"id: {collection_id} cannot be the id of a collection of kind {kind}")
    return collection


def _collection_stats(collection: Collection, top: int, days: int) -> Stats:
    snapshot = manifest_requests.existing(collection)
    growth = _growth([collection], days)

    def summarize(now: Snapshot) -> Stats:
        facts = History(now).at().facts
        entries = now.entries() if facts.total_files <= stats.MAX_FILES else None
        return stats.summarize([stats.totals_of_facts(facts)], growth, top, entries=entries)

    return retry_on_conflict(snapshot, summarize)


def _growth(collections: list[Collection], days: int) -> Growth:
    """The growth of these collections together; incomplete if time runs out."""
    ends = stats.last_days(timestamp(datetime.now(UTC)), days)
    clock = runtime.clock()
    deadline = clock.monotonic() + GROWTH_SECONDS

    def sizes(collection: Collection) -> list[Size | None] | None:
        if clock.monotonic() > deadline:
            return None
        return stats.sizes_at(manifest_requests.snapshot_of(collection).reload(), [end for _, end in ends])

    results = parallel_map(sizes, collections) if ends else []
    read = [result for result in results if result is not None]
    return Growth(stats.daily_growth([day for day, _ in ends], read), len(read) < len(results))
