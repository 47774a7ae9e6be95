"""Plans the migration of a collection: legacy data and local files compared with S3. Pure; MD5s decide, never sizes.

Prompts, titles, generations and so on are written for images that S3 has or will have. A field that a sidecar already
has stays, and the conflict is reported, unless ``--prefer local`` is given.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import JsonValue

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.filenames import path_conflicts
from s3_manifest.reconcile.delta import AnyGeneration
from s3_manifest.sidecars.content import NO_DESCRIPTION, FileDescription, GenerationDeclaration, SidecarContent
from s3_manifest_cli.migration.merge import Image, LegacyCollection
from s3_manifest_cli.migration.remote import ImageUpload, RemoteCollection, RemoteObject


class Status(StrEnum):
    """Where an image is: in the tree, in S3, or both."""

    SYNCED = "synced"  # on both sides, with the same bytes
    LOCAL_ONLY = "local_only"  # on disk, named by a legacy file, not in S3: uploaded
    S3_ONLY = "s3_only"  # not on disk
    OUT_OF_SYNC = "out_of_sync"  # on both sides, with different bytes: reported, or uploaded with --prefer local
    # On disk among a collection's images, named by no legacy file, not in S3: reported, or uploaded with
    # --orphans upload. Nobody chose it, so it does not become training data by default.
    ORPHANED = "orphaned"
    MISSING = "missing"  # named by a manifest, on neither side


_UNRESOLVED = frozenset({Status.LOCAL_ONLY, Status.OUT_OF_SYNC, Status.ORPHANED, Status.MISSING})


class MigrationOptions(NamedTuple):
    """Whether local bytes and fields win, and whether orphans are uploaded."""

    prefer_local: bool = False
    upload_orphans: bool = False


class ImagePlan(NamedTuple):
    """One image and what happens to it. ``md5`` is that of S3 in the end, ``local_md5`` that of the file on disk."""

    filename: str
    path: str | None
    status: Status
    md5: str | None = None
    local_md5: str | None = None
    upload: ImageUpload | None = None
    note: str | None = None

    @property
    def is_unresolved(self) -> bool:
        """Whether it stays a difference between the tree and S3."""
        return self.upload is None and self.status in _UNRESOLVED


class SidecarEdits(NamedTuple):
    """What is written to the sidecars of a collection."""

    files: Mapping[str, Mapping[str, JsonValue]] = {}
    title: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.title or self.generations)


class CollectionPlan(NamedTuple):
    """The plan of one collection.

    ``expected`` is what the manifest must show of the legacy data in the end, besides the ``md5s``; ``conflicts`` name
    the fields that stay in the legacy files only.
    """

    collection: Collection
    legacy: LegacyCollection
    images: tuple[ImagePlan, ...]
    edits: SidecarEdits
    expected: SidecarContent
    conflicts: tuple[str, ...]

    @property
    def md5s(self) -> dict[str, str]:
        """The MD5s that the manifest must have, by filename."""
        return {image.filename: image.md5 for image in self.images if image.md5}


def by_identity(generations: Iterable[AnyGeneration]) -> dict[tuple[int | str, str], AnyGeneration]:
    """The generations by their ids and types."""
    return {(generation.generation_id, generation.type): generation for generation in generations}


def plan(
    collection: Collection,
    legacy: LegacyCollection,
    md5s: Mapping[str, str],
    remote: RemoteCollection,
    options: MigrationOptions,
) -> CollectionPlan:
    """Plans one collection; ``md5s`` are those of the local files, by path."""
    images = [
        _image_plan(image, md5s.get(image.path or ""), remote.objects.get(filename), options)
        for filename, image in sorted(legacy.images.items())
    ]
    blocked = path_conflicts({image.filename for image in images if image.upload} | remote.objects.keys())
    images = [_without_upload(image, blocked.get(image.filename)) for image in images]
    before = remote.sidecars
    conflicts: list[str] = []
    descriptions: dict[str, FileDescription] = {}
    files: dict[str, Mapping[str, JsonValue]] = {}
    for image in images:
        if image.md5:
            described, own = before.files.get(image.filename, NO_DESCRIPTION), legacy.images[image.filename].description
            new, descriptions[image.filename], differing = _merge_fields(described, own, options)
            if new:
                files[image.filename] = new
            conflicts += (f"{image.filename}: {name}" for name in differing)
    title = before.title
    if legacy.title and legacy.title != title:
        if title is None or options.prefer_local:
            title = legacy.title
        else:
            conflicts.append("title")
    declared = by_identity(before.generations)
    new_generations: list[GenerationDeclaration] = []
    for identity, generation in by_identity(legacy.generations).items():
        if identity not in declared or (options.prefer_local and declared[identity] != generation):
            new_generations.append(generation)
            declared[identity] = generation
        elif declared[identity] != generation:
            conflicts.append(f"generation {generation.type} {generation.generation_id}")
    duplicate = ImagePlan("", None, Status.ORPHANED, note="the collection has another image with this filename")
    images += (duplicate._replace(filename=image.filename, path=image.path) for image in legacy.duplicates)
    return CollectionPlan(
        collection,
        legacy,
        tuple(images),
        SidecarEdits(files, title if title != before.title else None, tuple(new_generations)),
        SidecarContent(
            files=descriptions,
            title=title if legacy.title else None,
            generations=tuple(declared[identity] for identity in by_identity(legacy.generations)),
        ),
        tuple(conflicts),
    )


def _image_plan(
    image: Image, local_md5: str | None, remote: RemoteObject | None, options: MigrationOptions
) -> ImagePlan:
    status = _status(image, local_md5, remote.md5 if remote else None)
    replaces = remote.etag if remote and status is Status.OUT_OF_SYNC else None
    is_uploaded = (
        status is Status.LOCAL_ONLY
        or (status is Status.ORPHANED and options.upload_orphans)
        or (status is Status.OUT_OF_SYNC and options.prefer_local)
    )
    upload = ImageUpload(image.path, local_md5, replaces) if is_uploaded and image.path and local_md5 else None
    md5 = local_md5 if upload else remote.md5 if remote else None
    note = _note(image, status, local_md5 or md5)
    return ImagePlan(image.filename, image.path, status, md5, local_md5, upload, note)


def _without_upload(image: ImagePlan, other: str | None) -> ImagePlan:
    """The image, not uploaded if no copy of the collection could hold it beside that file."""
    if image.upload is None or other is None:
        return image
    note = f"it conflicts with {other!r}: a copy cannot have a file and a folder of one name; rename one of them"
    return image._replace(upload=None, md5=None, note="; ".join(filter(None, (image.note, note))))


def _status(image: Image, local_md5: str | None, remote_md5: str | None) -> Status:
    if local_md5 is None:
        return Status.MISSING if remote_md5 is None else Status.S3_ONLY
    if remote_md5 is None:
        return Status.LOCAL_ONLY if image.mentions else Status.ORPHANED
    return Status.SYNCED if local_md5 == remote_md5 else Status.OUT_OF_SYNC


def _note(image: Image, status: Status, md5: str | None) -> str | None:
    notes = [
        f"called {record.status} in {mention.document.path}"
        for mention in image.mentions
        if (record := mention.record).status in list(Status) and record.status != status
    ]
    legacy_md5s = {mention.record.md5 for mention in image.mentions} - {None, md5}
    if md5 and legacy_md5s:
        notes.append("a legacy file names another MD5")
    return "; ".join(dict.fromkeys(notes)) or None


def _merge_fields(
    before: FileDescription, legacy: FileDescription, options: MigrationOptions
) -> tuple[Mapping[str, JsonValue], FileDescription, list[str]]:
    """The fields to write for a file, what its sidecar then has of the legacy fields, and the conflicting fields."""
    fields: dict[str, Any] = before.model_dump(mode="json", exclude_none=True)
    legacy_fields: dict[str, Any] = legacy.model_dump(mode="json", exclude_none=True)
    new, differing = {}, []
    # An id belongs to its type, and a local path is not edited by people.
    has_generation = "generation_id" in fields and not options.prefer_local
    for name, value in legacy_fields.items():
        if name in fields and (fields[name] == value or name == "local_path"):
            continue
        if (name in fields and not options.prefer_local) or (name == "generation_type" and has_generation):
            differing.append(name)
        else:
            new[name] = value
    fields |= new
    description = FileDescription.model_validate({name: fields[name] for name in legacy_fields if name in fields})
    return new, description, differing
