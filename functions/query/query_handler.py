"""Lambda: the HTTP API that answers from the manifests. It reads, may ask for sweeps, and cannot write."""

from datetime import datetime
from typing import Annotated, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.aws import runtime
from s3_manifest.aws.settings import settings
from s3_manifest.aws.threads import each
from s3_manifest.http import actor_routes, api_docs, fetch, rescan_routes, stats_routes
from s3_manifest.http.api_docs import answers
from s3_manifest.http.fetch import IfNoneMatch, Reflects, Wait
from s3_manifest.http.problems import answer_problems
from s3_manifest.http.web import (
    Answer,
    BadParameter,
    CollectionId,
    Kind,
    api,
    json_answer,
    json_text,
    openapi,
    path_of,
    problem,
    resolve,
)
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Timestamp, timestamp
from s3_manifest.query import actors, feeds, reads
from s3_manifest.query.catalog import Position, read_catalog
from s3_manifest.query.cursors import decode_cursor, encode_cursor
from s3_manifest.query.views import AnswerTooLarge, Filter, Listing

logger = Logger(service="query")
app = api()
answer_problems(app, logger)
app.include_router(actor_routes.router)
app.include_router(stats_routes.router)

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many in one answer")]
Revisions = Annotated[int, Query(ge=1, le=1000, description="Of so many revisions at most")]
Cursor = Annotated[str | None, Query(description="The cursor of the page before, exactly as it was given")]


@app.get(
    "/api/s3/manifest",
    summary="One collection's whole manifest",
    responses=answers({200: api_docs.MANIFEST, 404: api_docs.NOT_FOUND}, 304, 400, 409, 413, 503),
)
def get_manifest(
    style_id: Annotated[str | None, Query(alias="styleId", min_length=1)] = None,
    actor_id: Annotated[
        str | None, Query(alias="actorId", min_length=1, description="The full name, the padded number, or the number")
    ] = None,
    wait: Wait = None,
    reflects: Reflects = None,
    if_none_match: IfNoneMatch = None,
) -> Answer:
    """The canonical manifest of the style, or of the actor. Give one of the two ids."""
    asked = {kind: id_ for kind, id_ in (("style", style_id), ("actor", actor_id)) if id_ is not None}
    if len(asked) != 1:
        return problem(400, "give one of styleId and actorId", parameter="styleId")
    ((kind, id_),) = asked.items()
    collection = _named(kind, id_)
    fetched = fetch.fetch(collection, if_none_match, wait, reflects) if collection else None
    if collection is None or fetched is None or not (fetched.same or fetched.loaded.head):
        message = f"No S3 uploads have been made for this {kind} yet"
        return json_answer(404, {"error": "Manifest not found", "message": message})
    if fetched.same:
        return fetch.not_modified(fetched)
    try:
        return fetch.tagged(reads.whole(runtime.store(), each, collection, fetched.loaded), fetched)
    except AnswerTooLarge as error:
        return problem(413, f"{error}; read it in pages: {path_of(collection)}")


@app.get(
    "/api/manifests",
    summary="Every collection, with its totals",
    responses=answers({200: api_docs.CATALOG}, 400, 503),
)
def get_catalog(limit: Limit = 100, cursor: Cursor = None) -> Answer:
    """``collections``, by kind and id, and the ``cursor`` of the next page (null on the last).

    One whose manifest cannot be read has, instead of totals, a ``problem``: what is wrong, and what to do.
    """
    after = decode_cursor(cursor, Position) if cursor else None
    found, following = read_catalog(runtime.store(), runtime.collections(), each, limit, after)
    return json_answer(200, {"collections": found, "cursor": encode_cursor(following) if following else None})


