"""The routes that ask for sweeps: they put jobs into the sweep queue, and do nothing else."""

from typing import Annotated

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from pydantic import Field

from s3_manifest.aws import runtime
from s3_manifest.http.app import (
    CollectionId,
    HttpResponse,
    Kind,
    answer_unavailable,
    collection_in_path,
    new_app,
    path_of,
    queue,
)
from s3_manifest.http.openapi import QUEUED, responses
from s3_manifest.manifest.jobs import JobsNotQueued, Sweep, SweepAll
from s3_manifest.manifest.model import Frozen
from s3_manifest.query.cursors import BadParameter

logger = Logger(service="rescan")
app = new_app()
# Some jobs may be queued all the same; a second sweep does no harm.
answer_unavailable(
    app, logger, [JobsNotQueued], "not every job could be queued. Repeat the request; the function's log has the cause"
)


class Name(Frozen):
    """A collection."""

    kind: str
    id: str


class RescanRequest(Frozen):
    """Which collections to compare with S3."""

    collections: tuple[Name, ...] = Field(min_length=1, max_length=1000)


@app.post(
    "/api/manifests/<kind>/<collection_id>/rescan",
    summary="Compare a collection with S3",
    responses=responses({202: QUEUED}, 400, 404, 503),
)
def post_rescan(
    kind: Kind,
    collection_id: CollectionId,
    rebuild: Annotated[bool, Query(description="Set an unreadable manifest aside, and create a new one")] = False,
) -> HttpResponse:
    """202: queued. It is done when ``last_verified_at`` of the ``manifest`` is after ``requested_at``."""
    collection = collection_in_path(kind, collection_id)
    return queue([Sweep(kind=collection.kind, id=collection.id, rebuild=rebuild)], 1, path_of(collection))


@app.post(
    "/api/manifests/rescan",
    summary="Compare many collections, or all, with S3",
    responses=responses({202: QUEUED}, 400, 503),
)
def post_rescans(
    request: Annotated[RescanRequest | None, Body(description="Without a body: every collection")] = None,
) -> HttpResponse:
    """202: queued. Each is done when ``last_verified_at`` of its manifest is after ``requested_at``."""
    if request is None:
        return queue([SweepAll()], "all", "/api/manifests")
    for index, name in enumerate(request.collections):
        if runtime.collections().lookup(name.kind, name.id) is None:
            parameter = f"collections.{index}"
            raise BadParameter(parameter, f"{parameter}: {name.kind} {name.id} cannot be a collection")
    jobs = [Sweep(kind=name.kind, id=name.id) for name in dict.fromkeys(request.collections)]
    return queue(jobs, len(jobs), "/api/manifests")
