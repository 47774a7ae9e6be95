"""The HTTP routes that hand out presigned uploads."""

from datetime import UTC, datetime
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from s3_manifest.aws import runtime
from s3_manifest.edits.planning import InvalidCollectionId, InvalidFilenames, PresignedUpload, plan_uploads
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.http import scopes
from s3_manifest.http.api_docs import answers
from s3_manifest.http.edit_requests import ChangeResponse, actor_of, answered, collection_of, retry_policy
from s3_manifest.http.web import ActorId, Answer, CollectionId, Kind, problem
from s3_manifest.manifest.collections import Collection, IdTooLong
from s3_manifest.sidecars.formats import GenerationDeclaration

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # Powertools does not type it


class UploadPlanResponse(ChangeResponse):
    """The ``uploads`` to make, and the generation they are declared to be from.

    What of it is about the manifest is about the sidecars alone: the uploads are still to come.
    """

    uploads: tuple[PresignedUpload, ...]
    generation: GenerationDeclaration | None


Wish = Annotated[UploadRequest, Body()]
_PLANS = answers({200: UploadPlanResponse}, 400, 404, 409, 413, 503)


@router.post(
    "/api/training-data/<actor_id>/uploads", summary="Presigned uploads of an actor's images", responses=_PLANS
)
def post_uploads(actor_id: ActorId, wish: Wish) -> Answer:
    """See the route for any collection."""
    return _planned(actor_of(actor_id), wish)


@router.post("/api/styles/<style_id>/uploads", summary="Presigned uploads of a style's images", responses=_PLANS)
def post_style_uploads(style_id: CollectionId, wish: Wish) -> Answer:
    """See the route for any collection."""
    return post_collection_uploads("style", style_id, wish)


@router.post("/api/manifests/<kind>/<collection_id>/uploads", summary="Presigned uploads", responses=_PLANS)
def post_collection_uploads(kind: Kind, collection_id: CollectionId, wish: Wish) -> Answer:
    """A URL and headers for each, by which S3 itself refuses other bytes and, unless ``overwrite``, to replace a file.

    Prompt and generation travel as user metadata. What is too long for that, or told already by
    ``prompt_metadata.json``, which counts more, is set there at once; a generation is declared in
    ``collection.json``. A repeat with the same ``generation_id`` makes nothing new but the URLs.
    """
    try:
        collection = collection_of(kind, collection_id)
    except IdTooLong as error:
        return problem(400, str(error), parameter="collection_id")
    return _planned(collection, wish)


def _planned(collection: Collection, wish: UploadRequest) -> Answer:
    if wish.overwrite:
        # What is replaced is gone, as if it were deleted.
        scopes.require(router.current_event.raw_event, "delete")
    try:
        plan = plan_uploads(
            runtime.store(),
            runtime.collections(),
            collection,
            wish,
            datetime.now(UTC),
            retry_policy(router.lambda_context),
        )
    except InvalidCollectionId as bad:
        return problem(400, str(bad), parameter="id")
    except InvalidFilenames as bad:
        return problem(400, str(bad), parameter=f"images.{bad.found[0].at}.filename")
    done = {
        "uploads": [one.model_dump() for one in plan.uploads],
        "generation": plan.generation and plan.generation.model_dump(mode="json"),
    }
    return answered(collection, plan.change_token, **done)
