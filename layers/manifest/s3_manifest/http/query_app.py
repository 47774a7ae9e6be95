"""The app of the query function: its routers, its errors as problems, and the OpenAPI document."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response

from s3_manifest.aws.settings import settings
from s3_manifest.http import actor_routes, catalog_routes, manifest_routes, openapi, rescan_routes
from s3_manifest.http.app import HttpResponse, answer_errors, answer_unavailable, new_app, problem
from s3_manifest.http.manifest_requests import NoSuchManifest
from s3_manifest.http.openapi import responses
from s3_manifest.manifest.jobs import JobsNotQueued
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.query.actors import AmbiguousActor, NoSuchActor
from s3_manifest.query.history import HistoryExpired, NoSuchRevision
from s3_manifest.query.reads import ManifestChanged
from s3_manifest.storage.snapshot import BrokenObjects
from s3_manifest.storage.store import ReadFailed

logger = Logger(service="query")
app = new_app()
for routes in (manifest_routes, catalog_routes, actor_routes):
    app.include_router(routes.router)

answer_errors(app, 404, NoSuchManifest, NoSuchRevision, NoSuchActor)
answer_errors(app, 409, AmbiguousActor)
answer_errors(app, 409, ManifestChanged, parameter="cursor")
app.exception_handler(HistoryExpired)(lambda error: problem(410, str(error), oldest=error.oldest))


# 503, never 404: a failed read does not mean that the manifest does not exist.
answer_unavailable(
    app,
    logger,
    [ReadFailed, UnreadableManifest],
    "the manifest cannot be read at the moment; the function's log has the cause",
)
answer_unavailable(
    app,
    logger,
    [BrokenObjects],
    "part of the manifest is missing or damaged. The next sweep repairs it from S3; to repair it now, POST a rescan of"
    " this collection. The function's log names the objects",
)
# The sweep may be queued all the same; a second one does no harm.
answer_unavailable(
    app, logger, [JobsNotQueued], "the sweep could not be queued. Repeat the request; the function's log has the cause"
)


@app.get("/api/openapi.json", summary="The OpenAPI document of this API", responses=responses({200: openapi.DOCUMENT}))
def get_openapi() -> HttpResponse:
    """The document of the deployed routes."""
    apps = [app, rescan_routes.app]
    if settings().allow_edits:
        from s3_manifest.http import edit_routes  # noqa: PLC0415  # only this route needs it, so a cold start does not

        apps.append(edit_routes.app)
    return Response(200, "application/json", openapi.document(*apps))
