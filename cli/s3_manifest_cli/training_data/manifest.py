"""``TrainingDataManifest``: stages changes of an actor's training data, and applies them to S3 with ``save``."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Unpack

from pydantic import JsonValue, ValidationError

from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest.manifest.model import first_problem
from s3_manifest_cli.errors import Invalid, NotFound, S3ManifestError
from s3_manifest_cli.training_data.api import LocalImage, TrainingDataAPI, get_training_data_api
from s3_manifest_cli.training_data.results import ActorImage, SaveResult, StagedGeneration, StagedImage
from s3_manifest_cli.training_data.service import ImageFields


class _Addition(NamedTuple):
    local: LocalImage
    generation: int | None
    """Its number among the staged ones."""
    overwrite: bool


class TrainingDataManifest:
    """Staged changes of one actor. Nothing is changed in S3 before ``save``. Not thread-safe.

    With a ``bucket`` or ``s3_prefix``, nothing is read or changed unless the deployment has the actor there.
    """

    def __init__(
        self,
        actor_id: str | int,
        bucket: str | None = None,
        s3_prefix: str | None = None,
        *,
        api: TrainingDataAPI | None = None,
    ) -> None:
        self.actor_id = actor_id
        self.bucket = bucket
        self.s3_prefix = s3_prefix
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

        It is declared with the first of its images. Raises ``Invalid``.
        """
        try:
            request = GenerationRequest(
                generation_id=generation_id, type=type, generated_at=generated_at, metadata=metadata
            )
        except ValidationError as error:
            raise Invalid(f"generation {type}: {first_problem(error)}.") from error
        self._generations.append(request)
        return StagedGeneration(
            number=len(self._generations) - 1, generation_id=request.generation_id, type=request.type
        )

    def add_image(
        self,
        path: Path | str,
        *,
        filename: str = "",
        prompt: str | None = None,
        generated_at: str | None = None,
        generation: StagedGeneration | int | str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Stages the upload of a file, as ``filename`` or with its own name.

        ``generation`` is what ``add_generation`` returned, or its ``generation_id``. Raises ``Invalid`` if it is
        neither.
        """
        number = None if generation is None else self._number_of(generation)
        local = LocalImage(Path(path), filename, prompt, generated_at)
        self._removed.pop(local.name, None)
        self._added[local.name] = _Addition(local, number, overwrite)

    def remove_image(self, filename: str, *, delete_from_s3: bool = False) -> None:
        """Stages hiding an image, or deleting it with ``delete_from_s3``; a staged upload is dropped."""
        self._updated.pop(filename, None)
        if self._added.pop(filename, None) is None:
            self._removed[filename] = delete_from_s3

    def update_image(self, filename: str, **fields: Unpack[ImageFields]) -> None:
        """Stages fields of an image: ``prompt``, ``good``, ``labels``, ``hidden``."""
        self._updated[filename] = {**self._updated.get(filename, {}), **fields}

    def get_all_images(self) -> list[StagedImage]:
        """The images of the actor with the staged changes, by filename. Raises ``S3ManifestError``."""
        try:
            saved = self._api.get_training_data(self.actor_id, self.bucket, self.s3_prefix)["images"]
        except NotFound:
            saved = []
        images = {image["filename"]: _saved_image(image) for image in saved if image["filename"] not in self._removed}
        images |= {name: self._added_image(addition) for name, addition in self._added.items()}
        for name in self._updated.keys() & images.keys():
            image, fields = images[name], self._updated[name]
            image["prompt"] = fields.get("prompt", image["prompt"])
            image["good"] = fields.get("good", image["good"]) is not False
            if image["staged"] == "no":
                image["staged"] = "updated"
        hidden = {name for name, fields in self._updated.items() if fields.get("hidden")}
        return [images[name] for name in sorted(images.keys() - hidden)]

    def save(self) -> SaveResult:
        """Applies the staged changes: uploads, then fields of images, then removals.

        Applied changes are no longer staged, so a repeated call retries only what failed. Raises ``S3ManifestError``
        if a whole step fails; the remaining changes stay staged.
        """
        self._api.check_location(self.actor_id, self.bucket, self.s3_prefix)
        saved = self._upload()
        failed = saved["failed"]
        updates = {name: fields for name, fields in self._updated.items() if name not in failed}
        hidden = [name for name, is_deleted in self._removed.items() if not is_deleted]
        updates |= {name: {**updates.get(name, {}), "hidden": True} for name in hidden}
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
        saved["updated"] = [name for name in updates if name not in removed]
        saved["removed"] = removed
        return saved

    def _upload(self) -> SaveResult:
        # One upload request for each generation, or none (-1), with and without overwriting.
        groups: defaultdict[tuple[int, bool], list[LocalImage]] = defaultdict(list)
        for addition in self._added.values():
            number = -1 if addition.generation is None else addition.generation
            groups[number, addition.overwrite].append(addition.local)
        saved = SaveResult(uploaded=[], unchanged=[], updated=[], removed=[], failed={}, generations=[])
        for (number, overwrite), files in sorted(groups.items()):
            generation = self._generations[number] if number >= 0 else None
            result = self._api.upload_training_images(self.actor_id, files, generation=generation, overwrite=overwrite)
            if generation and (declared := result["generation"]):
                # A repeated call must add to the same generation.
                self._generations[number] = GenerationRequest(
                    generation_id=declared["generation_id"], type=declared["type"]
                )
                saved["generations"].append(declared)
            for name in (*result["uploaded"], *result["unchanged"]):
                del self._added[name]
            saved["uploaded"] += result["uploaded"]
            saved["unchanged"] += result["unchanged"]
            saved["failed"] |= result["failed"]
        return saved

    def _number_of(self, generation: StagedGeneration | int | str) -> int:
        """The number of a staged generation, or of the one with this id."""
        if isinstance(generation, dict):
            numbers = [generation["number"]] if generation["number"] < len(self._generations) else []
        else:
            ids = [staged.generation_id for staged in self._generations]
            numbers = [number for number, id_ in enumerate(ids) if id_ == generation]
        if len(numbers) != 1:
            count = "several staged generations" if numbers else "no staged generation"
            raise Invalid(
                f"{generation!r} names {count} of actor {self.actor_id}.",
                remedy="Pass what add_generation of the same manifest returned.",
            )
        return numbers[0]

    def _added_image(self, addition: _Addition) -> StagedImage:
        generation = None if addition.generation is None else self._generations[addition.generation]
        return StagedImage(
            filename=addition.local.name,
            prompt=addition.local.prompt,
            good=True,
            s3_url=None,
            generated_at=addition.local.generated_at,
            generation_id=generation.generation_id if generation else None,
            generation_type=generation.type if generation else None,
            staged="added",
        )


def _saved_image(image: ActorImage) -> StagedImage:
    return StagedImage(
        filename=image["filename"],
        prompt=image["prompt"],
        good=image["good"],
        s3_url=image["s3_url"],
        generated_at=image["generated_at"],
        generation_id=image["generation_id"],
        generation_type=image["generation_type"],
        staged="no",
    )
