"""The routes of an actor's training images. A missing manifest is created by a sweep, and waited for."""

from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from s3_manifest.aws import runtime
from s3_manifest.aws.settings import settings
from s3_manifest.http import addressing, manifest_requests
from s3_manifest.http.app import ActorId, HttpResponse, actor_in_path, json_response, problem, require_scope
from s3_manifest.http.manifest_requests import IfNoneMatch, ReadCondition, Reflects, Wait
from s3_manifest.http.openapi import IN_PROGRESS, responses
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import Head, timestamp
from s3_manifest.query import training
from s3_manifest.query.training import ActorManifest, TrainingData, View
from s3_manifest.query.waiting import complete_since, wait_for_head
from s3_manifest.storage.heads import has_objects

DEFAULT_WAIT_SECONDS = 10
"""How long a request that starts a sweep waits for it by default."""

RETRY_AFTER_SECONDS = 2

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # Powertools does not type it

ForceRescan = Annotated[bool, Query(description="Compare the actor with S3 first")]


class _Request(NamedTuple):
    """A request for an actor's images: the format and its path, and what the manifest has to meet."""

    path: str
    view: View
    condition: ReadCondition
    force_rescan: bool


@router.get(
    "/api/actors/<actor_id>/training-data",
    summary="List an actor's training images",
    responses=responses({200: TrainingData, 202: IN_PROGRESS}, 304, 400, 404, 409, 413, 503),
)
def get_training_images(
    actor_id: ActorId,
    force_rescan: ForceRescan = False,
    wait: Wait = None,
    reflects: Reflects = None,
    if_none_match: IfNoneMatch = None,
) -> HttpResponse:
    """The images in order of filenames, and their totals.

    202: the manifest is being created or, with ``force_rescan``, compared with S3. Poll ``manifest``: it is ready when
    it answers 200 with a ``last_verified_at`` no earlier than ``requested_at``.
    """
    condition = ReadCondition(if_none_match, wait, reflects)
    return _get(actor_id, _Request("/api/actors/{}/training-data", training.training_data, condition, force_rescan))


@router.get(
    "/api/training-data/<actor_id>",
    summary="List an actor's training images with prompts and generations",
    responses=responses({200: ActorManifest, 202: IN_PROGRESS}, 304, 400, 404, 409, 413, 503),
)
def get_actor_manifest(
    actor_id: ActorId,
    force_rescan: ForceRescan = False,
    wait: Wait = None,
    reflects: Reflects = None,
    if_none_match: IfNoneMatch = None,
) -> HttpResponse:
    """The images in order of filenames, and the generations they are from.

    202: as for the actor's other route.
    """
    condition = ReadCondition(if_none_match, wait, reflects)
    return _get(actor_id, _Request("/api/training-data/{}", training.actor_manifest, condition, force_rescan))


def _get(actor_id: str, request: _Request) -> HttpResponse:
    if request.force_rescan:
        require_scope(router.current_event.raw_event, "edit")
    started, condition = runtime.clock().monotonic(), request.condition
    collection = actor_in_path(actor_id)
    is_conditional = condition.reflects is not None or (condition.if_none_match and not request.force_rescan)
    result = manifest_requests.fetch(collection, condition) if is_conditional else manifest_requests.fetch(collection)
    head = result.snapshot.head
    if not result.not_modified and (head is None or not head.complete or request.force_rescan):
        if response := _complete(collection, head, request, started):
            return response
        result = manifest_requests.fetch(collection, condition._replace(wait=None))
    return manifest_requests.manifest_response(result, lambda now: training.read(now, request.view))


def _complete(collection: Collection, head: Head | None, request: _Request, started: float) -> HttpResponse | None:
    """Starts a sweep, if none is running, and waits for it: None when the manifest is complete, else 202.

    404 for an actor without objects.
    """
    requested_at, clock = timestamp(datetime.now(UTC)), runtime.clock()
    place = {"s3_bucket": collection.bucket, "s3_prefix": collection.prefix}
    if head is None and not has_objects(runtime.store(collection), runtime.collections(), collection):
        detail = f"there is no actor {collection.id}: S3 has neither a manifest nor objects"
        return problem(404, detail, {}, **place)
    seconds = request.condition.wait or 0
    if head is None or request.force_rescan:
        # Of several requests for a missing manifest, only the first one's sweep runs.
        created_at, asked_at = (None, requested_at) if request.force_rescan else (requested_at, None)
        runtime.enqueue([Sweep(kind=collection.kind, id=collection.id, created_at=created_at, asked_at=asked_at)])
        seconds = DEFAULT_WAIT_SECONDS if request.condition.wait is None else request.condition.wait
    else:
        requested_at = head.created_at
    left = max(0.0, min(seconds, settings().max_wait_seconds) - (clock.monotonic() - started))
    condition = complete_since(requested_at if request.force_rescan else None)
    wait = wait_for_head(manifest_requests.snapshot_of(collection), condition, left, clock)
    if wait.is_met:
        return None
    head = wait.snapshot.head
    body = {
        "status": "rescanning" if head and head.complete else "initializing",
        "manifest": addressing.url(*addressing.address(request.path, collection.id)),
        "requested_at": requested_at,
        **place,
    }
    return json_response(body, 202, {"Retry-After": str(RETRY_AFTER_SECONDS)})
