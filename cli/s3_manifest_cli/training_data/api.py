"""``TrainingDataAPI``: reads and changes the training data of actors."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack, cast

import urllib3
from pydantic import ValidationError

from s3_manifest.aws.clients import s3_client
from s3_manifest.aws.threads import parallel_map
from s3_manifest.edits.planning import PresignedUpload
from s3_manifest.edits.uploads import MAX_IMAGES, GenerationRequest, ImageUpload, UploadRequest
from s3_manifest.manifest.model import first_problem
from s3_manifest.sidecars.content import FileDescription
from s3_manifest.storage.s3 import S3Store
from s3_manifest.sweep.sweep import RECHECK_SECONDS
from s3_manifest_cli.client.local.hashes import md5_of
from s3_manifest_cli.client.manifests.deployment import ConnectOptions, connect
from s3_manifest_cli.client.manifests.direct import S3Manifests
from s3_manifest_cli.errors import Invalid, Refused, Unavailable
from s3_manifest_cli.training_data.direct import S3Service
from s3_manifest_cli.training_data.http import HttpService
from s3_manifest_cli.training_data.location import NamedLocation
from s3_manifest_cli.training_data.results import ActorManifest, EditResult, GenerationDeclaration, UploadResult
from s3_manifest_cli.training_data.service import ImageFields, Service

if TYPE_CHECKING:
    from s3_manifest_cli.client.manifests.http import HttpManifests

WAIT_SECONDS = RECHECK_SECONDS + 60.0
"""How long a call waits by default for a manifest to be created, or to show a change.