@app.get(
    "/api/manifests/<kind>/<collection_id>",
    summary="One collection's manifest, in pages, filtered",
    responses=answers({200: api_docs.MANIFEST}, 304, 400, 404, 409, 410, 413, 503),
)
def get_page(
    kind: Kind,
    collection_id: CollectionId,
    limit: Limit = 100,
    cursor: Cursor = None,
    prefix: Annotated[str, Query(description="Only filenames that begin so")] = "",
    glob: Annotated[str | None, Query(max_length=200, description="Only filenames that match, as in *.png")] = None,
    modified_after: Annotated[datetime | None, Query(description="ISO 8601; without a zone it is UTC")] = None,
    revision: Annotated[int | None, Query(ge=1, description="As it was at this revision")] = None,
    at: Annotated[datetime | None, Query(description="As it was at this time; ISO 8601")] = None,
    listing: Annotated[
        Listing,
        Query(
            alias="list",
            description="Its files, or what is apart: captions, hidden files, captions without an image, images without"
            " a caption",
        ),
    ] = "files",
    wait: Wait = None,
    reflects: Reflects = None,
    if_none_match: IfNoneMatch = None,
) -> Answer:
    """The manifest with some of its ``files`` and the ``cursor`` of the next page (null on the last).

    A page may have fewer files than ``limit``, or none, and yet a cursor. All pages of one reading
    are of one revision. The totals are those of the whole manifest. What it said at an earlier
    revision or time is told for as long as the history is kept: 410 after that.
    """
    if revision is not None and at is not None:
        return problem(400, "give one of revision and at", parameter="at")
    about_the_past = revision is not None or at is not None
    if about_the_past and (wait is not None or reflects is not None):
        name = "reflects" if wait is None else "wait"
        return problem(400, f"{name}: what is past does not change; leave out revision and at", parameter=name)
    wanted = Filter(prefix, glob, _timestamp("modified_after", modified_after), listing)
    collection = fetch.named(kind, collection_id)
    fetched = fetch.fetch(collection, None if about_the_past else if_none_match, wait, reflects)
    if fetched.same:
        return fetch.not_modified(fetched)
    if fetched.loaded.head is None:
        raise fetch.no_manifest(collection)
    return fetch.tagged(
        reads.page(
            runtime.store(),
            each,
            collection,
            fetched.loaded,
            wanted,
            limit,
            cursor=cursor,
            revision=revision,
            at=_timestamp("at", at),
        ),
        fetched,
    )


@app.get(
    "/api/manifests/<kind>/<collection_id>/changes",
    summary="What changed, revision after revision",
    responses=answers({200: api_docs.CHANGES}, 400, 404, 410, 503),
)
def get_changes(
    kind: Kind,
    collection_id: CollectionId,
    since: Annotated[int, Query(ge=0, description="The revision known so far; 0: none")] = 0,
    limit: Revisions = 100,
) -> Answer:
    """The ``changes`` of the revisions after ``since``, with none left out.

    Ask again with ``since`` set to ``next``, for ever. 410: the history does not reach back so far;
    read the manifest, and go on from its ``revision``, or with ``since`` one less than ``oldest``, from
    which on it is kept.
    """
    collection = fetch.named(kind, collection_id)
    return json_text(feeds.changes(runtime.store(), each, collection, fetch.head_of(collection), since, limit))


@app.get(
    "/api/manifests/<kind>/<collection_id>/removed",
    summary="Which files were removed, and when",
    responses=answers({200: api_docs.CHANGES}, 400, 404, 410, 503),
)
def get_removed(
    kind: Kind,
    collection_id: CollectionId,
    since: Annotated[int | None, Query(ge=0, description="After this revision; else all that is kept")] = None,
    limit: Revisions = 100,
) -> Answer:
    """The ``removed`` files, each as the manifest last had it.

    While there is ``more``, ask again with ``since`` set to ``next``.
    """
    collection = fetch.named(kind, collection_id)
    return json_text(feeds.removed(runtime.store(), each, collection, fetch.head_of(collection), since, limit))


@app.get(
    "/api/openapi.json",
    summary="This API, as an OpenAPI document",
    responses=answers({200: api_docs.DOCUMENT}),
)
def get_openapi() -> Answer:
    """The document that this is in: the routes that are deployed, and no others."""
    apps = [app, rescan_routes.app]
    if settings().allow_edits:
        from s3_manifest.http import edit_routes  # noqa: PLC0415  # what no other route needs is not loaded at the start

        apps.append(edit_routes.app)
    return Response(200, "application/json", openapi(*apps))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes an HTTP API request (payload 2.0); the routes above answer it."""
    return resolve(app, event, context)


def _named(kind: str, collection_id: str) -> Collection | None:
    if kind != actors.KIND:
        return runtime.collections().named(kind, collection_id)
    try:
        return actors.resolve(runtime.store(), runtime.collections(), each, collection_id)
    except actors.NoSuchActor:
        return None


def _timestamp(name: str, moment: datetime | None) -> Timestamp | None:
    try:
        return timestamp(moment) if moment else None
    except OverflowError as error:
        raise BadParameter(name, f"{name}: UTC has no such time") from error
