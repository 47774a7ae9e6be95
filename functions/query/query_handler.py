"""Lambda: the HTTP API that answers from the manifests. It reads, and cannot write."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest import heads, rescans, runtime
from s3_manifest.catalog import Position, read_catalog
from s3_manifest.collections import Collection
from s3_manifest.cursors import InvalidCursor, seal, unseal
from s3_manifest.model import UnreadableHead, timestamp
from s3_manifest.store import NotModified, ReadFailed, Stored
from s3_manifest.threads import each
from s3_manifest.views import AnswerTooLarge, Filter, ManifestChanged, page, whole
from s3_manifest.web import Answer, api, json_answer, openapi, problem, resolve

logger = Logger(service="query")
app = api()

IfNoneMatch = Annotated[str | None, Header(alias="if-none-match", description="An ETag: 304 if it is still current")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many in one answer")]
Cursor = Annotated[str | None, Query(description="The cursor of the page before, exactly as it was given")]


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
        return _tagged(whole(heads.decode(collection, stored.body)), stored)
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
    kind: Annotated[str, Path()],
    collection_id: Annotated[str, Path(description="The id; as one path segment, percent-encoded")],
    limit: Limit = 100,
    cursor: Cursor = None,
    prefix: Annotated[str, Query(description="Only filenames that begin so")] = "",
    glob: Annotated[str | None, Query(max_length=200, description="Only filenames that match, as in *.png")] = None,
    modified_after: Annotated[datetime | None, Query(description="ISO 8601; without a zone it is UTC")] = None,
    if_none_match: IfNoneMatch = None,
) -> Answer:
    """The manifest with some of its ``files`` and the ``cursor`` of the next page (null on the last).

    All pages of one reading are of one revision: 409 says that the manifest changed in between, and
    that the reading has to begin anew. The totals are those of the whole manifest.
    """
    kind, collection_id = unquote(kind), unquote(collection_id)
    collection = runtime.collections().named(kind, collection_id)
    stored = _read(collection, if_none_match) if collection else None
    if collection is None or stored is None:
        return problem(404, f"there is no manifest of {kind} {collection_id}")
    if isinstance(stored, NotModified):
        return _not_modified(stored)
    try:
        after = timestamp(modified_after) if modified_after else None
    except OverflowError:
        return problem(400, "modified_after: UTC has no such time", parameter="modified_after")
    shown = page(heads.decode(collection, stored.body), Filter(prefix, glob, after), limit, cursor)
    return _tagged(shown, stored)


@app.get("/api/openapi.json", summary="This API, as an OpenAPI document")
def get_openapi() -> Answer:
    """The document that this is in."""
    return Response(200, "application/json", openapi(app, rescans.app))


@app.exception_handler(InvalidCursor)
def bad_cursor(error: InvalidCursor) -> Answer:
    """400: it was not made here."""
    return problem(400, str(error), parameter="cursor")


@app.exception_handler(ManifestChanged)
def changed(error: ManifestChanged) -> Answer:
    """409: the pages read so far are of another revision."""
    return problem(409, f"{error}; begin again without a cursor", parameter="cursor")


@app.exception_handler(AnswerTooLarge)
def too_large(error: AnswerTooLarge) -> Answer:
    """413: Lambda would refuse to pass it on."""
    return problem(413, str(error))


@app.exception_handler([ReadFailed, UnreadableHead])
def unavailable(error: Exception) -> Answer:
    """503: not read is not the same as not there."""
    logger.error("unavailable", reason=str(error))
    return problem(503, "the manifest cannot be read at the moment; the function's log says why")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes an HTTP API request (payload 2.0); the routes above answer it."""
    return resolve(app, event, context)


def _read(collection: Collection, if_none_match: str | None) -> Stored | NotModified | None:
    """The head, or that the caller has it already: one request to S3 either way."""
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in (if_none_match or "").split(",") if tag.strip()]
    if len(tags) == 1 and tags != ["*"]:
        return runtime.store().get_unless(collection.head_key, tags[0])
    stored = runtime.store().get(collection.head_key)
    if stored and (stored.etag in tags or "*" in tags):
        return NotModified(stored.etag)
    return stored


def _tagged(body: bytes, stored: Stored) -> Answer:
    headers = {"ETag": f'"{stored.etag}"', "Cache-Control": "no-cache"}
    return Response(200, "application/json", body.decode(), headers=headers)


def _not_modified(same: NotModified) -> Answer:
    return Response(304, body="", headers={"ETag": f'"{same.etag}"', "Cache-Control": "no-cache"})
