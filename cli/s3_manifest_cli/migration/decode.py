"""Decodes legacy files: pure, and lenient, because each generation of home-created_at tools wrote another form.

Four formats, recognized by their paths below the root of the tree:

``data/s3_manifests/style_<id>_s3_manifest.json``
    ``{style_id, style_title, last_synced, generations, files: [image]}``
``data/actors/<name>/training_data/manifest.json``
    ``{actor_id, actor_name, base_image_path, updated_at, generations: [generation], images: [image]}``,
    with the image files beside it
``data/actor_manifests/<id>_manifest.json``
    ``{actor_id, actor_name, images: [image]}``, each with its ``sync_status``, or only in S3
``response.json``, anywhere below ``data/``
    ``{id, model, version, created_at, completed_at, input: {prompt, …}, output: [url or filename]}``, the response of
    an image-generation API, beside the images; it only adds fields that no manifest has

A *generation* is ``{generation_id, type, generated_at, metadata, images: [image]}``; ``id`` and
``generation_type`` are accepted too. Without an id, its id is its position in the list, from 1. Other fields join its
metadata. An *image* is a filename, or an object with any of these (the first name with a value counts):

- its name: ``s3_key`` / ``key``, ``s3_url`` / ``url`` / ``s3_uri``, ``filename`` / ``file_name`` / ``name`` /
  ``file``, ``local_path`` / ``path`` / ``file_path``
- ``prompt`` / ``full_prompt`` / ``caption`` / ``text``; ``labels`` / ``tags``
- ``good`` / ``is_good`` / ``bad`` / ``is_bad`` (true, false, 0, 1, "good", "rejected" …), ``verdict`` / ``quality`` /
  ``review`` / ``status`` ("good", "bad", "approved", "rejected")
- ``md5_hash`` / ``md5`` / ``md5sum`` / ``etag`` / ``hash``; ``sync_status``, which is compared, never believed
- ``generation_id`` / ``generation``, ``generation_type``, ``generated_at`` / ``created_at``, ``updated_at``

A list of images may be called ``images``, ``files`` or ``training_images``, be an object by filename, or be the whole
file. Times are ISO 8601, or seconds or milliseconds since 1970. Other fields are ignored. Invalid fields are reported
as problems, and the rest counts.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from s3_manifest.manifest.lenient_json import UnreadableDocument, read_json
from s3_manifest.manifest.model import Timestamp
from s3_manifest.sidecars.content import FileDescription, GenerationDeclaration, oversized_fields
from s3_manifest.sidecars.formats import MAX_TITLE
from s3_manifest_cli.migration import fields as f
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord, format_and_name

_MAX_BYTES = 256 << 20
_LISTS = ("images", "files", "training_images")
_UPDATED = ("updated_at", "last_updated", "last_synced", "synced_at", "exported_at")
_CREATED = ("generated_at", "created_at", "completed_at", "timestamp")
_GENERATION_FIELDS = {"generation_id", "id", "type", "generation_type", "generated_at", "metadata", *_LISTS}


class _Decoded:
    """What was read from one file so far."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.generations: list[GenerationDeclaration] = []
        self.records: list[ImageRecord] = []
        self.problems: list[str] = list(problems)


class _LenientReader(NamedTuple):
    """Reads the fields of one object; an invalid field is None, and becomes a problem."""

    decoded: _Decoded
    where: str
    fields: Mapping[str, Any]

    def __call__(self, read: Any, *names: str) -> Any:  # noqa: ANN401  # the result of read
        try:
            return read(self.fields, *names)
        except f.InvalidField as error:
            self.decoded.problems.append(f"{self.where}{error}")
            return None


def decode(path: str, body: bytes) -> Document:
    """Decodes the legacy file at that path. Never raises: errors become its ``problems``."""
    format_, name = format_and_name(path)
    try:
        # Strict JSON only: its values are written to sidecars.
        content, problems = read_json(body, most=_MAX_BYTES)
    except UnreadableDocument as error:
        return Document(path=path, format=format_, ids=_texts(name), problems=(str(error),))
    if isinstance(content, list) and format_ is not Format.RESPONSE:
        content = {"images": content}
    if not isinstance(content, dict):
        return Document(path=path, format=format_, ids=_texts(name), problems=("not a JSON object",))
    decoded = _Decoded(problems)
    if format_ is Format.RESPONSE:
        return _response(path, content, decoded)
    return _manifest(path, format_, name, content, decoded)


def _manifest(path: str, format_: Format, name: str, content: Mapping[str, Any], decoded: _Decoded) -> Document:
    kind = "style" if format_ is Format.STYLE else "actor"

    lenient = _LenientReader(decoded, "", content)
    updated = lenient(f.time_of, *_UPDATED)
    at = updated or lenient(f.time_of, *_CREATED)
    names = (lenient(f.text, f"{kind}_id", "id"), lenient(f.text, f"{kind}_name"))
    ids = _texts(names[0], name) if format_ is Format.STYLE else _texts(name, *names)
    title = (lenient(f.written_text, f"{kind}_title", "title", f"{kind}_name") or "").strip()
    if len(title) > MAX_TITLE:
        decoded.problems.append(f"title: {len(title)} characters; the limit is {MAX_TITLE}")
        title = ""
    for where, generation in lenient(f.items, "generations") or ():
        _read_generation(decoded, where, generation, at, updated)
    for where, image in lenient(f.items, *_LISTS) or ():
        _read_image(decoded, where, image, FileDescription(), at)
    return Document(
        path=path,
        format=format_,
        ids=ids,
        title=title or None,
        at=at,
        base_image=lenient(f.text, "base_image_path", "base_image"),
        generations=tuple(decoded.generations),
        records=tuple(decoded.records),
        problems=tuple(decoded.problems),
    )


