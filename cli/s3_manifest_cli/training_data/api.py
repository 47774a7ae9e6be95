"""``TrainingDataAPI``: what a program does with actors' training data."""

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Unpack

import boto3
import urllib3
from botocore.config import Config
from pydantic import ValidationError

from s3_manifest.aws import messaging
from s3_manifest.aws.clients import s3_client
from s3_manifest.edits.uploads import MAX_IMAGES, GenerationRequest, UploadRequest
from s3_manifest.manifest.collections import DEFAULT_COLLECTIONS, DEFAULT_ROOT, parse_collections
from s3_manifest.manifest.model import Frozen, first_problem
from s3_manifest.query.training import ActorManifest
from s3_manifest.sidecars.formats import FileDescription, GenerationDeclaration
from s3_manifest.storage.s3 import S3Store
from s3_manifest.sweep.sweep import RECHECK_SECONDS
from s3_manifest_cli.client.access.http_api import HttpApi
from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.training_data.direct import S3Service
from s3_manifest_cli.training_data.files import LocalImage, image_of, put_all
from s3_manifest_cli.training_data.http import HttpService
from s3_manifest_cli.training_data.service import EditResult, ImageFields, TrainingDataService

WAIT_SECONDS = RECHECK_SECONDS + 60.0
"""How long a call waits for the manifest to be made, or to show what was done, unless it says how long.

A sweep that finds a difference looks at it again after ``RECHECK_SECONDS``, and is done after that.
"""


class UploadResult(Frozen):
    """What became of an upload: the filenames that were uploaded, that were there already, and that failed, and why.

    ``generation`` is the one they are declared to be from.
    """

    uploaded: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failed: Mapping[str, str] = {}
    generation: GenerationDeclaration | None = None
    reflects: tuple[str, ...] = ()


class TrainingDataAPI:
    """Actors' training data. An actor is named by its full name, its padded number or its number.

    Methods raise ``S3ManifestError``: ``NotFound``, ``Invalid``, ``Refused``, ``NotYet``, ``Unavailable``.
    """

    def __init__(self, service: TrainingDataService) -> None:
        self._service = service
        self._pool = urllib3.PoolManager(maxsize=32)

    def get_training_data(
        self, actor_id: str | int, *, force_rescan: bool = False, wait: float = WAIT_SECONDS
    ) -> ActorManifest:
        """The actor's images, with prompts, generations and totals.

        An actor that was never seen, but has objects in S3, gets its manifest first. ``force_rescan``
        has it compared with S3 first. Either is waited for, ``wait`` seconds at most: ``NotYet`` after that.
        """
        return self._service.read(str(actor_id), force_rescan=force_rescan, wait_seconds=wait)

    def rescan_s3(self, actor_id: str | int, *, wait: float = WAIT_SECONDS) -> ActorManifest:
        """Has the actor's manifest compared with what is in S3; what it says after that."""
        return self.get_training_data(actor_id, force_rescan=True, wait=wait)

    def update_training_image(self, actor_id: str | int, filename: str, **said: Unpack[ImageFields]) -> EditResult:
        """Says something of an image: ``prompt``, ``good``, ``labels``, ``hidden``. A repeat changes nothing."""
        return self.update_training_images(actor_id, {filename: said})

    def update_training_images(self, actor_id: str | int, said: Mapping[str, ImageFields]) -> EditResult:
        """Says something of many images in one edit: by filename, ``{"prompt": …, "good": …, "labels": […]}``."""
        for filename, one in said.items():
            try:
                FileDescription.model_validate(one)
            except ValidationError as error:
                raise Invalid(f"{filename}.{first_problem(error)}") from error
        return self._service.describe(str(actor_id), said)

    def delete_training_image(
        self, actor_id: str | int, filename: str, *, delete_from_s3: bool = False, etag: str | None = None
    ) -> EditResult:
        """Hides an image from the manifest's files or, with ``delete_from_s3``, deletes it.

        A hidden one stays in S3, and comes back with ``update_training_image(…, hidden=None)``. With an
        ``etag`` only the object that has it is deleted; one that is uploaded meanwhile never is.
        """
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
        """Uploads files, several at once, with their prompts (by filename) and the generation that made them.

        S3 checks their bytes. A file that is there already is left as it is, and is among the
        ``failed`` if its bytes are others, unless ``overwrite``. So a repeat uploads what failed, and no
        more. Raises ``Invalid`` before anything is uploaded where a name or a field cannot be.
        """
        locals_ = {one.name: one for one in (_local(image, prompts or {}) for image in images)}
        uploaded = UploadResult()
        wishes = [image_of(one) for one in locals_.values()] if locals_ else []
        for start in range(0, len(wishes), MAX_IMAGES):
            batch = wishes[start : start + MAX_IMAGES]
            try:
                wish = UploadRequest(images=tuple(batch), generation=generation, overwrite=overwrite)
            except ValidationError as error:
                raise Invalid(first_problem(error)) from error
            plan = self._service.plan(str(actor_id), wish)
            failed = put_all(self._pool, [(one, locals_[one.filename].path) for one in plan.uploads])
            unchanged = self._unchanged(actor_id, {one.filename: one.md5 for one in batch if one.filename in failed})
            done = [one for one in plan.uploads if one.filename not in failed]
            uploaded = UploadResult(
                uploaded=(*uploaded.uploaded, *(one.filename for one in done)),
                unchanged=(*uploaded.unchanged, *unchanged),
                failed={**uploaded.failed, **{n: str(e) for n, e in failed.items() if n not in unchanged}},
                generation=plan.generation,
                reflects=(*uploaded.reflects, *(one.reflects for one in done)),
            )
            if plan.generation:  # the next batch is of the same one
                generation = GenerationRequest(generation_id=plan.generation.generation_id, type=plan.generation.type)
        return uploaded

    def wait_for(self, actor_id: str | int, done: EditResult | UploadResult, *, wait: float = WAIT_SECONDS) -> bool:
        """Waits until the manifest shows what was done, ``wait`` seconds at most; whether it does."""
        if isinstance(done, UploadResult):
            return all(self._service.shows(str(actor_id), token, wait) for token in done.reflects)
        return (
            done.revision is not None
            or done.reflects is None
            or self._service.shows(str(actor_id), done.reflects, wait)
        )

    def _unchanged(self, actor_id: str | int, md5s: Mapping[str, str]) -> list[str]:
        """Those of the files that the actor has just so already."""
        if not md5s:
            return []
        known = {image.filename: image.md5_hash for image in self.get_training_data(actor_id).images}
        return [name for name, md5 in md5s.items() if known.get(name) == md5]


