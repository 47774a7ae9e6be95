"""What is to be done: legacy words and local files compared with what S3 has. Pure; MD5s decide, never sizes.

=============  ==========================================================================================
synced         on disk and in S3, the same bytes
local_only     on disk, named by a legacy file, not in S3: it is uploaded
s3_only        in S3, not on disk
out_of_sync    on disk and in S3, other bytes: S3 stands and the local file is reported, unless ``--prefer local``
orphaned       on disk among a collection's images, named by no legacy file, not in S3: reported, and uploaded with
               ``--orphans upload``, because what nobody chose should not get into training data by itself
missing        named by a manifest, and neither on disk nor in S3
=============  ==========================================================================================

Words (prompts, titles, generations …) are carried for images that S3 has, or will have. What a sidecar
says already stands, and another legacy word is reported, unless ``--prefer local``.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import JsonValue

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.filenames import in_the_way
from s3_manifest.sidecars.formats import NOTHING, FileDescription, GenerationDeclaration
from s3_manifest_cli.migration.merge import Image, LegacyCollection
from s3_manifest_cli.migration.remote import RemoteCollection


class Status(StrEnum):
    """How an image is in the tree and in S3."""

    SYNCED = "synced"
    LOCAL_ONLY = "local_only"
    S3_ONLY = "s3_only"
    OUT_OF_SYNC = "out_of_sync"
    ORPHANED = "orphaned"
    MISSING = "missing"


LEFT = frozenset({Status.OUT_OF_SYNC, Status.ORPHANED, Status.MISSING})
"""These are differences, as long as nothing is done about them."""


class Choices(NamedTuple):
    """What the user wants: local bytes and words to win, and orphans in S3."""

    prefer_local: bool = False
    upload_orphans: bool = False


class Upload(NamedTuple):
    """Local bytes to be stored, in place of the object with the ETag ``replaces`` (None: there is none)."""

    path: str
    md5: str
    replaces: str | None


class ImagePlan(NamedTuple):
    """One image: what it is, and what is done.

    ``md5`` is that which S3 shall have in the end, ``local_md5`` that of the file on disk.
    """

    filename: str
    path: str | None
    status: Status
    md5: str | None = None
    local_md5: str | None = None
    upload: Upload | None = None
    note: str | None = None

    @property
    def is_left(self) -> bool:
        """Whether it stays a difference between the tree and S3."""
        return self.upload is None and (self.status in LEFT or self.status is Status.LOCAL_ONLY)


class SidecarEdits(NamedTuple):
    """What is written into the sidecars of a collection."""

    files: Mapping[str, Mapping[str, JsonValue]] = {}
    title: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.title or self.generations)


class ExpectedManifest(NamedTuple):
    """What the manifest has to say in the end."""

    md5s: Mapping[str, str]
    files: Mapping[str, FileDescription]
    title: str | None
    generations: tuple[GenerationDeclaration, ...]


class CollectionPlan(NamedTuple):
    """What is to be done for one collection. ``conflicts`` are words that stay in the legacy files only."""

    collection: Collection
    items: tuple[ImagePlan, ...]
    words: SidecarEdits
    expected: ExpectedManifest
    conflicts: tuple[str, ...]

    @property
    def uploads(self) -> Iterator[ImagePlan]:
        """The images that are uploaded."""
        return (item for item in self.items if item.upload)


def plan(
    collection: Collection,
    gathered: LegacyCollection,
    md5s: Mapping[str, str],
    remote: RemoteCollection,
    choices: Choices,
) -> CollectionPlan:
    """What is to be done for a collection; ``md5s`` are those of the local files, by path."""
    items = [_item(image, md5s, remote, choices) for _, image in sorted(gathered.images.items())]
    blocked = in_the_way({item.filename for item in items if item.upload} | remote.objects.keys())
    items = [_kept_here(item, blocked[item.filename]) if item.filename in blocked else item for item in items]
    items += [
        ImagePlan(one.filename, one.path, Status.ORPHANED, note="the collection has another file of that name")
        for one in gathered.doubles
    ]
    conflicts: list[str] = []
    kept: dict[str, FileDescription] = {}
    files: dict[str, Mapping[str, JsonValue]] = {}
    for item in items:
        image = gathered.images[item.filename]
        if item.md5 is None or image.path != item.path:
            continue
        before = remote.files.get(item.filename, NOTHING)
        new, kept[item.filename], differing = _merged(before, image.said, choices)
        if new:
            files[item.filename] = new
        conflicts += (f"{item.filename}: {name}" for name in differing)
    title, wanted = remote.title, gathered.title
    if wanted and (title is None or choices.prefer_local):
        title = wanted
    elif wanted and title != wanted:
        conflicts.append("title")
    declared = {(one.generation_id, one.type): one for one in remote.generations}
    new_ones: list[GenerationDeclaration] = []
    for one in gathered.generations:
        known = declared.get((one.generation_id, one.type))
        if known == one:
            continue
        if known is None or choices.prefer_local:
            new_ones.append(one)
        else:
            conflicts.append(f"generation {one.type} {one.generation_id}")
    says = declared | {(one.generation_id, one.type): one for one in new_ones}
    asked = {(one.generation_id, one.type) for one in gathered.generations}
    return CollectionPlan(
        collection,
        tuple(items),
        SidecarEdits(files, title if title != remote.title else None, tuple(new_ones)),
        ExpectedManifest(
            {item.filename: item.md5 for item in items if item.md5},
            kept,
            title if wanted else None,
            tuple(one for identity, one in says.items() if identity in asked),
        ),
        tuple(conflicts),
    )


def _item(image: Image, md5s: Mapping[str, str], remote: RemoteCollection, choices: Choices) -> ImagePlan:
    local = md5s.get(image.path) if image.path else None
    there = remote.objects.get(image.filename)
    status = _status(image, local, there.md5 if there else None)
    upload = None
    if image.path and local:
        if status is Status.LOCAL_ONLY or (status is Status.ORPHANED and choices.upload_orphans):
            upload = Upload(image.path, local, None)
        elif status is Status.OUT_OF_SYNC and choices.prefer_local and there:
            upload = Upload(image.path, local, there.etag)
    md5 = upload.md5 if upload else there.md5 if there else None
    return ImagePlan(image.filename, image.path, status, md5, local, upload, _note(image, status, local or md5))


def _kept_here(item: ImagePlan, other: str) -> ImagePlan:
    """The item without an upload that no copy could hold."""
    if item.upload is None:
        return item
    note = f"it and {other!r} cannot both be files of a copy, a file and a folder of one name; rename one"
    return item._replace(upload=None, md5=None, note="; ".join(filter(None, (item.note, note))))


def _status(image: Image, local: str | None, remote: str | None) -> Status:
    if remote is None and local is None:
        return Status.MISSING
    if local is None:
        return Status.S3_ONLY
    if remote is None:
        return Status.LOCAL_ONLY if image.words else Status.ORPHANED
    return Status.SYNCED if local == remote else Status.OUT_OF_SYNC


def _note(image: Image, status: Status, md5: str | None) -> str | None:
    claims = [word.claim for word in image.words]
    notes = [
        f"called {claim.status} in {word.document.path}"
        for word in image.words
        if (claim := word.claim).status in list(Status) and claim.status != status
    ]
    if md5 and any(claim.md5 and claim.md5 != md5 for claim in claims):
        notes.append("a legacy file names another MD5")
    return "; ".join(dict.fromkeys(notes)) or None


def _merged(
    before: FileDescription, legacy: FileDescription, choices: Choices
) -> tuple[Mapping[str, JsonValue], FileDescription, list[str]]:
    """What is written of a file, what its sidecar then says of these fields, and the fields that stay otherwise."""
    told: dict[str, Any] = before.model_dump(mode="json", exclude_none=True)
    wanted: dict[str, Any] = legacy.model_dump(mode="json", exclude_none=True)
    new, differing = {}, []
    # An id goes with its own type, and where a file lay is nothing that people decide.
    has_generation = "generation_id" in told and not choices.prefer_local
    for name, value in wanted.items():
        if name in told and (told[name] == value or name == "local_path"):
            continue
        if (name in told and not choices.prefer_local) or (name == "generation_type" and has_generation):
            differing.append(name)
        else:
            new[name] = value
    told |= new
    return new, FileDescription.model_validate({name: told[name] for name in wanted if name in told}), differing