A sweep that finds a difference checks it again after ``RECHECK_SECONDS``, and then ends.
"""


class LocalImage(NamedTuple):
    """A file to upload. ``filename`` is its name in the collection; if it is empty, that of the file."""

    path: Path
    filename: str = ""
    prompt: str | None = None
    generated_at: str | None = None

    @property
    def name(self) -> str:
        """Its name in the collection."""
        return self.filename or self.path.name

    def md5(self) -> str:
        """The MD5 of its bytes, in hex. Raises ``OSError``."""
        with self.path.open("rb") as file:
            return md5_of(file)

    def describe(self) -> ImageUpload:
        """Its description for an upload request. Raises ``OSError``, ``Invalid``."""
        try:
            return ImageUpload(
                filename=self.name,
                size=self.path.stat().st_size,
                md5=self.md5(),
                prompt=self.prompt,
                generated_at=self.generated_at,
                local_path=str(self.path),
            )
        except ValidationError as error:
            raise Invalid(f"{self.name}.{first_problem(error)}") from error


class TrainingDataAPI:
    """The training data of actors. An actor id is a full name, a padded number or a number.

    Results are dicts, lists and values that ``json.dumps`` accepts. ``bucket`` and ``s3_prefix`` may name where the
    actor's objects are: nothing is changed unless the deployment has the actor there. Threads may share an object.
    Methods raise ``S3ManifestError``: ``NotFound``, ``Invalid``, ``Refused``, ``NotYet``, ``Unavailable``.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pool = urllib3.PoolManager(maxsize=32)

    def get_training_data(
        self,
        actor_id: str | int,
        bucket: str | None = None,
        s3_prefix: str | None = None,
        force_rescan: bool = False,
        *,
        wait: float = WAIT_SECONDS,
    ) -> ActorManifest:
        """The images of an actor, with prompts, generations and totals.

        If the actor has objects but no manifest, the stack creates it first. With ``force_rescan`` the manifest is
        compared with S3 first. Raises ``NotYet`` if either takes longer than ``wait`` seconds.
        """
        location = NamedLocation(bucket, s3_prefix)
        return self._service.read(str(actor_id), location, force_rescan=force_rescan, wait_seconds=wait)

    def rescan_s3(
        self,
        actor_id: str | int,
        bucket: str | None = None,
        s3_prefix: str | None = None,
        *,
        wait: float = WAIT_SECONDS,
    ) -> ActorManifest:
        """Makes the stack compare the manifest with S3; returns the corrected manifest."""
        return self.get_training_data(actor_id, bucket, s3_prefix, force_rescan=True, wait=wait)

    def check_location(self, actor_id: str | int, bucket: str | None = None, s3_prefix: str | None = None) -> None:
        """Raises ``Invalid`` unless the deployment has the actor in this bucket and below this prefix.

        The actor need not exist. Without both arguments nothing is requested.
        """
        location, actor = NamedLocation(bucket, s3_prefix), str(actor_id)
        if not location.is_empty:
            location.check(actor, self._service.locate(actor))

    def update_training_image(self, actor_id: str | int, filename: str, **fields: Unpack[ImageFields]) -> EditResult:
        """Sets fields of an image: ``prompt``, ``good``, ``labels``, ``hidden``. A repeated call changes nothing."""
        return self.update_training_images(actor_id, {filename: fields})

    def update_training_images(self, actor_id: str | int, fields: Mapping[str, ImageFields]) -> EditResult:
        """Sets fields of images, by filename, in one edit: ``{"a.png": {"prompt": …, "good": …, "labels": […]}}``."""
        for filename, image_fields in fields.items():
            try:
                FileDescription.model_validate(image_fields)
            except ValidationError as error:
                raise Invalid(f"{filename}.{first_problem(error)}") from error
        return self._service.describe(str(actor_id), fields)

    def delete_training_image(
        self,
        actor_id: str | int,
        filename: str,
        *,
        delete_from_s3: bool = False,
        etag: str | None = None,
        bucket: str | None = None,
        s3_prefix: str | None = None,
    ) -> EditResult:
        """Hides an image from the manifest or, with ``delete_from_s3``, deletes it.

        A hidden image stays in S3; ``update_training_image(…, hidden=None)`` shows it again. With an ``etag``, only
        the object with that ETag is deleted; an object that is uploaded meanwhile never is.
        """
        self.check_location(actor_id, bucket, s3_prefix)
        if delete_from_s3:
            return self._service.delete(str(actor_id), filename, etag)
        return self._service.describe(str(actor_id), {filename: {"hidden": True}})

    def upload_training_images(
        self,
        actor_id: str | int,
        images: Iterable[LocalImage | Path | str],
        *,
        prompts: Mapping[str, str] | None = None,
        generation: GenerationRequest | None = None,
        overwrite: bool = False,
    ) -> UploadResult:
        """Uploads files in parallel, with their prompts (by filename) and the generation that made them.

        S3 verifies the bytes. An existing file is left as it is, and fails if its bytes differ, unless ``overwrite`` is
        set; so a repeated call uploads only what failed. Raises ``Invalid`` before any upload if a name or field is
        invalid.
        """
        local = (image if isinstance(image, LocalImage) else LocalImage(Path(image)) for image in images)
        files = {file.name: file._replace(prompt=(prompts or {}).get(file.name, file.prompt)) for file in local}
        done: list[PresignedUpload] = []
        unchanged: list[str] = []
        failed: dict[str, str] = {}
        declared: GenerationDeclaration | None = None
        described = [file.describe() for file in files.values()]
        for start in range(0, len(described), MAX_IMAGES):
            batch = tuple(described[start : start + MAX_IMAGES])
            try:
                request = UploadRequest(images=batch, generation=generation, overwrite=overwrite)
            except ValidationError as error:
                raise Invalid(first_problem(error)) from error
            plan = self._service.plan(str(actor_id), request)
            errors = self._put_all([(upload, files[upload.filename].path) for upload in plan.uploads])
            # A file that failed because it exists may have the same bytes.
            saved = self.get_training_data(actor_id)["images"] if errors else ()
            known = {(image["filename"], image["md5_hash"]) for image in saved}
            unchanged += (
                image.filename for image in batch if image.filename in errors and (image.filename, image.md5) in known
            )
            failed |= {name: str(error) for name, error in errors.items() if name not in unchanged}
            done += (upload for upload in plan.uploads if upload.filename not in errors)
            if plan.generation:  # the next batch belongs to the same one
                declared = cast("GenerationDeclaration", plan.generation.model_dump(mode="json"))
                generation = GenerationRequest(generation_id=declared["generation_id"], type=declared["type"])
        return UploadResult(
            uploaded=[upload.filename for upload in done],
            unchanged=unchanged,
            failed=failed,
            generation=declared,
            reflects=[upload.reflects for upload in done],
        )

    def wait_for(self, actor_id: str | int, result: EditResult | UploadResult, *, wait: float = WAIT_SECONDS) -> bool:
        """Waits up to ``wait`` seconds for the manifest to show a change; returns whether it does."""
        if "uploaded" in result:
            tokens = result["reflects"]
        else:
            tokens = [result["reflects"]] if result["reflects"] and result["revision"] is None else []
        return all(self._service.shows(str(actor_id), token, wait) for token in tokens)

    def _put_all(self, uploads: list[tuple[PresignedUpload, Path]]) -> dict[str, Exception]:
        """Uploads files in parallel; returns the errors by filename.

        S3 refuses bytes that differ from the request, and replaces an object only if the request asks for it.
        """

        def put(entry: tuple[PresignedUpload, Path]) -> Exception | None:
            upload, path = entry
            try:
                with path.open("rb") as file:
                    # No retries: after a lost response, a second PUT would be refused because of the first.
                    response = self._pool.request(
                        upload.method, upload.url, body=file, headers=dict(upload.headers), retries=False
                    )
            except urllib3.exceptions.HTTPError as error:
                return Unavailable(f"{upload.filename}: not uploaded: {error}")
            except OSError as error:
                return error
            return _refusal(upload.filename, response)

        errors = parallel_map(put, uploads)
        return {upload.filename: error for (upload, _), error in zip(uploads, errors, strict=True) if error}