def get_training_data_api(
    api_url: str | None = None,
    *,
    token: str | None = None,
    bucket: str | None = None,
    sweep_queue_url: str | None = None,
    collections: str = DEFAULT_COLLECTIONS,
    manifest_root: str = DEFAULT_ROOT,
) -> TrainingDataAPI:
    """The API of one deployment: over HTTP with an ``api_url``, or in S3 directly with a ``bucket``.

    What is not given is taken from ``S3_MANIFEST_API_URL``, ``S3_MANIFEST_API_TOKEN``, ``S3_MANIFEST_BUCKET``
    and ``S3_MANIFEST_SWEEP_QUEUE_URL``. AWS credentials and region are boto3's own. In S3 directly,
    ``sweep_queue_url`` (the stack's output) is needed for rescans and for actors without a manifest.
    Raises ``Invalid`` where it is told neither, and ``InvalidCollections``.
    """
    environment = os.environ
    api_url = api_url or (None if bucket else environment.get("S3_MANIFEST_API_URL"))
    bucket = bucket or environment.get("S3_MANIFEST_BUCKET")
    if api_url:
        token = token or environment.get("S3_MANIFEST_API_TOKEN")
        return TrainingDataAPI(HttpService(HttpApi(api_url, boto3.Session(), token)))
    if not bucket:
        raise Invalid("give an api_url or a bucket, or set S3_MANIFEST_API_URL or S3_MANIFEST_BUCKET")
    queue_url = sweep_queue_url or environment.get("S3_MANIFEST_SWEEP_QUEUE_URL")
    enqueue = None
    if queue_url:
        sqs = boto3.client("sqs", config=Config(retries={"mode": "standard"}))
        enqueue = partial(messaging.send_jobs, sqs, queue_url, delay_seconds=0)
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    store = S3Store(bucket, s3_client(endpoint), s3_client(endpoint, retries=False))
    return TrainingDataAPI(S3Service(store, parse_collections(collections, manifest_root), enqueue))


def _local(image: LocalImage | Path | str, prompts: Mapping[str, str]) -> LocalImage:
    local = image if isinstance(image, LocalImage) else LocalImage(Path(image))
    return local._replace(prompt=prompts.get(local.name, local.prompt))
