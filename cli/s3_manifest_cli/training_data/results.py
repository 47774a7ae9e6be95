"""What the Python API returns: plain dicts, lists and values of JSON, with the type of each field.

``ActorManifest`` and what is in them are the JSON of ``GET /api/training-data/{actor}``; a test
compares their fields with those of the models in ``s3_manifest.query.training``.
"""

from typing import Literal, NotRequired, TypedDict, final

from pydantic import JsonValue

Staged = Literal["no", "added", "updated"]
"""Whether the changes of an image are still to be saved: none, its upload, or its fields."""


class GenerationStatistics(TypedDict):
    """Totals of the images of one generation; ``size_mb`` is in units of 2^20 bytes."""

    generation_id: int | str
    type: str
    image_count: int
    size_mb: float


class Statistics(TypedDict):
    """Totals of the images, and by generation."""

    training_images_count: int
    training_data_size_mb: float
    generations: list[GenerationStatistics]


class GenerationDeclaration(TypedDict):
    """A generation as it is declared in the actor's ``collection.json``."""

    generation_id: int | str
    type: str
    generated_at: str
    metadata: dict[str, JsonValue]


class Generation(GenerationDeclaration):
    """A generation of the manifest. ``declared`` is there if it is true, and then ``first_at`` if it has files."""

    image_count: int
    declared: NotRequired[bool]
    first_at: NotRequired[str]


class ActorImage(TypedDict):
    """One image, in the order of filenames from ``index`` 0. ``size`` is bytes."""

    index: int
    filename: str
    s3_url: str
    s3_key: str
    prompt: str | None
    prompt_preview: str | None
    generated_at: str | None
    last_modified: str
    size: int
    etag: str
    md5_hash: str | None
    generation_id: int | str
    generation_type: str
    source: str
    good: bool
    labels: list[str]


class ActorManifest(TypedDict):
    """An actor's images and generations. ``manifest_path`` is the key of the canonical manifest in the bucket.

    ``generations`` are those of the manifest, which count all files; ``statistics`` counts images only.
    """

    actor_id: int | str
    actor_name: str
    total_images: int
    total_generations: int
    created_at: str
    updated_at: str
    manifest_path: str
    images: list[ActorImage]
    generations: list[Generation]
    statistics: Statistics
    s3_bucket: str
    s3_prefix: str
    revision: int
    complete: bool
    last_verified_at: str | None


@final
class EditResult(TypedDict):
    """The result of an edit in S3. ``revision`` shows it; if it is None, wait with the token ``reflects``."""

    actor_name: str
    revision: int | None
    reflects: str | None


@final
class UploadResult(TypedDict):
    """The filenames that were uploaded, that existed unchanged, and that failed (with the reason).

    ``generation`` is the declared generation of the images, ``reflects`` are the tokens to wait with.
    """

    uploaded: list[str]
    unchanged: list[str]
    failed: dict[str, str]
    generation: GenerationDeclaration | None
    reflects: list[str]


class StagedGeneration(TypedDict):
    """A staged generation for images. Without an id it gets one when it is saved; ``number`` counts from 0."""

    number: int
    generation_id: int | str | None
    type: str


class StagedImage(TypedDict):
    """An image with its staged changes. ``s3_url`` is None until it is uploaded."""

    filename: str
    prompt: str | None
    good: bool
    s3_url: str | None
    generated_at: str | None
    generation_id: int | str | None
    generation_type: str | None
    staged: Staged


class SaveResult(TypedDict):
    """The filenames that were changed in S3, and those that failed (with the reason) and stay staged."""

    uploaded: list[str]
    unchanged: list[str]
    updated: list[str]
    removed: list[str]
    failed: dict[str, str]
    generations: list[GenerationDeclaration]


class SyncResult(TypedDict):
    """A folder compared with S3 by filename and MD5, and the upload of files that are only local.

    ``out_of_sync``: different bytes, neither side is changed. ``unverified``: the MD5 in S3 is unknown.
    """

    synced: list[str]
    local_only: list[str]
    s3_only: list[str]
    out_of_sync: list[str]
    unverified: list[str]
    uploaded: UploadResult
