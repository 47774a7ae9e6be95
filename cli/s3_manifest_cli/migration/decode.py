"""Decodes legacy files: pure, and lenient, because each generation of home-made tools wrote another form.

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
from typing import Any
from urllib.parse import unquote

from s3_manifest.manifest.lenient_json import UnreadableDocument, read_json
from s3_manifest.manifest.model import Timestamp
from s3_manifest.sidecars.content import FileDescription, GenerationDeclaration, oversized_fields
from s3_manifest.sidecars.formats import MAX_TITLE
from s3_manifest_cli.migration.fields import LegacyFields, generation_id_of, labels, text, time_of, written_text
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord, format_and_name

_MAX_BYTES = 256 << 20
_LISTS = ("images", "files", "training_images")
_UPDATED = ("updated_at", "last_updated", "last_synced", "synced_at", "exported_at")
_CREATED = ("generated_at", "created_at", "completed_at", "timestamp")
_GENERATION_FIELDS = {"generation_id", "id", "type", "generation_type", "generated_at", "metadata", *_LISTS}


def decode(path: str, body: bytes) -> Document:
    """Decodes the legacy file at that path. Never raises: errors become its ``problems``."""
    format_, name = format_and_name(path)
    try:
        # Strict JSON only: its values are written to sidecars.
        content, problems = read_json(body, most=_MAX_BYTES)
        if isinstance(content, list) and format_ is not Format.RESPONSE:
            content = {"images": content}
        if not isinstance(content, dict):
            raise UnreadableDocument("not a JSON object")
    except UnreadableDocument as error:
        return Document(path=path, format=format_, ids=(name,) if name else (), problems=(str(error),))
    decoder = _Decoder(content, problems)
    own = decoder.read_response() if format_ is Format.RESPONSE else decoder.read_manifest(format_, name)
    return Document(
        path=path,
        format=format_,
        **own,
        generations=tuple(decoder.generations),
        records=tuple(decoder.records),
        problems=tuple(decoder.problems),
    )


class _Decoder:
    """Decodes the content of one file, and collects what it states; ``read_…`` return the document's own fields."""

    def __init__(self, content: Mapping[str, Any], problems: Iterable[str]) -> None:
        self.generations: list[GenerationDeclaration] = []
        self.records: list[ImageRecord] = []
        self.problems = list(problems)
        self._content = LegacyFields(content, "", self.problems)

    def read_manifest(self, format_: Format, name: str) -> dict[str, Any]:
        read, kind = self._content.read, "style" if format_ is Format.STYLE else "actor"
        updated = read(time_of, *_UPDATED)
        at = updated or read(time_of, *_CREATED)
        id_, full_name = read(text, f"{kind}_id", "id"), read(text, f"{kind}_name")
        title = (read(written_text, f"{kind}_title", "title", f"{kind}_name") or "").strip()
        if len(title) > MAX_TITLE:
            self._content.report(f"{len(title)} characters; the limit is {MAX_TITLE}", "title")
            title = ""
        for generation in self._content.objects("generations"):
            self._read_generation(generation, at, updated)
        for image in self._content.objects(*_LISTS, or_filenames=True):
            self._read_image(image, FileDescription(), at)
        return {
            "ids": tuple(filter(None, (id_, name) if format_ is Format.STYLE else (name, id_, full_name))),
            "title": title or None,
            "at": at,
            "base_image": read(text, "base_image_path", "base_image"),
        }

    def _read_generation(self, fields: LegacyFields, at: Timestamp | None, updated: Timestamp | None) -> None:
        position = fields.where.rpartition(".")[2]
        id_ = fields.read(generation_id_of, "generation_id", "id")
        if id_ is None and position.isdecimal():
            id_ = int(position) + 1
        type_ = fields.read(text, "type", "generation_type") or "declared"
        created_at = fields.read(time_of, *_CREATED)
        metadata = {
            key: value for key, value in fields.fields.items() if key not in _GENERATION_FIELDS and value is not None
        }
        if isinstance(own := fields.fields.get("metadata"), dict):
            metadata |= own
        before = len(self.records)
        inherited = FileDescription(generation_id=id_, generation_type=type_, generated_at=created_at)
        for image in fields.objects(*_LISTS, or_filenames=True):
            self._read_image(image, inherited, updated or created_at or at)
        times = [time for record in self.records[before:] if (time := record.description.generated_at)]
        self._declare(id_, type_, created_at or min(times, default=None) or at, metadata)

    def _read_image(self, fields: LegacyFields, inherited: FileDescription, at: Timestamp | None) -> None:
        id_ = fields.read(generation_id_of, "generation_id", "generation")
        type_ = fields.read(text, "generation_type")
        if id_ is None:
            id_, type_ = inherited.generation_id, type_ or inherited.generation_type
        record = ImageRecord(
            where=fields.where,
            at=fields.read(time_of, "updated_at", "modified_at") or at,
            key=fields.read(text, "s3_key", "key"),
            url=fields.read(text, "s3_url", "url", "s3_uri"),
            filename=fields.read(text, "filename", "file_name", "name", "file"),
            path=fields.read(text, "local_path", "path", "file_path"),
            md5=fields.md5("md5_hash", "md5", "md5sum", "etag", "hash"),
            status=fields.read(text, "sync_status", "status"),
            description=self._without_long_fields(
                fields.where,
                prompt=fields.read(written_text, "prompt", "full_prompt", "caption", "text"),
                good=fields.verdict(),
                labels=fields.read(labels, "labels", "tags"),
                generation_id=id_,
                generation_type=type_,
                generated_at=fields.read(time_of, *_CREATED) or inherited.generated_at,
            ),
        )
        if record.key or record.url or record.filename or record.path:
            self.records.append(record)
        else:
            fields.report("names no file")

    def read_response(self) -> dict[str, Any]:
        content, read = self._content.fields, self._content.read
        request = content["input"] if isinstance(content.get("input"), dict) else {}
        created_at = read(time_of, "completed_at", "created_at")
        model = read(text, "model", "version")
        id_ = read(generation_id_of, "id")
        prompt = LegacyFields(request, "", self.problems).read(written_text, "prompt") or read(written_text, "prompt")
        description = self._without_long_fields(
            "input", prompt=prompt, generation_id=id_, generation_type=model, generated_at=created_at
        )
        outputs = content.get("output") or []
        for index, output in enumerate(outputs if isinstance(outputs, list) else [outputs]):
            where = f"output.{index}"
            url = output.get("url") or output.get("filename") if isinstance(output, dict) else output
            if isinstance(url, str):
                name = PurePosixPath(unquote(url.partition("?")[0].partition("#")[0])).name
                self.records.append(ImageRecord(where=where, at=created_at, filename=name, description=description))
            else:
                self._content.report("must be a URL or a filename", where)
        if self.records:
            metadata = {name: content[name] for name in ("model", "version") if content.get(name) is not None}
            if request:
                metadata["input"] = {name: value for name, value in request.items() if name != "prompt"}
            self._declare(id_, model or "declared", created_at, metadata)
        return {"at": created_at}

    def _declare(self, id_: int | str | None, type_: str, at: Timestamp | None, metadata: Mapping[str, Any]) -> None:
        """Declares a generation if its id and its time are known."""
        if id_ is not None and at:
            declaration = GenerationDeclaration(generation_id=id_, type=type_, generated_at=at, metadata=metadata)
            self.generations.append(declaration)

    def _without_long_fields(self, where: str, **fields: Any) -> FileDescription:  # noqa: ANN401  # decoded
        """The description with these fields, except for those that are too long for a sidecar."""
        description = FileDescription(**fields)
        too_long = dict(oversized_fields(description))
        self.problems += [f"{where}.{name}: {problem}" for name, problem in too_long.items()]
        return description.model_copy(update=dict.fromkeys(too_long))
