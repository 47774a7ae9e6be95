"""What the GETs of a manifest share: its head, if it is another than the caller's, and waited for if that is asked."""

from typing import Annotated, NamedTuple
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Query

from s3_manifest.aws import runtime
from s3_manifest.aws.settings import settings
from s3_manifest.aws.threads import each
from s3_manifest.http.web import Answer, json_text, tags_of
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Head
from s3_manifest.query.change_token import ChangeToken, is_reflected
from s3_manifest.query.cursors import InvalidCursor, decode_cursor
from s3_manifest.query.reads import Read
from s3_manifest.query.waiting import MAX_WAIT_SECONDS, poll_until, wait_for_head
from s3_manifest.storage import heads
from s3_manifest.storage.heads import Loaded
from s3_manifest.storage.store import NotModified, Stored

IfNoneMatch = Annotated[str | None, Header(alias="if-none-match", description="An ETag: 304 if it is still current")]
Wait = Annotated[
    float | None,
    Query(
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="Seconds to wait at most: with If-None-Match for another manifest, with reflects for one that does,"
        " and else for one at all. A deployment may wait for less (MaxWaitSeconds): ask again",
    ),
]
Reflects = Annotated[
    str | None,
    Query(
        min_length=1,
        description="The token of a change, exactly as it was given: the header X-Manifest-Reflected says whether this"
        " answer reflects it",
    ),
]


_NOT_YET = {"X-Manifest-Reflected": "false", "Retry-After": "1"}


class InvalidToken(ValueError):
    """A token that this API did not make, or made for another collection."""


class NoSuchManifest(Exception):
    """The collection has no manifest, or there can be no such collection."""


class Fetched(NamedTuple):
    """A head: ``loaded.head`` is None where there is none, or where it is ``same`` that the caller has.

    ``reflected`` says whether it reflects the change that was asked about; None where none was.
    """

    loaded: Loaded
    same: bool = False
    reflected: bool | None = None


def fetch(
    collection: Collection, if_none_match: str | None = None, wait: float | None = None, reflects: str | None = None
) -> Fetched:
    """The head; one request to S3 where nothing is waited for.

    With the token ``reflects`` it waits for that change, with ``if_none_match`` for another head than
    the caller's, and else for there to be one. Raises ``InvalidToken``, ``StoreError``,
    ``UnreadableManifest``.
    """
    store, clock, tags = runtime.store(), runtime.clock(), tags_of(if_none_match)
    seconds = min(wait or 0, settings().max_wait_seconds)
    if reflects is not None:
        change_token = _awaited(collection, reflects)
        loaded, reflected = wait_for_head(
            store, collection, lambda now: is_reflected(store, each, collection, now, change_token), seconds, clock
        )
        return Fetched(loaded, _is_among(loaded.etag, tags), reflected)
    if tags:
        stored = poll_until(
            lambda: _unless(collection, tags), lambda found: not isinstance(found, NotModified), seconds, clock
        )
        if isinstance(stored, NotModified):
            return Fetched(Loaded(None, stored.etag), same=True)
        return Fetched(Loaded(heads.decode(collection, stored.body), stored.etag) if stored else Loaded(None, None))
    return Fetched(wait_for_head(store, collection, lambda now: now.head is not None, seconds, clock).loaded)


def named(kind: str, collection_id: str) -> Collection:
    """The collection that a path names. Raises ``IdTooLong``, ``NoSuchManifest`` where there can be none."""
    kind, collection_id = unquote(kind), unquote(collection_id)
    runtime.collections().check_id(kind, collection_id)
    if collection := runtime.collections().named(kind, collection_id):
        return collection
    raise NoSuchManifest(f"there is no manifest of {kind} {collection_id}")


def head_of(collection: Collection) -> Head:
    """Its head. Raises ``NoSuchManifest``."""
    if head := heads.load(runtime.store(), collection).head:
        return head
    raise no_manifest(collection)


def no_manifest(collection: Collection) -> NoSuchManifest:
    """That there is none of this collection."""
    return NoSuchManifest(f"there is no manifest of {collection.kind} {collection.id}")


def tagged(read: Read, fetched: Fetched) -> Answer:
    """200, with the ETag of the head that it was made from, and whether that reflects the change asked about."""
    headers = {"ETag": f'"{read.etag}"', "Cache-Control": "no-cache"} if read.etag else {}
    return json_text(read.json, headers | _reflected(fetched))


def not_modified(fetched: Fetched) -> Answer:
    """304."""
    headers = {"ETag": f'"{fetched.loaded.etag}"', "Cache-Control": "no-cache"}
    return Response(304, body="", headers=headers | _reflected(fetched))


def _reflected(fetched: Fetched) -> dict[str, str]:
    if fetched.reflected is None:
        return {}
    # Whoever asks again at once keeps the function from those who make the manifest.
    return {"X-Manifest-Reflected": "true"} if fetched.reflected else _NOT_YET


def _awaited(collection: Collection, token: str) -> ChangeToken:
    try:
        change_token = decode_cursor(token, ChangeToken)
    except InvalidCursor as error:
        raise InvalidToken("the token is not one of this API: use it exactly as it was given") from error
    kinds_of_change = (change_token.edit, change_token.gone, change_token.md5, change_token.emptied)
    if sum(one is not None for one in kinds_of_change) != 1 or not change_token.s3_key.startswith(collection.prefix):
        raise InvalidToken(f"the token is not of a change of {collection.kind} {collection.id}")
    return change_token


def _is_among(etag: str | None, tags: list[str]) -> bool:
    return etag is not None and (etag in tags or "*" in tags)


def _unless(collection: Collection, tags: list[str]) -> Stored | NotModified | None:
    """The head, or that the caller has it already: one request to S3 either way."""
    if len(tags) == 1 and tags != ["*"]:
        return runtime.store().get_unless(collection.head_key, tags[0])
    stored = runtime.store().get(collection.head_key)
    return NotModified(stored.etag) if stored and _is_among(stored.etag, tags) else stored
