"""The HTTP routes that ask for sweeps: they put jobs into the sweep queue, and do nothing else."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from pydantic import Field

from s3_manifest.aws import runtime
from s3_manifest.http.api_docs import QUEUED, answers
from s3_manifest.http.web import Answer, CollectionId, Kind, api, json_answer, path_of, problem
from s3_manifest.manifest.collections import IdTooLong
from s3_manifest.manifest.jobs import Sweep, SweepAll
from s3_manifest.manifest.model import Frozen, timestamp

app = api()


class Name(Frozen):
    """Which collection."""

    kind: str
    id: str


class Wanted(Frozen):
    """Which collections to compare with S3."""

    collections: tuple[Name, ...] = Field(min_length=1, max_length=1000)


@app.post(
    "/api/manifests/<kind>/<collection_id>/rescan",
    summary="Compare one collection with what is in S3",
    responses=answers({202: QUEUED}, 400, 404, 503),
)
def post_rescan(
    kind: Kind,
    collection_id: CollectionId,
    rebuild: Annotated[bool, Query(description="Set aside a manifest that cannot be read, and make a new one")] = False,
) -> Answer:
    """202: it is queued. Once ``last_verified_at`` of the ``manifest`` is after ``requested_at``, it is done."""
    kind, collection_id = unquote(kind), unquote(collection_id)
    try:
        runtime.collections().check_id(kind, collection_id)
    except IdTooLong as error:
        return problem(404, str(error))
    collection = runtime.collections().named(kind, collection_id)
    if collection is None:
        return problem(404, f"there can be no collection {kind} {collection_id}")
    requested_at = _now()
    runtime.enqueue([Sweep(kind=kind, id=collection_id, rebuild=rebuild)])
    return _queued(1, path_of(collection), requested_at)


@app.post(
    "/api/manifests/rescan",
    summary="Compare many collections, or all, with what is in S3",
    responses=answers({202: QUEUED}, 400, 503),
)
def post_rescans(
    wanted: Annotated[Wanted | None, Body(description="Without a body: every collection")] = None,
) -> Answer:
    """202: they are queued. Each is done once its manifest's ``last_verified_at`` is after ``requested_at``."""
    requested_at = _now()
    if wanted is None:
        runtime.enqueue([SweepAll()])
        return _queued("all", "/api/manifests", requested_at)
    for index, one in enumerate(wanted.collections):
        if runtime.collections().named(one.kind, one.id) is None:
            name = f"collections.{index}"
            return problem(400, f"{name}: there can be no collection {one.kind} {one.id}", parameter=name)
    jobs = [Sweep(kind=one.kind, id=one.id) for one in dict.fromkeys(wanted.collections)]
    runtime.enqueue(jobs)
    return _queued(len(jobs), "/api/manifests", requested_at)


def _now() -> str:
    return timestamp(datetime.now(UTC))


def _queued(collections: int | str, manifest: str, requested_at: str) -> Answer:
    body = {"status": "queued", "collections": collections, "manifest": manifest, "requested_at": requested_at}
    return json_answer(202, body)
