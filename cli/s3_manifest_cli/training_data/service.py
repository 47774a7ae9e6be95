"""What training data is read and changed through: a deployed HTTP API, or S3 itself. Same results, same errors."""

from collections.abc import Mapping
from typing import Protocol, TypedDict

from s3_manifest.edits.planning import PresignedUpload
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.manifest.model import Frozen
from s3_manifest.query.training import ActorManifest
from s3_manifest.sidecars.formats import GenerationDeclaration


class ImageFields(TypedDict, total=False):
    """What is to be said of an image; None takes back what was said before, and what is left out stays."""

    prompt: str | None
    good: bool | None
    labels: list[str] | None
    hidden: bool | None


class EditResult(Frozen):
    """What was done in S3, and whether the manifest shows it by now.

    ``revision`` is one that shows it; None before, and then ``reflects`` is the token to wait with.
    """

    actor_name: str
    revision: int | None
    reflects: str | None


class UploadPlan(Frozen):
    """Uploads to be made, each by one PUT with exactly its headers, and the generation they are from."""

    uploads: tuple[PresignedUpload, ...]
    generation: GenerationDeclaration | None


class TrainingDataService(Protocol):
    """One deployment. Any method may raise ``S3ManifestError``.

    ``actor`` is a full name, a padded number or a number.
    """

    def read(self, actor: str, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        """Its manifest; one that is not there is made, one to be rescanned compared with S3, waited for so long."""
        ...

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        """Whether the manifest shows the change with that token, waited for so long."""
        ...

    def describe(self, actor: str, said: Mapping[str, ImageFields]) -> EditResult:
        """Sets fields of files (prompt, good, labels, hidden, …), all in one edit; None takes a field out."""
        ...

    def delete(self, actor: str, filename: str, etag: str | None) -> EditResult:
        """Deletes a file in S3; with an ``etag`` only the object that has it."""
        ...

    def plan(self, actor: str, wish: UploadRequest) -> UploadPlan:
        """Prepares uploads: names checked, the generation declared, each presigned."""
        ...
