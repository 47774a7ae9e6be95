"""The interface that ``HttpService`` and ``S3Service`` share: what ``TrainingDataAPI`` needs of a deployment."""

from collections.abc import Mapping
from typing import Protocol, TypedDict

from s3_manifest.edits.planning import UploadPlan
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest_cli.training_data.location import ActorLocation, NamedLocation
from s3_manifest_cli.training_data.results import ActorManifest, EditResult


class ImageFields(TypedDict, total=False):
    """Fields to set for an image. None removes a field; a missing field is not changed."""

    prompt: str | None
    good: bool | None
    labels: list[str] | None
    hidden: bool | None


class Service(Protocol):
    """The training data of a deployment, with the same results and errors over HTTP and in S3. Safe to share."""

    def locate(self, actor: str) -> ActorLocation:
        """Where the deployment has an actor, or would have it. Requests no sweep of an actor with a manifest."""

    def read(self, actor: str, location: NamedLocation, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        """The images of an actor at this location, else ``Invalid``; a missing manifest is created, and awaited."""

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        """Whether the manifest shows the change of this token within so many seconds."""

    def describe(self, actor: str, fields: Mapping[str, ImageFields]) -> EditResult:
        """Sets fields of images, by filename."""

    def delete(self, actor: str, filename: str, etag: str | None) -> EditResult:
        """Deletes an image from S3; with an ETag, only the object that has it."""

    def plan(self, actor: str, request: UploadRequest) -> UploadPlan:
        """The presigned uploads of a request."""
