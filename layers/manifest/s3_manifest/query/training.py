"""What an actor's manifest says of its training images, in the two shapes that training tools ask for.

Training images are the manifest's files that are images by their name: neither captions nor hidden
files, nor whatever else lies beside them. The functions of a head and its entries touch nothing.
"""

from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Frozen, Generation, Head, PageRef, Timestamp
from s3_manifest.query.actors import number_of
from s3_manifest.query.history import NoSuchRevision
from s3_manifest.query.reads import Read, retry_on_conflict
from s3_manifest.query.truncation import MAX_ANSWER_BYTES, escaped_size
from s3_manifest.query.views import AnswerTooLarge
from s3_manifest.sidecars.formats import is_image
from s3_manifest.storage import pages
from s3_manifest.storage.heads import Loaded
from s3_manifest.storage.store import Each, Store

MAX_FILES = 30_000
"""Of a manifest with more files than this no such answer is made: it would not fit."""

PREVIEW_CHARACTERS = 100

_MEBIBYTE = 1 << 20
_BASE_IMAGES = ("base_image", "base")


class _Told(Frozen):
    """Part of an answer. Its validator is built when it is first needed, not at each cold start."""

    model_config = ConfigDict(defer_build=True)


class TrainingImage(_Told):
    """One image. ``index`` counts from 0 in the order of filenames; ``size_mb`` is in units of 2^20 bytes."""

    index: int
    filename: str
    s3_url: str
    size_mb: float
    modified_date: Timestamp
    good: bool


class GenerationStatistics(_Told):
    """What the images of one generation come to."""

    generation_id: int | str
    type: str
    image_count: int
    size_mb: float


class Statistics(_Told):
    """What the training images come to, in all and by generation."""

    training_images_count: int
    training_data_size_mb: float
    generations: tuple[GenerationStatistics, ...]


class TrainingData(_Told):
    """An actor's training images. ``actor_id`` is the number of the actor, or its name where it has none.

    ``base_image_path`` is the URL of the image that the others were made from, if there is one. Of the
    manifest that this was made from ``manifest_updated`` is its ``last_synced``, and ``revision``,
    ``complete`` and ``last_verified_at`` are its own.
    """

    actor_id: int | str
    actor_name: str
    training_images: tuple[TrainingImage, ...]
    base_image_path: str | None
    total_count: int
    manifest_updated: Timestamp
    statistics: Statistics
    s3_prefix: str
    revision: int
    complete: bool
    last_verified_at: Timestamp | None


class ActorImage(_Told):
    """One image with all that training needs of it. ``size`` is bytes; ``index`` as in ``TrainingImage``."""

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


class ActorManifest(_Told):
    """An actor's images and generations. ``manifest_path`` is the key of the canonical manifest in the bucket.

    ``generations`` are the manifest's, which count all of its files; ``statistics`` counts images only.
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
    s3_prefix: str
    revision: int
    complete: bool
    last_verified_at: Timestamp | None


View = Callable[[Collection, Head, Iterable[Entry]], BaseModel]


def training_data(collection: Collection, head: Head, entries: Iterable[Entry]) -> TrainingData:
    """An actor's training images, from its manifest's entries in order."""
    images = _images(entries)
    shown = (
        TrainingImage(
            index=index,
            filename=entry.filename,
            s3_url=entry.s3_url,
            size_mb=size_mb(entry.size_bytes),
            modified_date=entry.last_modified,
            good=entry.good,
        )
        for index, entry in enumerate(images)
    )
    base = base_image(images)
    return TrainingData(
        actor_id=actor_id(collection),
        actor_name=collection.id,
        training_images=tuple(shown),
        base_image_path=base.s3_url if base else None,
        total_count=len(images),
        manifest_updated=head.last_synced,
        statistics=statistics(head, images),
        s3_prefix=head.s3_prefix,
        revision=head.revision,
        complete=head.complete,
        last_verified_at=head.last_verified_at,
    )


def actor_manifest(collection: Collection, head: Head, entries: Iterable[Entry]) -> ActorManifest:
    """An actor's images and generations, from its manifest's entries in order."""
    images = _images(entries)
    shown = (
        ActorImage(
            index=index,
            filename=entry.filename,
            s3_url=entry.s3_url,
            s3_key=entry.s3_key,
            prompt=entry.prompt,
            prompt_preview=entry.prompt and entry.prompt[:PREVIEW_CHARACTERS],
            generated_at=entry.generated_at,
            last_modified=entry.last_modified,
            size=entry.size_bytes,
            etag=entry.etag,
            md5_hash=entry.md5_hash,
            generation_id=entry.generation_id,
            generation_type=entry.generation_type,
            source=entry.source,
            good=entry.good,
            labels=entry.labels,
        )
        for index, entry in enumerate(images)
    )
    return ActorManifest(
        actor_id=actor_id(collection),
        actor_name=collection.id,
        total_images=len(images),
        total_generations=len(head.generations),
        created_at=head.created_at,
        updated_at=head.last_synced,
        manifest_path=collection.head_key,
        images=tuple(shown),
        generations=head.generations,
        statistics=statistics(head, images),
        s3_prefix=head.s3_prefix,
        revision=head.revision,
        complete=head.complete,
        last_verified_at=head.last_verified_at,
    )


def actor_id(collection: Collection) -> int | str:
    """The actor's number; the name of one that has none."""
    number = number_of(collection.id)
    return collection.id if number is None else number


