"""The HTTP routes of actors' training images. One that has no manifest yet gets it on the spot, by a sweep."""

from datetime import UTC, datetime
from typing import Annotated, NamedTuple
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from s3_manifest.aws import runtime
from s3_manifest.aws.settings import settings
from s3_manifest.aws.threads import each
from s3_manifest.http import addressing, scopes
from s3_manifest.http.api_docs import UNDER_WAY, answers
from s3_manifest.http.fetch import Fetched, IfNoneMatch, Reflects, Wait, fetch, not_modified, tagged
from s3_manifest.http.web import ActorId, Answer, json_answer, path_of, problem
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import Head, Timestamp, timestamp
from s3_manifest.query import actors, training
from s3_manifest.query.training import ActorManifest, TrainingData, View
from s3_manifest.query.views import AnswerTooLarge
from s3_manifest.query.waiting import complete_since, wait_for_head
from s3_manifest.storage.heads import holds_objects

PATIENCE_SECONDS = 10
"""So long a request waits for the sweep that it asked for, unless it says how long."""

RETRY_AFTER_SECONDS = 2

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # powertools' own

ForceRescan = Annotated[bool, Query(description="Compare the actor with what is in S3 first")]


class _Wanted(NamedTuple):
    """How a request wants its actor."""

    if_none_match: str | None
    wait: float | None
    reflects: str | None
    force_rescan: bool


@router.get(
    "/api/actors/<actor_id>/training-data",
    summary="An actor's training images",
    responses=answers({200: TrainingData, 202: UNDER_WAY}, 304, 400, 404, 409, 413, 503),
)
def get_training_images(
    actor_id: ActorId,
    force_rescan: ForceRescan = False,
    wait: Wait = None,
    reflects: Reflects = None,
    if_none_match: IfNoneMatch = None,
) -> Answer:
    """The images, in the order of their names, and what they come to.

    202: the manifest is being made, or with ``force_rescan`` compared with S3; ask again at ``manifest``,
    which is done once it is answered 200 and its ``last_verified_at`` is no earlier than ``requested_at``.
    """
    path = "/api/actors/{}/training-data"
    return _answer(actor_id, path, training.training_data, _Wanted(if_none_match, wait, reflects, force_rescan))


@router.get(
    "/api/training-data/<actor_id>",
    summary="An actor's training images with their prompts, and their generations",
    responses=answers({200: ActorManifest, 202: UNDER_WAY}, 304, 400, 404, 409, 413, 503),
)
def get_actor_manifest(
    actor_id: ActorId,
    force_rescan: ForceRescan = False,
    wait: Wait = None,
    reflects: Reflects = None,
    if_none_match: IfNoneMatch = None,
) -> Answer:
    """The images, in the order of their names, and the generations they came from.

    202: as with the other route of an actor.
    """
    path = "/api/training-data/{}"
    return _answer(actor_id, path, training.actor_manifest, _Wanted(if_none_match, wait, reflects, force_rescan))


def _answer(asked: str, path: str, view: View, wanted: _Wanted) -> Answer:
    if wanted.force_rescan:
        scopes.require(router.current_event.raw_event, "edit")
    store, clock = runtime.store(), runtime.clock()
    began = clock.monotonic()
    collection = actors.resolve(store, runtime.collections(), each, unquote(asked))
    fetched = _fetched(collection, wanted)
    if fetched.same:
        return not_modified(fetched)
    head = fetched.loaded.head
    if head is None or not head.complete or wanted.force_rescan:
        requested_at = _now()
        if head is None and not holds_objects(store, runtime.collections(), collection):
            raise actors.NoSuchActor(f"there is no actor {collection.id}: neither a manifest, nor any object in S3")
        retry_policy = wanted.wait or 0
        if head is None or wanted.force_rescan:
            # Of several requests for a manifest that is not there, the first one's sweep makes it.
            made_at, asked_at = (None, requested_at) if wanted.force_rescan else (requested_at, None)
            sweep = Sweep(kind=collection.kind, id=collection.id, created_at=made_at, asked_at=asked_at)
            runtime.enqueue([sweep])
            retry_policy = PATIENCE_SECONDS if wanted.wait is None else wanted.wait
        else:
            requested_at = head.created_at
        left = max(0.0, min(retry_policy, settings().max_wait_seconds) - (clock.monotonic() - began))
        is_done = complete_since(requested_at if wanted.force_rescan else None)
        loaded, done = wait_for_head(store, collection, is_done, left, clock)
        if not done:
            return _under_way(collection, path, loaded.head, requested_at)
        fetched = fetch(collection, wanted.if_none_match, reflects=wanted.reflects)
        if fetched.same:
            return not_modified(fetched)
    try:
        return tagged(training.read(store, each, collection, fetched.loaded, view), fetched)
    except AnswerTooLarge as error:
        return problem(413, f"{error}; read it in pages: {path_of(collection)}")


def _fetched(collection: Collection, wanted: _Wanted) -> Fetched:
    if wanted.reflects is not None or (wanted.if_none_match and not wanted.force_rescan):
        return fetch(collection, wanted.if_none_match, wanted.wait, wanted.reflects)
    return fetch(collection)


def _under_way(collection: Collection, path: str, head: Head | None, requested_at: Timestamp) -> Answer:
    status = "rescanning" if head and head.complete else "initializing"
    manifest = addressing.url(*addressing.address(path, collection.id))
    answer = json_answer(202, {"status": status, "manifest": manifest, "requested_at": requested_at})
    answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def _now() -> Timestamp:
    return timestamp(datetime.now(UTC))
