"""The interface to one deployment, implemented over HTTP and in S3 with the same results and errors."""

from collections.abc import Mapping
from typing import Protocol, TypedDict

from s3_manifest.edits.planning import PresignedUpload
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.manifest.model import Frozen
from s3_manifest.query.training import ActorManifest
from s3_manifest.sidecars.content import GenerationDeclaration


class ImageFields(TypedDict, total=False):
    """Fields to set for an image. None removes a field; a missing field is not changed."""

    prompt: str | None
    good: bool | None
    labels: list[str] | None
    hidden: bool | None


class EditResult(Frozen):
    """The result of an edit in S3. ``revision`` shows it; if it is None, wait with the token ``reflects``."""

    actor_name: str
    revision: int | None
    reflects: str | None


class UploadPlan(Frozen):
    """Prepared uploads, each one PUT with exactly its headers, and the generation of the images."""

    uploads: tuple[PresignedUpload, ...]
    generation: GenerationDeclaration | None = None


class TrainingDataService(Protocol):
    """One deployment. ``actor`` is a full name, a padded number or a number. Methods raise ``S3ManifestError``."""

    def read(self, actor: str, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        """The manifest. Waits so long for one that has to be created, or compared with S3."""

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        """Waits so long for the manifest to show the change with that token; returns whether it does."""

    def describe(self, actor: str, fields: Mapping[str, ImageFields]) -> EditResult:
        """Sets fields of images, all in one edit."""

    def delete(self, actor: str, filename: str, etag: str | None) -> EditResult:
        """Deletes an image in S3; with an ``etag``, only that object."""

    def plan(self, actor: str, request: UploadRequest) -> UploadPlan:
        """Prepares uploads: checks the names, declares the generation, presigns each upload."""
