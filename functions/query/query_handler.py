"""Lambda: the HTTP API that answers from the manifests. It reads, and cannot write."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest import feeds, heads, reads, rescans, runtime
from s3_manifest.catalog import Position, read_catalog
from s3_manifest.collections import Collection
from s3_manifest.cursors import InvalidCursor, seal, unseal
from s3_manifest.history import HistoryGone, NoSuchRevision
from s3_manifest.model import Head, Role, Timestamp, UnreadableManifest, timestamp
from s3_manifest.store import NotModified, ReadFailed, Stored
from s3_manifest.threads import each
from s3_manifest.views import AnswerTooLarge, Filter
from s3_manifest.web import Answer, api, json_answer, openapi, problem, resolve

logger = Logger(service="query")
app = api()

IfNoneMatch = Annotated[str | None, Header(alias="if-none-match", description="An ETag: 304 if it is still current")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many in one answer")]
Kind = Annotated[str, Path()]
CollectionId = Annotated[str, Path(description="The id; as one path segment, percent-encoded")]
Revisions = Annotated[int, Query(ge=1, le=1000, description="Of so many revisions at most")]
Cursor = Annotated[str | None, Query(description="The cursor of the page before, exactly as it was given")]


class NoSuchTime(ValueError):
    """A time that UTC cannot tell; the text is the parameter's name."""


class NoSuchManifest(Exception):
    """The collection has no manifest, or there can be no such collection."""


@app.get("/api/s3/manifest", summary="One collection's whole manifest")
def get_manifest(
    style_id: Annotated[str | None, Query(alias="styleId", min_length=1)] = None,
    actor_id: Annotated[str | None, Query(alias="actorId", min_length=1)] = None,
    if_none_match: IfNoneMatch = None,
) -> Answer:
    """The canonical manifest of the style, or of the actor. Give one of the two ids."""
    asked = {kind: id_ for kind, id_ in (("style", style_id), ("actor", actor_id)) if id_ is not None}
    if len(asked) != 1:
        return problem(400, "give one of styleId and actorId", parameter="styleId")
    ((kind, id_),) = asked.items()
    collection = runtime.collections().named(kind, id_)
    stored = _read(collection, if_none_match) if collection else None
    if collection is None or stored is None:
        message = f"No S3 uploads have been made for this {kind} yet"
        return json_answer(404, {"error": "Manifest not found", "message": message})
    if isinstance(stored, NotModified):
        return _not_modified(stored)
    try:
        return _tagged(reads.whole(runtime.store(), each, collection, _loaded(collection, stored)))
    except AnswerTooLarge as error:
        return problem(413, f"{error}; read it in pages: /api/manifests/{kind}/{id_}")


@app.get("/api/manifests", summary="Every collection, with its totals")
def get_catalog(limit: Limit = 100, cursor: Cursor = None) -> Answer:
    """``collections``, by kind and id, and the ``cursor`` of the next page (null on the last)."""
    after = unseal(cursor, Position) if cursor else None
    found, following = read_catalog(runtime.store(), runtime.collections(), each, limit, after)
    return json_answer(200, {"collections": found, "cursor": seal(following) if following else None})


@app.get("/api/manifests/<kind>/<collection_id>", summary="One collection's manifest, in pages, filtered")
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
    role: Annotated[
        Role, Query(alias="list", description="What to list: its files, or what is listed apart")
    ] = "files",
    if_none_match: IfNoneMatch = None,
) -> Answer:
    """The manifest with some of its ``files`` and the ``cursor`` of the next page (null on the last).

    A page may have fewer files than ``limit``, or none, and yet a cursor. All pages of one reading
    are of one revision. The totals are those of the whole manifest. What it said at an earlier
    revision or time is told for as long as the history is kept: 410 after that.
    """
    if revision is not None and at is not None:
        return problem(400, "give one of revision and at", parameter="at")
    wanted = Filter(prefix, glob, _timestamp("modified_after", modified_after), role)
    about_the_past = revision is not None or at is not None
    collection = _collection(kind, collection_id)
    stored = _read(collection, None if about_the_past else if_none_match)
    if isinstance(stored, NotModified):
        return _not_modified(stored)
    return _tagged(
        reads.page(
            runtime.store(),
            each,
            collection,
            _loaded(collection, stored),
            wanted,
            limit,
            cursor=cursor,
            revision=revision,
            at=_timestamp("at", at),
        )
    )


