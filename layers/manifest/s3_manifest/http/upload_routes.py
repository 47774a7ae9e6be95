"""The routes that issue presigned uploads."""

from datetime import UTC, datetime

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from s3_manifest.aws import runtime
from s3_manifest.edits.planning import PresignedUpload, plan_uploads
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.http.app import (
    ActorId,
    CollectionId,
    HttpResponse,
    Kind,
    actor_in_path,
    collection_in_path,
    require_scope,
)
from s3_manifest.http.edit_requests import ChangeResponse, change_response, editor_of
from s3_manifest.http.openapi import responses
from s3_manifest.manifest.collections import Collection, IdTooLong
from s3_manifest.query.cursors import BadParameter
from s3_manifest.sidecars.content import GenerationDeclaration

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # Powertools does not type it


class UploadPlanResponse(ChangeResponse):
    """The presigned ``uploads``, and the generation that they are declared to be from.

    The other fields are about the edited sidecars; the uploads themselves are still to be made.
    """

    uploads: tuple[PresignedUpload, ...]
    generation: GenerationDeclaration | None


_PLAN = responses({200: UploadPlanResponse}, 400, 404, 409, 413, 503)


@router.post("/api/training-data/<actor_id>/uploads", summary="Presign uploads of an actor's images", responses=_PLAN)
def post_uploads(actor_id: ActorId, request: UploadRequest) -> HttpResponse:
    """See the route of collections."""
    return _plan(actor_in_path(actor_id), request)


@router.post("/api/styles/<style_id>/uploads", summary="Presign uploads of a style's images", responses=_PLAN)
def post_style_uploads(style_id: CollectionId, request: UploadRequest) -> HttpResponse:
    """See the route of collections."""
    return post_collection_uploads("style", style_id, request)


@router.post("/api/manifests/<kind>/<collection_id>/uploads", summary="Presign uploads", responses=_PLAN)
def post_collection_uploads(kind: Kind, collection_id: CollectionId, request: UploadRequest) -> HttpResponse:
    """A URL and headers for each file. S3 refuses other bytes and, without ``overwrite``, to replace a file.

    Prompt and generation travel as user metadata. What is too long for that, or is in ``prompt_metadata.json`` already,
    which takes precedence, is set there now; a generation is declared in ``collection.json``. A repeat with the same
    ``generation_id`` creates only new URLs.
    """
    try:
        collection = collection_in_path(kind, collection_id)
    except IdTooLong as error:
        raise BadParameter("collection_id", str(error)) from error
    return _plan(collection, request)


def _plan(collection: Collection, request: UploadRequest) -> HttpResponse:
    if request.overwrite:
        # Replacing an object deletes the old one.
        require_scope(router.current_event.raw_event, "delete")
    editor = editor_of(collection, router.lambda_context)
    plan = plan_uploads(editor, request, runtime.store(collection).presigned_put, datetime.now(UTC))
    fields = plan.model_dump(mode="json", include={"uploads", "generation"})
    return change_response(collection, plan.change_token, **fields)