def _read_generation(
    decoded: _Decoded, where: str, generation: object, at: Timestamp | None, updated: Timestamp | None
) -> None:
    if not isinstance(generation, dict):
        decoded.problems.append(f"{where}: must be an object")
        return

    lenient = _LenientReader(decoded, f"{where}.", generation)
    number = int(where.rpartition(".")[2]) + 1 if where.rpartition(".")[2].isdecimal() else None
    id_ = lenient(f.generation_id_of, "generation_id", "id")
    id_ = id_ if id_ is not None else number
    type_ = lenient(f.text, "type", "generation_type") or "declared"
    created_at = lenient(f.time_of, *_CREATED)
    metadata = generation.get("metadata")
    other_fields = {
        key: value for key, value in generation.items() if key not in _GENERATION_FIELDS and value is not None
    }
    metadata = {**other_fields, **metadata} if isinstance(metadata, dict) else other_fields
    before = len(decoded.records)
    inherited = FileDescription(generation_id=id_, generation_type=type_, generated_at=created_at)
    for place, image in lenient(f.items, *_LISTS) or ():
        _read_image(decoded, f"{where}.{place}", image, inherited, updated or created_at or at)
    times = [record.description.generated_at for record in decoded.records[before:] if record.description.generated_at]
    if id_ is not None and (when := created_at or min(times, default=None) or at):
        decoded.generations.append(
            GenerationDeclaration(generation_id=id_, type=type_, generated_at=when, metadata=metadata)
        )


def _read_image(decoded: _Decoded, where: str, image: object, inherited: FileDescription, at: Timestamp | None) -> None:
    image = {"filename": image} if isinstance(image, str) else image
    if not isinstance(image, dict):
        decoded.problems.append(f"{where}: must be an object, or a filename")
        return

    lenient = _LenientReader(decoded, f"{where}.", image)
    id_ = lenient(f.generation_id_of, "generation_id", "generation")
    type_ = lenient(f.text, "generation_type")
    if id_ is None:
        id_, type_ = inherited.generation_id, type_ or inherited.generation_type
    record = ImageRecord(
        where=where,
        at=lenient(f.time_of, "updated_at", "modified_at") or at,
        key=lenient(f.text, "s3_key", "key"),
        url=lenient(f.text, "s3_url", "url", "s3_uri"),
        filename=lenient(f.text, "filename", "file_name", "name", "file"),
        paths=_texts(lenient(f.text, "local_path", "path", "file_path")),
        md5=f.md5(image, "md5_hash", "md5", "md5sum", "etag", "hash"),
        status=lenient(f.text, "sync_status", "status"),
        description=_without_long_fields(
            decoded,
            where,
            FileDescription(
                prompt=lenient(f.written_text, "prompt", "full_prompt", "caption", "text"),
                good=lenient(f.verdict),
                labels=lenient(f.labels),
                generation_id=id_,
                generation_type=type_,
                generated_at=lenient(f.time_of, *_CREATED) or inherited.generated_at,
            ),
        ),
    )
    if not (record.key or record.url or record.filename or record.paths):
        decoded.problems.append(f"{where}: names no file")
        return
    decoded.records.append(record)


def _response(path: str, content: Mapping[str, Any], decoded: _Decoded) -> Document:
    request = content.get("input")
    request = request if isinstance(request, dict) else {}

    lenient = _LenientReader(decoded, "", content)
    created_at = lenient(f.time_of, "completed_at", "created_at")
    model = lenient(f.text, "model", "version")
    id_ = lenient(f.generation_id_of, "id")
    prompt = _LenientReader(decoded, "", request)(f.written_text, "prompt") or lenient(f.written_text, "prompt")
    description = FileDescription(prompt=prompt, generation_id=id_, generation_type=model, generated_at=created_at)
    description = _without_long_fields(decoded, "input", description)
    outputs = content.get("output") or []
    for index, output in enumerate(outputs if isinstance(outputs, list) else [outputs]):
        url = output.get("url") or output.get("filename") if isinstance(output, dict) else output
        if not isinstance(url, str):
            decoded.problems.append(f"output.{index}: must be a URL or a filename")
            continue
        name = PurePosixPath(unquote(url.partition("?")[0].partition("#")[0])).name
        decoded.records.append(
            ImageRecord(where=f"output.{index}", at=created_at, filename=name, description=description)
        )
    if id_ is not None and created_at and decoded.records:
        facts = {"model": content.get("model"), "version": content.get("version")}
        metadata = {name: value for name, value in facts.items() if value is not None}
        metadata |= {"input": {name: value for name, value in request.items() if name != "prompt"}} if request else {}
        decoded.generations.append(
            GenerationDeclaration(
                generation_id=id_, type=model or "declared", generated_at=created_at, metadata=metadata
            )
        )
    return Document(
        path=path,
        format=Format.RESPONSE,
        at=created_at,
        generations=tuple(decoded.generations),
        records=tuple(decoded.records),
        problems=tuple(decoded.problems),
    )


def _without_long_fields(decoded: _Decoded, where: str, description: FileDescription) -> FileDescription:
    """The description without fields that are too long for a sidecar."""
    too_long = dict(oversized_fields(description))
    decoded.problems += [f"{where}.{name}: {problem}" for name, problem in too_long.items()]
    return description.model_copy(update=dict.fromkeys(too_long))


def _texts(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name)
