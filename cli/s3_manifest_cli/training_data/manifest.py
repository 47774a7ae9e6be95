"""``TrainingDataManifest``: changes of an actor's training data, staged, and then carried out on S3."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Unpack

from pydantic import JsonValue

from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest.manifest.model import Frozen, Timestamp
from s3_manifest.sidecars.formats import GenerationDeclaration
from s3_manifest_cli.errors import NotFound, S3ManifestError
from s3_manifest_cli.training_data.api import TrainingDataAPI, get_training_data_api
from s3_manifest_cli.training_data.files import LocalImage
from s3_manifest_cli.training_data.service import ImageFields


class StagedGeneration(NamedTuple):
    """A generation that images are to be added to; its id is known once it is saved, if none was given."""

    number: int


class Image(Frozen):
    """An image as it is, or will be once the manifest is saved. ``s3_url`` is None until it is uploaded."""

    filename: str
    prompt: str | None
    good: bool
    s3_url: str | None
    generated_at: Timestamp | None
    generation_id: int | str | None
    generation_type: str | None
    staged: Literal["no", "added", "updated"]


class SaveResult(Frozen):
    """What was carried out on S3, by filename, and what failed, and why: that stays staged."""

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
    """One actor's. Nothing is changed in S3 before ``save``; not for several threads at once."""

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
        """Stages a generation (``type`` such as ``replicate_flux_kontext``), to be given to ``add_image``.

        It is declared with the first of its images. Raises ``pydantic.ValidationError``.
        """
        given = {"generation_id": generation_id, "type": type, "generated_at": generated_at, "metadata": metadata}
        self._generations.append(GenerationRequest.model_validate(given))
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
        """Stages the upload of a file, under its own name or ``filename``."""
        local = LocalImage(Path(path), filename, prompt, generated_at)
        self._removed.pop(local.name, None)
        self._added[local.name] = _Addition(local, generation, overwrite)

    def remove_image(self, filename: str, *, delete_from_s3: bool = False) -> None:
        """Stages that an image is hidden or, with ``delete_from_s3``, deleted; one just added is not uploaded."""
        self._updated.pop(filename, None)
        if self._added.pop(filename, None) is None:
            self._removed[filename] = delete_from_s3

    def update_image(self, filename: str, **said: Unpack[ImageFields]) -> None:
        """Stages what is to be said of an image: ``prompt``, ``good``, ``labels``, ``hidden``."""
        self._updated[filename] = {**self._updated.get(filename, {}), **said}

    def get_all_images(self) -> list[Image]:
        """The actor's images with all that is staged, by filename. Raises ``S3ManifestError``."""
        try:
            saved = self._api.get_training_data(self.actor_id).images
        except NotFound:
            saved = ()
        images = {
            one.filename: Image(
                filename=one.filename,
                prompt=one.prompt,
                good=one.good,
                s3_url=one.s3_url,
                generated_at=one.generated_at,
                generation_id=one.generation_id,
                generation_type=one.generation_type,
                staged="no",
            )
            for one in saved
            if one.filename not in self._removed
        }
        images |= {name: self._as_added(one) for name, one in self._added.items()}
        for name, said in self._updated.items():
            if name in images:
                images[name] = _as_updated(images[name], said)
        hidden = {name for name, said in self._updated.items() if said.get("hidden")}
        return [images[name] for name in sorted(images.keys() - hidden)]

    def save(self) -> SaveResult:
        """Carries out what is staged: uploads, then what is said of images, then removals.

        What was done is staged no more, so that a repeat does what failed. Raises ``S3ManifestError`` where
        nothing of a step could be done; what is left is still staged then.
        """
        saved = self._upload()
        said = {name: one for name, one in self._updated.items() if name not in saved.failed}
        said |= {name: {**said.get(name, {}), "hidden": True} for name, deletes in self._removed.items() if not deletes}
        failed = dict(saved.failed)
        if said:
            self._api.update_training_images(self.actor_id, said)
            self._updated = {name: one for name, one in self._updated.items() if name not in said}
        removed = [name for name, deletes in self._removed.items() if not deletes]
        for name in [name for name, deletes in self._removed.items() if deletes]:
            try:
                self._api.delete_training_image(self.actor_id, name, delete_from_s3=True)
            except NotFound:
                removed.append(name)  # as it was to be
            except S3ManifestError as error:
                failed[name] = str(error)
            else:
                removed.append(name)
        self._removed = {name: deletes for name, deletes in self._removed.items() if name not in removed}
        updated = tuple(name for name in said if name not in removed)
        return saved.model_copy(update={"updated": updated, "removed": tuple(removed), "failed": failed})

    def _upload(self) -> SaveResult:
        saved = SaveResult()
        for number, overwrite in sorted({_group(one) for one in self._added.values()}):
            group = [one.local for one in self._added.values() if _group(one) == (number, overwrite)]
            generation = self._generations[number] if number >= 0 else None
            done = self._api.upload_training_images(self.actor_id, group, generation=generation, overwrite=overwrite)
            if done.generation and number >= 0:
                # A repeat adds to the same one.
                self._generations[number] = GenerationRequest(
                    generation_id=done.generation.generation_id, type=done.generation.type
                )
            for name in (*done.uploaded, *done.unchanged):
                del self._added[name]
            saved = SaveResult(
                uploaded=saved.uploaded + done.uploaded,
                unchanged=saved.unchanged + done.unchanged,
                failed={**saved.failed, **done.failed},
                generations=saved.generations + ((done.generation,) if done.generation else ()),
            )
        return saved

    def _as_added(self, one: _Addition) -> Image:
        generation = self._generations[one.generation.number] if one.generation else None
        return Image(
            filename=one.local.name,
            prompt=one.local.prompt,
            good=True,
            s3_url=None,
            generated_at=one.local.generated_at,
            generation_id=generation and generation.generation_id,
            generation_type=generation and generation.type,
            staged="added",
        )


def _group(one: _Addition) -> tuple[int, bool]:
    return (one.generation.number if one.generation else -1, one.overwrite)


def _as_updated(image: Image, said: ImageFields) -> Image:
    good = said.get("good", image.good)
    staged = "added" if image.staged == "added" else "updated"
    update = {"prompt": said.get("prompt", image.prompt), "good": good is not False, "staged": staged}
    return image.model_copy(update=update)
