"""The routes of one manifest: whole, in pages, its changes, and its removed files."""

from datetime import datetime
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from s3_manifest.aws import runtime
from s3_manifest.aws.threads import parallel_map
from s3_manifest.http import manifest_requests, openapi
from s3_manifest.http.app import CollectionId, HttpResponse, Kind, json_response
from s3_manifest.http.manifest_requests import IfNoneMatch, ReadCondition, Reflects, Wait
from s3_manifest.http.openapi import responses
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Timestamp, timestamp
from s3_manifest.query import actors, feeds, reads
from s3_manifest.query.cursors import BadParameter
from s3_manifest.query.reads import Filter, Listing, PageQuery

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # Powertools does not type it

Limit = Annotated[int, Query(ge=1, le=1000, description="The most entries in one answer")]
RevisionLimit = Annotated[int, Query(ge=1, le=1000, description="The most revisions in one answer")]
Cursor = Annotated[str | None, Query(description="The cursor of the previous page, exactly as it was returned")]


@router.get(
    "/api/s3/manifest",
    summary="Get the whole manifest of a collection",
    responses=responses({200: openapi.MANIFEST, 404: openapi.NOT_FOUND}, 304, 400, 409, 413, 503),
)
def get_manifest(
    style_id: Annotated[str | None, Query(alias="styleId", min_length=1)] = None,
    actor_id: Annotated[
        str | None,
        Query(alias="actorId", min_length=1, description="The full name, or the number with or without zeros"),
    ] = None,
    wait: Wait = None,
    reflects: Reflects = None,
    if_none_match: IfNoneMatch = None,
) -> HttpResponse:
    """The canonical manifest of a style or of an actor. Pass exactly one of the two ids."""
    ids = {kind: id_ for kind, id_ in (("style", style_id), ("actor", actor_id)) if id_ is not None}
    if len(ids) != 1:
        raise BadParameter("styleId", "pass exactly one of styleId and actorId")
    ((kind, id_),) = ids.items()
    collection = _named(kind, id_)
    result = manifest_requests.fetch(collection, ReadCondition(if_none_match, wait, reflects)) if collection else None
    if result is None or not (result.not_modified or result.snapshot.head):
        message = f"No S3 uploads have been made for this {kind} yet"
        return json_response({"error": "Manifest not found", "message": message}, 404)
    return manifest_requests.manifest_response(result, reads.whole)


# The parameters of a route are its interface; they travel on as one ``PageQuery`` and one ``ReadCondition``.
@router.get(
    "/api/manifests/<kind>/<collection_id>",
    summary="Get a manifest in pages, filtered",
    responses=responses({200: openapi.MANIFEST}, 304, 400, 404, 409, 410, 413, 503),
)
def get_page(
    kind: Kind,
    collection_id: CollectionId,
    limit: Limit = 100,
    cursor: Cursor = None,
    prefix: Annotated[str, Query(description="Only filenames that start with this")] = "",
    glob: Annotated[str | None, Query(max_length=200, description="Only filenames that match, as *.png")] = None,
    modified_after: Annotated[datetime | None, Query(description="ISO 8601; UTC if it has no zone")] = None,
    revision: Annotated[int | None, Query(ge=1, description="The manifest at this revision")] = None,
    at: Annotated[datetime | None, Query(description="The manifest at this time; ISO 8601")] = None,
    listing: Annotated[
        Listing,
        Query(
            alias="list",
            description="files, captions, hidden files, orphans (captions without an image) or uncaptioned images",
        ),
    ] = "files",
    wait: Wait = None,
    reflects: Reflects = None,
    if_none_match: IfNoneMatch = None,
) -> HttpResponse:
    """The manifest with some of its ``files`` and the ``cursor`` of the next page (null on the last).

    A page may have fewer files than ``limit``, or none, and still have a cursor. All pages that follow one another are
    of one revision. The totals are those of the whole manifest. Earlier revisions are available as long as the history
    is kept, and 410 afterwards.
    """
    if revision is not None and at is not None:
        raise BadParameter("at", "pass only one of revision and at")
    is_present = revision is None and at is None
    if not is_present and (wait is not None or reflects is not None):
        name = "reflects" if wait is None else "wait"
        raise BadParameter(name, f"{name}: an earlier revision does not change; omit {name}, or revision and at")
    filter_ = Filter(prefix, glob, _timestamp("modified_after", modified_after), listing)
    query = PageQuery(filter_, limit, cursor, revision, _timestamp("at", at))
    collection = manifest_requests.named(kind, collection_id)
    condition = ReadCondition(if_none_match if is_present else None, wait, reflects)
    result = manifest_requests.fetch(collection, condition)
    return manifest_requests.manifest_response(result, lambda now: reads.page(manifest_requests.checked(now), query))


@router.get(
    "/api/manifests/<kind>/<collection_id>/changes",
    summary="List the changes of a manifest, revision by revision",
    responses=responses({200: openapi.CHANGES}, 400, 404, 410, 503),
)
def get_changes(
    kind: Kind,
    collection_id: CollectionId,
    since: Annotated[int, Query(ge=0, description="The last known revision; 0 for none")] = 0,
    limit: RevisionLimit = 100,
) -> HttpResponse:
    """The ``changes`` of the revisions after ``since``, with none skipped.

    To follow the manifest, ask again with ``since`` set to ``next``. 410: the history no longer reaches back that far.
    Read the manifest and continue from its ``revision``, or from the one before ``oldest``, the oldest that is kept.
    """
    snapshot = manifest_requests.existing(manifest_requests.named(kind, collection_id))
    return json_response(feeds.changes(snapshot, since, limit))


@router.get(
    "/api/manifests/<kind>/<collection_id>/removed",
    summary="List removed files",
    responses=responses({200: openapi.CHANGES}, 400, 404, 410, 503),
)
def get_removed(
    kind: Kind,
    collection_id: CollectionId,
    since: Annotated[int | None, Query(ge=0, description="Only after this revision; default: all that is kept")] = None,
    limit: RevisionLimit = 100,
) -> HttpResponse:
    """The ``removed`` files, each with its last entry and the time of its removal.

    While there is ``more``, ask again with ``since`` set to ``next``.
    """
    snapshot = manifest_requests.existing(manifest_requests.named(kind, collection_id))
    return json_response(feeds.removed(snapshot, since, limit))


def _named(kind: str, collection_id: str) -> Collection | None:
    if kind != actors.KIND:
        return runtime.collections().lookup(kind, collection_id)
    try:
        return actors.resolve(runtime.stores(), runtime.collections(), parallel_map, collection_id)
    except actors.NoSuchActor:
        return None


def _timestamp(name: str, time: datetime | None) -> Timestamp | None:
    try:
        return timestamp(time) if time else None
    except OverflowError as error:
        raise BadParameter(name, f"{name}: UTC has no such time") from error
