"""What routes that read one manifest share: conditional requests, waiting, and its responses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, NamedTuple
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Query

from s3_manifest.aws import runtime
from s3_manifest.aws.settings import settings
from s3_manifest.aws.threads import parallel_map
from s3_manifest.http.addressing import NO_MANIFEST
from s3_manifest.http.app import (
    HttpResponse,
    NoSuchCollection,
    collection_in_path,
    etags_in,
    json_response,
    path_of,
    problem,
)
from s3_manifest.manifest.collections import Collection
from s3_manifest.query.answers import AnswerTooLarge
from s3_manifest.query.change_token import ChangeToken, is_reflected
from s3_manifest.query.cursors import BadParameter, decode_cursor
from s3_manifest.query.reads import Document
from s3_manifest.query.waiting import MAX_WAIT_SECONDS, poll_until, wait_for_head
from s3_manifest.storage import heads
from s3_manifest.storage.snapshot import Snapshot

IfNoneMatch = Annotated[str | None, Header(alias="if-none-match", description="An ETag: 304 if it is still current")]
Wait = Annotated[
    float | None,
    Query(
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="The most seconds to wait: with If-None-Match for a newer manifest, with reflects for one that"
        " reflects the change, otherwise for any. A deployment may limit it further (MaxWaitSeconds): ask again",
    ),
]
Reflects = Annotated[
    str | None,
    Query(
        min_length=1,
        description="The token of a change, exactly as it was returned: the header X-Manifest-Reflected says whether"
        " this answer reflects the change",
    ),
]


class NoSuchManifest(Exception):
    """The collection has no manifest, or cannot exist."""


class ReadCondition(NamedTuple):
    """What a request requires of the manifest that it reads."""

    if_none_match: str | None = None
    wait: float | None = None
    reflects: str | None = None


class FetchResult(NamedTuple):
    """A manifest. ``not_modified``: the caller has it already, so its head is not read.

    ``reflected`` is whether it reflects the change of the request's token; None without a token.
    """

    snapshot: Snapshot
    not_modified: bool = False
    reflected: bool | None = None


def snapshot_of(collection: Collection) -> Snapshot:
    """The collection's manifest, not read yet."""
    return Snapshot(runtime.store(collection), parallel_map, collection)


def fetch(collection: Collection, condition: ReadCondition = ReadCondition()) -> FetchResult:  # noqa: B008  # it is immutable
    """The collection's manifest; one request to S3 if nothing is waited for.

    Waits for the change of the token ``reflects``; else, with ``if_none_match``, for another head than the caller's;
    else for any head. Raises ``BadParameter``, ``StoreError``, ``UnreadableManifest``.
    """
    snapshot, clock, etags = snapshot_of(collection), runtime.clock(), etags_in(condition.if_none_match)
    seconds = min(condition.wait or 0, settings().max_wait_seconds)

    def is_known(etag: str | None) -> bool:
        return etag is not None and (etag in etags or "*" in etags)

    def read() -> Snapshot:
        if len(etags) == 1 and etags != ["*"]:
            return replace(snapshot, etag=etags[0]).refresh()
        stored = snapshot.store.get(collection.head_key)
        # What the caller has already is not decoded, so it may be unreadable.
        head = heads.decode(collection, stored.body) if stored and not is_known(stored.etag) else None
        return replace(snapshot, head=head, etag=stored.etag if stored else None)

    if condition.reflects is not None:
        token = _decode_token(collection, condition.reflects)
        wait = wait_for_head(snapshot, lambda now: is_reflected(now, token), seconds, clock)
        return FetchResult(wait.snapshot, is_known(wait.snapshot.etag), wait.is_met)
    if not etags:
        return FetchResult(wait_for_head(snapshot, lambda now: now.head is not None, seconds, clock).snapshot)
    latest = poll_until(read, lambda now: not is_known(now.etag), seconds, clock)
    return FetchResult(latest, is_known(latest.etag))


def named(kind: str, collection_id: str) -> Collection:
    """The collection that a path names. Raises ``IdTooLong``, and ``NoSuchManifest`` if it cannot exist."""
    try:
        return collection_in_path(kind, collection_id)
    except NoSuchCollection as error:
        raise NoSuchManifest(f"{NO_MANIFEST}{unquote(kind)} {unquote(collection_id)}") from error


def existing(collection: Collection) -> Snapshot:
    """The collection's manifest. Raises ``NoSuchManifest``, ``StoreError``, ``UnreadableManifest``."""
    return checked(snapshot_of(collection).reload())


def checked(snapshot: Snapshot) -> Snapshot:
    """The same snapshot. Raises ``NoSuchManifest`` if it has no head."""
    if snapshot.head is None:
        raise NoSuchManifest(f"{NO_MANIFEST}{snapshot.collection.kind} {snapshot.collection.id}")
    return snapshot


def manifest_response(result: FetchResult, read: Callable[[Snapshot], Document]) -> HttpResponse:
    """304, or 200 with what ``read`` makes of the manifest; 413 where that is too large for one answer.

    With the ETag of the head, and whether it reflects the change of the request's token.
    """
    snapshot = result.snapshot
    if result.not_modified:
        return Response(304, body="", headers=_headers(snapshot.etag, result))
    try:
        document = read(snapshot)
    except AnswerTooLarge as error:
        return problem(413, f"{error}. Read it in pages: {path_of(snapshot.collection)}")
    return json_response(document.json, headers=_headers(document.etag, result))


def _headers(etag: str | None, result: FetchResult) -> dict[str, str]:
    headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"} if etag else {}
    if result.reflected is not None:
        headers["X-Manifest-Reflected"] = "true" if result.reflected else "false"
    if result.reflected is False:
        # Polling without a pause would take capacity from the reconciler.
        headers["Retry-After"] = "1"
    return headers


def _decode_token(collection: Collection, text: str) -> ChangeToken:
    try:
        token = decode_cursor(text, ChangeToken)
    except BadParameter as error:
        raise BadParameter("reflects", "the token is not from this API; pass it exactly as it was returned") from error
    if not token.is_of_one_kind or not token.s3_key.startswith(collection.prefix):
        raise BadParameter("reflects", f"the token is not of a change in {collection.kind} {collection.id}")
    return token
