"""Uploads as they are to be made: declared and described in sidecars where need be, and presigned."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import JsonValue

from s3_manifest.edits import edits
from s3_manifest.edits.edits import RetryPolicy, SidecarEdit, Wanted
from s3_manifest.edits.mutations import edit_token
from s3_manifest.edits.uploads import (
    Headers,
    ImageUpload,
    InvalidFilename,
    UploadRequest,
    invalid_filenames,
    upload_headers,
    wrong_with_id,
)
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import Frozen, Timestamp, timestamp
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.query.cursors import encode_cursor
from s3_manifest.sidecars.formats import GenerationDeclaration
from s3_manifest.storage import heads
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Store


class InvalidFilenames(ValueError):
    """Some of the files cannot be uploaded under their names; ``found`` says which, and why."""

    def __init__(self, found: list[InvalidFilename]) -> None:
        super().__init__("; ".join(f"images.{one.at}.filename: {one.reason}" for one in found[:10]))
        self.found = found


class InvalidCollectionId(ValueError):
    """Nothing can be uploaded to a collection of that id."""


class PresignedUpload(Frozen):
    """One PUT, to be made with exactly these headers.

    S3 refuses other bytes (400), other headers (403), and to replace an object (412). ``in_sidecar``
    are the fields that are in ``prompt_metadata.json``. ``reflects`` is a token for ``?reflects=`` of
    the manifest, once it is uploaded.
    """

    filename: str
    s3_key: str
    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: Timestamp
    in_sidecar: tuple[str, ...]
    reflects: str


class Plan(NamedTuple):
    """The uploads to make, the generation they are declared to be from, and the sidecars that were edited for them."""

    uploads: tuple[PresignedUpload, ...]
    generation: GenerationDeclaration | None
    change_token: ChangeToken | None


def plan_uploads(
    store: S3Store,
    collections: Collections,
    collection: Collection,
    wish: UploadRequest,
    now: datetime,
    retry_policy: RetryPolicy,
) -> Plan:
    """Declares the generation, tells the sidecar what no header can, and presigns a PUT for each.

    A repeat with the same ``generation_id`` makes nothing new but the URLs. Raises ``InvalidCollectionId`` and
    ``InvalidFilenames`` (nothing is done then), and as ``edits.update_descriptions``.
    """
    if reason := wrong_with_id(collection):
        raise InvalidCollectionId(f"{collection.kind} {collection.id}: {reason}")
    if bad := list(invalid_filenames(collections, collection, [image.filename for image in wish.images])):
        raise InvalidFilenames(bad)
    edited, generation = _declared(store, collection, wish, timestamp(now), retry_policy)
    headers = [upload_headers(image, generation, overwrite=wish.overwrite) for image in wish.images]
    read_descriptions, fields = _described(store, collection, wish.images, headers, retry_policy)
    expires_at = timestamp(now.astimezone(UTC) + timedelta(seconds=wish.expires_in))
    uploads = tuple(
        PresignedUpload(
            filename=image.filename,
            s3_key=collection.prefix + image.filename,
            method="PUT",
            url=store.presigned_put(collection.prefix + image.filename, one.headers, wish.expires_in),
            headers=one.headers,
            expires_at=expires_at,
            in_sidecar=tuple(fields.get(image.filename, ())),
            reflects=encode_cursor(ChangeToken(s3_key=collection.prefix + image.filename, md5=image.md5)),
        )
        for image, one in zip(wish.images, headers, strict=True)
    )
    return Plan(uploads, generation, _awaited(one for one in (edited, read_descriptions) if one))


def _declared(
    store: Store, collection: Collection, wish: UploadRequest, now: Timestamp, retry_policy: RetryPolicy
) -> tuple[SidecarEdit | None, GenerationDeclaration | None]:
    if wish.generation is None:
        return None, None
    head = heads.load(store, collection).head
    known = (one.generation_id for one in head.generations) if head else ()
    above = max((id_ for id_ in known if isinstance(id_, int)), default=0)
    wanted = Wanted.model_validate(wish.generation.model_dump())
    return edits.declare_generation(store, collection, wanted, now, above, retry_policy)


def _described(
    store: Store,
    collection: Collection,
    images: tuple[ImageUpload, ...],
    headers: list[Headers],
    retry_policy: RetryPolicy,
) -> tuple[SidecarEdit | None, Mapping[str, Mapping[str, JsonValue]]]:
    """Sets in the sidecar what did not fit into headers, and what it tells already: else that would count more."""
    told = edits.read_descriptions(store, collection, [image.filename for image in images])
    said: dict[str, dict[str, JsonValue]] = {}
    for image, one in zip(images, headers, strict=True):
        given = {"prompt": image.prompt, "local_path": image.local_path, "generated_at": image.generated_at}
        already = told.get(image.filename, {})
        fields: dict[str, JsonValue] = {name: value for name, value in given.items() if value and name in already}
        fields |= one.left
        if fields:
            said[image.filename] = fields
    return (edits.update_descriptions(store, collection, said, retry_policy) if said else None), said


def _awaited(edited: Iterable[SidecarEdit]) -> ChangeToken | None:
    """What a manifest has to show of all of these."""
    shown = [edit_token(one) for one in edited]
    return shown[0].model_copy(update={"also": tuple(shown[1:])}) if shown else None
