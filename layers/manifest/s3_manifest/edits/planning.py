"""Planned uploads: declared and described in sidecars where headers do not suffice, and presigned."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from s3_manifest.edits.collection_editor import CollectionEditor
from s3_manifest.edits.collection_json import declare_generation
from s3_manifest.edits.prompt_metadata import Fields, read_descriptions, update_descriptions
from s3_manifest.edits.sidecar_editor import SidecarEdit
from s3_manifest.edits.uploads import Headers, ImageUpload, UploadRequest, check_id, image_headers, invalid_filenames
from s3_manifest.manifest.model import Frozen, Timestamp, timestamp
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.query.cursors import BadParameter, encode_cursor
from s3_manifest.sidecars.content import GenerationDeclaration
from s3_manifest.storage import heads

Presign = Callable[[str, Mapping[str, str], int], str]
"""The URL for a PUT of a key with these headers, valid for so many seconds."""


class PresignedUpload(Frozen):
    """One PUT, to be sent with exactly these headers.

    S3 refuses other bytes (400), other headers (403), and to replace an object (412). ``in_sidecar`` are the fields
    that are in ``prompt_metadata.json``. ``reflects`` is the token to wait with once the file is uploaded.
    """

    filename: str
    s3_key: str
    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: Timestamp
    in_sidecar: tuple[str, ...]
    reflects: str


class UploadPlan(Frozen):
    """The uploads, the generation that they are declared to be from, and the edits of sidecars for them."""

    uploads: tuple[PresignedUpload, ...]
    generation: GenerationDeclaration | None = None
    change_token: ChangeToken | None = None


def plan_uploads(editor: CollectionEditor, request: UploadRequest, presign: Presign, now: datetime) -> UploadPlan:
    """Declares the generation, puts into the sidecar what does not fit into headers, and presigns the PUTs.

    A repeat with the same ``generation_id`` creates only new URLs. Raises ``BadParameter`` (nothing is changed then),
    and as ``SidecarEditor.edit``.
    """
    collection = editor.collection
    check_id(collection)
    filenames = [image.filename for image in request.images]
    keys = [collection.prefix + filename for filename in filenames]
    if invalid := invalid_filenames(editor.collections, collection, filenames):
        reasons = [f"images.{position}.filename: {reason}" for position, reason in invalid.items()]
        raise BadParameter(f"images.{min(invalid)}.filename", "; ".join(reasons[:10]))
    edit, generation = _declare(editor, request, timestamp(now))
    headers = [image_headers(image, generation, overwrite=request.overwrite) for image in request.images]
    updates = _updates(read_descriptions(editor.sidecars, filenames), request.images, headers)
    edits = [edit, update_descriptions(editor.sidecars, updates) if updates else None]
    tokens = [edit.token for edit in edits if edit]
    expires_at = timestamp(now.astimezone(UTC) + timedelta(seconds=request.expires_in))
    uploads = tuple(
        PresignedUpload(
            filename=image.filename,
            s3_key=key,
            method="PUT",
            url=presign(key, of_image.headers, request.expires_in),
            headers=of_image.headers,
            expires_at=expires_at,
            in_sidecar=tuple(updates.get(image.filename, ())),
            reflects=encode_cursor(ChangeToken(s3_key=key, uploaded_md5=image.md5)),
        )
        for image, key, of_image in zip(request.images, keys, headers, strict=True)
    )
    token = tokens[0].model_copy(update={"others": tuple(tokens[1:])}) if tokens else None
    return UploadPlan(uploads=uploads, generation=generation, change_token=token)


def _declare(
    editor: CollectionEditor, request: UploadRequest, now: Timestamp
) -> tuple[SidecarEdit | None, GenerationDeclaration | None]:
    if request.generation is None:
        return None, None
    head = heads.load(editor.store, editor.collection).head
    ids = (generation.generation_id for generation in head.generations) if head else ()
    above = max((id_ for id_ in ids if isinstance(id_, int)), default=0)
    return declare_generation(editor.sidecars, request.generation, now, above)


def _updates(
    described: Mapping[str, Fields], images: Sequence[ImageUpload], headers: Sequence[Headers]
) -> dict[str, Fields]:
    """The fields to write to the sidecar: those that do not fit into headers, and those that it already overrides."""
    updates: dict[str, Fields] = {}
    for image, of_image in zip(images, headers, strict=True):
        given = {"prompt": image.prompt, "local_path": image.local_path, "generated_at": image.generated_at}
        existing = described.get(image.filename, {})
        fields: dict[str, JsonValue] = {name: value for name, value in given.items() if value and name in existing}
        fields |= of_image.left_out
        if fields:
            updates[image.filename] = fields
    return updates
