"""``TrainingDataManifest``: stages changes of an actor's training data, and applies them to S3 with ``save``."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, Unpack

from pydantic import JsonValue

from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest.manifest.model import Frozen, Timestamp
from s3_manifest.sidecars.content import GenerationDeclaration
from s3_manifest_cli.errors import NotFound, S3ManifestError
from s3_manifest_cli.training_data.api import LocalImage, TrainingDataAPI, get_training_data_api
from s3_manifest_cli.training_data.service import ImageFields


class StagedGeneration(NamedTuple):
    """A staged generation for images; without an explicit id, it gets one when it is saved."""

    number: int


class Image(Frozen):
    """An image with its staged changes. ``s3_url`` is None until it is uploaded."""

    filename: str
    prompt: str | None
    good: bool
    s3_url: str | None
    generated_at: Timestamp | None
    generation_id: int | str | None
    generation_type: str | None
    staged: Literal["no", "added", "updated"]


class SaveResult(Frozen):
    """The filenames that were changed in S3, and those that failed (with the reason) and stay staged."""

    uploaded: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: Mapping[str, str] = {}
    generations: tuple[GenerationDeclaration, ...] = ()


class _Addition(NamedTuple):
    local: LocalImage
    generation: StagedGeneration | None
    overwrite: bool


class TrainingDataManifest:
    """Staged changes of one actor. Nothing is changed in S3 before ``save``. Not thread-safe."""

    def __init__(self, actor_id: str | int, api: TrainingDataAPI | None = None) -> None:
        self.actor_id = actor_id
        self._api = api or get_training_data_api()
        self._generations: list[GenerationRequest] = []
        self._added: dict[str, _Addition] = {}
        self._updated: dict[str, ImageFields] = {}
        self._removed: dict[str, bool] = {}

    def add_generation(
        self,
        type: str,  # noqa: A002  # its name in the manifest
        *,
        generation_id: int | str | None = None,
        generated_at: str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
    ) -> StagedGeneration:
        """Stages a generation (``type`` such as ``replicate_flux_kontext``) for ``add_image``.

        It is declared with the first of its images. Raises ``pydantic.ValidationError``.
        """
        self._generations.append(
            GenerationRequest(generation_id=generation_id, type=type, generated_at=generated_at, metadata=metadata)
        )
        return StagedGeneration(len(self._generations) - 1)

    def add_image(
        self,
        path: Path | str,
        *,
        filename: str = "",
        prompt: str | None = None,
        generated_at: str | None = None,
        generation: StagedGeneration | None = None,
        overwrite: bool = False,
    ) -> None:
        """Stages the upload of a file, as ``filename`` or with its own name."""
        local = LocalImage(Path(path), filename, prompt, generated_at)
        self._removed.pop(local.name, None)
        self._added[local.name] = _Addition(local, generation, overwrite)

    def remove_image(self, filename: str, *, delete_from_s3: bool = False) -> None:
        """Stages hiding an image, or deleting it with ``delete_from_s3``; a staged upload is dropped."""
        self._updated.pop(filename, None)
        if self._added.pop(filename, None) is None:
            self._removed[filename] = delete_from_s3

    def update_image(self, filename: str, **fields: Unpack[ImageFields]) -> None:
        """Stages fields of an image: ``prompt``, ``good``, ``labels``, ``hidden``."""
        self._updated[filename] = {**self._updated.get(filename, {}), **fields}

    def get_all_images(self) -> list[Image]:
        """The images of the actor with the staged changes, by filename. Raises ``S3ManifestError``."""
        try:
            saved = self._api.get_training_data(self.actor_id).images
        except NotFound:
            saved = ()
        shared_fields = Image.model_fields.keys() - {"staged"}
        images = {
            image.filename: Image(**image.model_dump(include=shared_fields), staged="no")
            for image in saved
            if image.filename not in self._removed
        }
        images |= {name: self._added_image(addition) for name, addition in self._added.items()}
        for name in self._updated.keys() & images.keys():
            image, fields = images[name], self._updated[name]
            update = {
                "prompt": fields.get("prompt", image.prompt),
                "good": fields.get("good", image.good) is not False,
                "staged": "added" if image.staged == "added" else "updated",
            }
            images[name] = image.model_copy(update=update)
        hidden = {name for name, fields in self._updated.items() if fields.get("hidden")}
        return [images[name] for name in sorted(images.keys() - hidden)]

    def save(self) -> SaveResult:
        """Applies the staged changes: uploads, then fields of images, then removals.

        Applied changes are no longer staged, so a repeated call retries only what failed. Raises ``S3ManifestError``
        if a whole step fails; the remaining changes stay staged.
        """
        saved = self._upload()
        updates = {name: fields for name, fields in self._updated.items() if name not in saved.failed}
        hidden = [name for name, is_deleted in self._removed.items() if not is_deleted]
        updates |= {name: {**updates.get(name, {}), "hidden": True} for name in hidden}
        failed = dict(saved.failed)
        if updates:
            self._api.update_training_images(self.actor_id, updates)
            self._updated = {name: fields for name, fields in self._updated.items() if name not in updates}
        removed = hidden
        for name in [name for name, is_deleted in self._removed.items() if is_deleted]:
            try:
                with suppress(NotFound):  # deleted already
                    self._api.delete_training_image(self.actor_id, name, delete_from_s3=True)
            except S3ManifestError as error:
                failed[name] = str(error)
            else:
                removed.append(name)
        self._removed = {name: is_deleted for name, is_deleted in self._removed.items() if name not in removed}
        updated = tuple(name for name in updates if name not in removed)
        return saved.model_copy(update={"updated": updated, "removed": tuple(removed), "failed": failed})

    def _upload(self) -> SaveResult:
        # One upload request for each generation, or none (-1), with and without overwriting.
        groups: defaultdict[tuple[int, bool], list[LocalImage]] = defaultdict(list)
        for addition in self._added.values():
            groups[addition.generation.number if addition.generation else -1, addition.overwrite].append(addition.local)
        saved = SaveResult()
        for (number, overwrite), files in sorted(groups.items()):
            generation = self._generations[number] if number >= 0 else None
            result = self._api.upload_training_images(self.actor_id, files, generation=generation, overwrite=overwrite)
            if result.generation and number >= 0:
                # A repeated call must add to the same generation.
                self._generations[number] = GenerationRequest(
                    generation_id=result.generation.generation_id, type=result.generation.type
                )
            for name in (*result.uploaded, *result.unchanged):
                del self._added[name]
            saved = SaveResult(
                uploaded=saved.uploaded + result.uploaded,
                unchanged=saved.unchanged + result.unchanged,
                failed={**saved.failed, **result.failed},
                generations=saved.generations + ((result.generation,) if result.generation else ()),
            )
        return saved

    def _added_image(self, addition: _Addition) -> Image:
        generation = self._generations[addition.generation.number] if addition.generation else None
        return Image(
            filename=addition.local.name,
            prompt=addition.local.prompt,
            good=True,
            s3_url=None,
            generated_at=addition.local.generated_at,
            generation_id=generation and generation.generation_id,
            generation_type=generation and generation.type,
            staged="added",
        )