@app.get("/api/manifests/<kind>/<collection_id>/changes", summary="What changed, revision after revision")
def get_changes(
    kind: Kind,
    collection_id: CollectionId,
    since: Annotated[int, Query(ge=0, description="The revision known so far; 0: none")] = 0,
    limit: Revisions = 100,
) -> Answer:
    """The ``changes`` of the revisions after ``since``, with none left out.

    Ask again with ``since`` set to ``next``, for ever. 410: the history does not reach back so far;
    read the manifest, and go on from its ``revision``.
    """
    collection = _collection(kind, collection_id)
    return _json_bytes(feeds.changes(runtime.store(), each, collection, _head(collection), since, limit))


@app.get("/api/manifests/<kind>/<collection_id>/removed", summary="Which files were removed, and when")
def get_removed(
    kind: Kind,
    collection_id: CollectionId,
    since: Annotated[int | None, Query(ge=0, description="After this revision; else all that is kept")] = None,
    limit: Revisions = 100,
) -> Answer:
    """The ``removed`` files, each as the manifest last had it.

    While there is ``more``, ask again with ``since`` set to ``next``.
    """
    collection = _collection(kind, collection_id)
    return _json_bytes(feeds.removed(runtime.store(), each, collection, _head(collection), since, limit))


@app.get("/api/openapi.json", summary="This API, as an OpenAPI document")
def get_openapi() -> Answer:
    """The document that this is in."""
    return Response(200, "application/json", openapi(app, rescans.app))


@app.exception_handler(InvalidCursor)
def bad_cursor(error: InvalidCursor) -> Answer:
    """400: it was not made here."""
    return problem(400, str(error), parameter="cursor")


@app.exception_handler(NoSuchTime)
def bad_time(error: NoSuchTime) -> Answer:
    """400: it is before the first day there is, or after the last."""
    return problem(400, f"{error}: UTC has no such time", parameter=str(error))


@app.exception_handler(reads.ManifestChanged)
def changed(error: reads.ManifestChanged) -> Answer:
    """409: what the pages read so far are of is not kept any more."""
    return problem(409, f"{error}; begin again without a cursor", parameter="cursor")


@app.exception_handler(HistoryGone)
def gone(error: HistoryGone) -> Answer:
    """410: it was kept for some time, and is not any more."""
    return problem(410, str(error))


@app.exception_handler([NoSuchManifest, NoSuchRevision])
def not_there(error: Exception) -> Answer:
    """404: there is none, or none yet."""
    return problem(404, str(error))


@app.exception_handler(AnswerTooLarge)
def too_large(error: AnswerTooLarge) -> Answer:
    """413: Lambda would refuse to pass it on."""
    return problem(413, str(error))


@app.exception_handler([ReadFailed, UnreadableManifest])
def unavailable(error: Exception) -> Answer:
    """503: not read is not the same as not there."""
    logger.error("unavailable", reason=str(error))
    return problem(503, "the manifest cannot be read at the moment; the function's log says why")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes an HTTP API request (payload 2.0); the routes above answer it."""
    return resolve(app, event, context)


def _timestamp(name: str, moment: datetime | None) -> Timestamp | None:
    try:
        return timestamp(moment) if moment else None
    except OverflowError as error:
        raise NoSuchTime(name) from error


def _collection(kind: str, collection_id: str) -> Collection:
    kind, collection_id = unquote(kind), unquote(collection_id)
    if collection := runtime.collections().named(kind, collection_id):
        return collection
    raise NoSuchManifest(f"there is no manifest of {kind} {collection_id}")


def _head(collection: Collection) -> Head:
    if head := heads.load(runtime.store(), collection).head:
        return head
    raise NoSuchManifest(f"there is no manifest of {collection.kind} {collection.id}")


def _loaded(collection: Collection, stored: Stored | None) -> heads.Loaded:
    if stored is None:
        raise NoSuchManifest(f"there is no manifest of {collection.kind} {collection.id}")
    return heads.Loaded(heads.decode(collection, stored.body), stored.etag)


def _read(collection: Collection, if_none_match: str | None) -> Stored | NotModified | None:
    """The head, or that the caller has it already: one request to S3 either way."""
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in (if_none_match or "").split(",") if tag.strip()]
    if len(tags) == 1 and tags != ["*"]:
        return runtime.store().get_unless(collection.head_key, tags[0])
    stored = runtime.store().get(collection.head_key)
    if stored and (stored.etag in tags or "*" in tags):
        return NotModified(stored.etag)
    return stored


def _tagged(read: reads.Read) -> Answer:
    headers = {"ETag": f'"{read.etag}"', "Cache-Control": "no-cache"} if read.etag else {}
    return _json_bytes(read.json, **headers)


def _json_bytes(body: bytes, **headers: str) -> Answer:
    return Response(200, "application/json", body.decode(), headers=dict(headers))


def _not_modified(same: NotModified) -> Answer:
    return Response(304, body="", headers={"ETag": f'"{same.etag}"', "Cache-Control": "no-cache"})
