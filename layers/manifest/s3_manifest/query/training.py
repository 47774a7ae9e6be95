"""Training images of an actor, in the two formats that training tools read.

Training images are the files of the manifest with the suffix of an image; captions and hidden files are not.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Generation, Head, Timestamp
from s3_manifest.query.actors import number_of
from s3_manifest.query.answers import MAX_ANSWER_BYTES, AnswerModel, AnswerTooLarge, escaped_size
from s3_manifest.query.history import NoSuchRevision
from s3_manifest.query.reads import Document, retry_on_conflict
from s3_manifest.sidecars.captions import is_image
from s3_manifest.storage.snapshot import Snapshot

MAX_FILES = 30_000
"""A manifest with more files is refused: the answer would be too large."""

PREVIEW_CHARACTERS = 100

_BASE_IMAGES = ("base_image", "base")


class TrainingImage(AnswerModel):
    """One image. ``index`` counts from 0 in the order of filenames; ``size_mb`` is in units of 2^20 bytes."""

    index: int
    filename: str
    s3_url: str
    size_mb: float
    modified_date: Timestamp
    good: bool


class GenerationStatistics(AnswerModel):
    """Totals of the images of one generation."""

    generation_id: int | str
    type: str
    image_count: int
    size_mb: float


class Statistics(AnswerModel):
    """Totals of the training images, and by generation."""

    training_images_count: int
    training_data_size_mb: float
    generations: tuple[GenerationStatistics, ...]


class TrainingData(AnswerModel):
    """An actor's training images. ``actor_id`` is the actor's number, or its name if it has no number.

    ``base_image_path`` is the URL of the image that the others were made from, if there is one. ``manifest_updated``
    is the ``last_synced`` of the manifest; ``revision``, ``complete`` and ``last_verified_at`` are the manifest's.
    """

    actor_id: int | str
    actor_name: str
    training_images: tuple[TrainingImage, ...]
    base_image_path: str | None
    total_count: int
    manifest_updated: Timestamp
    statistics: Statistics
    s3_bucket: str
    s3_prefix: str
    revision: int
    complete: bool
    last_verified_at: Timestamp | None


class ActorImage(AnswerModel):
    """One image with its prompt, labels and generation. ``size`` is bytes; ``index`` is as in ``TrainingImage``."""

    index: int
    filename: str
    s3_url: str
    s3_key: str
    prompt: str | None
    prompt_preview: str | None
    generated_at: Timestamp | None
    last_modified: Timestamp
    size: int
    etag: str
    md5_hash: str | None
    generation_id: int | str
    generation_type: str
    source: str
    good: bool
    labels: tuple[str, ...]


class ActorManifest(AnswerModel):
    """An actor's images and generations. ``manifest_path`` is the key of the manifest in ``s3_bucket``.

    ``generations`` are those of the manifest, which count all files; ``statistics`` counts images only.
    """

    actor_id: int | str
    actor_name: str
    total_images: int
    total_generations: int
    created_at: Timestamp
    updated_at: Timestamp
    manifest_path: str
    images: tuple[ActorImage, ...]
    generations: tuple[Generation, ...]
    statistics: Statistics
    s3_bucket: str
    s3_prefix: str
    revision: int
    complete: bool
    last_verified_at: Timestamp | None


View = Callable[[Collection, Head, Iterable[Entry]], BaseModel]


def training_data(collection: Collection, head: Head, entries: Iterable[Entry]) -> TrainingData:
    """An actor's training images, from the entries of its manifest in order."""
    images = _images(entries)
    base = base_image(images)
    return TrainingData(
        training_images=tuple(
            TrainingImage(
                index=index,
                filename=entry.filename,
                s3_url=entry.s3_url,
                size_mb=size_mb(entry.size_bytes),
                modified_date=entry.last_modified,
                good=entry.good,
            )
            for index, entry in enumerate(images)
        ),
        base_image_path=base.s3_url if base else None,
        total_count=len(images),
        manifest_updated=head.last_synced,
        **_common(collection, head, images),
    )


def actor_manifest(collection: Collection, head: Head, entries: Iterable[Entry]) -> ActorManifest:
    """An actor's images and generations, from the entries of its manifest in order."""
    images = _images(entries)
    return ActorManifest(
        total_images=len(images),
        total_generations=len(head.generations),
        created_at=head.created_at,
        updated_at=head.last_synced,
        manifest_path=collection.head_key,
        images=tuple(
            ActorImage(
                index=index,
                prompt_preview=entry.prompt and entry.prompt[:PREVIEW_CHARACTERS],
                size=entry.size_bytes,
                **{name: getattr(entry, name) for name in _SHARED_FIELDS},
            )
            for index, entry in enumerate(images)
        ),
        generations=head.generations,
        **_common(collection, head, images),
    )


def base_image(images: Iterable[Entry]) -> Entry | None:
    """The image in the top folder that is called ``base_image`` or, failing that, ``base``."""
    named = [(stem, image) for image in images if (stem := image.filename.rpartition(".")[0].lower()) in _BASE_IMAGES]
    return min(named, key=lambda pair: _BASE_IMAGES.index(pair[0]))[1] if named else None


def statistics(head: Head, images: Sequence[Entry]) -> Statistics:
    """Totals of the images, and by generation in the order of the manifest's generations."""
    sizes: dict[tuple[int | str, str], list[int]] = {
        (generation.generation_id, generation.type): [] for generation in head.generations
    }
    for entry in images:
        sizes.setdefault((entry.generation_id, entry.generation_type), []).append(entry.size_bytes)
    generations = (
        GenerationStatistics(generation_id=id_, type=type_, image_count=len(group), size_mb=size_mb(sum(group)))
        for (id_, type_), group in sizes.items()
    )
    return Statistics(
        training_images_count=len(images),
        training_data_size_mb=size_mb(sum(entry.size_bytes for entry in images)),
        generations=tuple(generations),
    )


def size_mb(size_bytes: int) -> float:
    """A size in units of 2^20 bytes, to two digits."""
    return round(size_bytes / 2**20, 2)


def read(snapshot: Snapshot, view: View) -> Document:
    """A view of a manifest, as JSON. Reads all pages.

    Raises ``AnswerTooLarge``, ``NoSuchRevision`` (the manifest no longer exists), ``StoreError``,
    ``UnreadableManifest``.
    """

    def read_view(now: Snapshot) -> Document:
        if now.head is None:
            raise NoSuchRevision("the manifest no longer exists")
        is_small = now.head.total_files <= MAX_FILES
        body = to_json(view(now.collection, now.head, now.entries())) if is_small else None
        if body is None or escaped_size(body) > MAX_ANSWER_BYTES:
            raise AnswerTooLarge("the actor has too many images for one answer")
        return Document(body, now.etag)

    return retry_on_conflict(snapshot, read_view)


_SHARED_FIELDS = set(ActorImage.model_fields) & set(Entry.model_fields)


def _common(collection: Collection, head: Head, images: Sequence[Entry]) -> dict[str, Any]:
    """The fields that both formats have."""
    number = number_of(collection.id)
    return {
        "actor_id": collection.id if number is None else number,
        "actor_name": collection.id,
        "statistics": statistics(head, images),
        "s3_bucket": head.s3_bucket,
        "s3_prefix": head.s3_prefix,
        "revision": head.revision,
        "complete": head.complete,
        "last_verified_at": head.last_verified_at,
    }


def _images(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.is_file and is_image(entry.filename)]