def base_image(images: Iterable[Entry]) -> Entry | None:
    """The image at the top of the collection that is called ``base_image`` or, after that, ``base``."""
    named = [(stem, one) for one in images if (stem := one.filename.rpartition(".")[0].lower()) in _BASE_IMAGES]
    return min(named, key=lambda found: _BASE_IMAGES.index(found[0]))[1] if named else None


def statistics(head: Head, images: Sequence[Entry]) -> Statistics:
    """What the images come to; of each of the manifest's generations, in its order, too."""
    sizes: dict[tuple[int | str, str], list[int]] = {(one.generation_id, one.type): [] for one in head.generations}
    for entry in images:
        sizes.setdefault((entry.generation_id, entry.generation_type), []).append(entry.size_bytes)
    generations = (
        GenerationStatistics(generation_id=id_, type=type_, image_count=len(found), size_mb=size_mb(sum(found)))
        for (id_, type_), found in sizes.items()
    )
    return Statistics(
        training_images_count=len(images),
        training_data_size_mb=size_mb(sum(entry.size_bytes for entry in images)),
        generations=tuple(generations),
    )


def size_mb(size_bytes: int) -> float:
    """A size in units of 2^20 bytes, to two digits."""
    return round(size_bytes / _MEBIBYTE, 2)


def read(store: Store, each: Each, collection: Collection, loaded: Loaded, view: View) -> Read:
    """A view of a manifest, as JSON. Reads all of its pages.

    Raises ``AnswerTooLarge``, ``NoSuchRevision`` (there is no manifest any more), ``StoreError``,
    ``UnreadableManifest``.
    """
    too_large = AnswerTooLarge("the actor has too many images for one answer")

    def answer(now: Loaded) -> Read:
        if now.head is None:
            raise NoSuchRevision("the manifest is not there any more")
        if now.head.total_files > MAX_FILES:
            raise too_large
        body = to_json(view(collection, now.head, entries_of(store, each, collection, now)))
        if escaped_size(body) > MAX_ANSWER_BYTES:
            raise too_large
        return Read(body, now.etag)

    return retry_on_conflict(store, collection, loaded, answer)


def entries_of(store: Store, each: Each, collection: Collection, loaded: Loaded) -> list[Entry]:
    """All entries of a loaded manifest, in order. Raises ``Conflict``, ``StoreError``, ``UnreadableManifest``."""
    slots = layout.slots_of(loaded.head)
    read_runs = iter(pages.read(store, each, collection, loaded, [slot for slot in slots if isinstance(slot, PageRef)]))
    runs = (next(read_runs) if isinstance(slot, PageRef) else slot.run for slot in slots)
    return [entry for run in runs for entry in run.entries()]


def _images(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.is_file and is_image(entry.filename)]