def _refusal(filename: str, response: urllib3.BaseHTTPResponse) -> Exception | None:
    if response.status == 412:
        return Refused(f"{filename}: not uploaded, the file exists. Pass overwrite=True to replace it.")
    if 400 <= response.status < 500:
        return Refused(f"{filename}: refused by S3: {response.status} {response.data[:300].decode(errors='replace')}")
    if response.status >= 300:
        return Unavailable(f"{filename}: not uploaded: HTTP status {response.status}")
    return None


def get_training_data_api(url: str | None = None, /, **options: Unpack[ConnectOptions]) -> TrainingDataAPI:
    """The API of one deployment: over HTTP with a ``url`` (or ``api_url``), or in S3 with a ``stack`` or ``bucket``.

    The options are those of ``s3_manifest_cli.connect``, and missing ones come from the environment as there. Where no
    deployment is passed, ``S3_MANIFEST_STACK`` names it, then ``S3_MANIFEST_API_URL``, then ``S3_MANIFEST_BUCKET``.
    Directly in S3, the sweep queue is required for rescans, and for actors without a manifest: a stack names it, with a
    bucket pass ``sweep_queue_url``. Raises ``Invalid`` if no deployment is named, ``NotFound``, ``Unavailable``.
    """
    if url:
        options["api_url"] = url
    env = os.environ.get
    if not (options.get("api_url") or options.get("bucket") or options.get("stack") or env("S3_MANIFEST_STACK")):
        options["api_url"] = env("S3_MANIFEST_API_URL")
        if not (options["api_url"] or env("S3_MANIFEST_BUCKET")):
            raise Invalid(
                "No deployment is named.",
                remedy="Pass stack, api_url or bucket, or set S3_MANIFEST_STACK, S3_MANIFEST_API_URL or"
                " S3_MANIFEST_BUCKET.",
            )
    if options.get("api_url"):
        options["bucket"] = None
    deployment = connect(**options)
    manifests = deployment.manifests
    if isinstance(manifests, S3Manifests):
        reads = s3_client(deployment.endpoint, session=deployment.session)
        writes = s3_client(deployment.endpoint, retries=False, session=deployment.session)
        stores = {name: S3Store(name, reads, writes) for name in deployment.collections.buckets}
        return TrainingDataAPI(S3Service(stores, deployment.collections, manifests.enqueue))
    return TrainingDataAPI(HttpService(cast("HttpManifests", manifests).api))
