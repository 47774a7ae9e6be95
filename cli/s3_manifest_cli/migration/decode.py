"""Legacy files, decoded: pure, and lenient, because each generation of home-made tools wrote another form.

Four kinds of files, found by their paths below the tree's root:

``data/s3_manifests/style_<id>_s3_manifest.json``
    ``{style_id, style_title, last_synced, generations, files: [image]}``
``data/actors/<name>/training_data/manifest.json``
    ``{actor_id, actor_name, base_image_path, updated_at, generations: [generation], images: [image]}``,
    the images' files beside it
``data/actor_manifests/<id>_manifest.json``
    ``{actor_id, actor_name, images: [image]}``, each with its ``sync_status``, or in S3 only
``response.json``, anywhere below ``data/``
    ``{id, model, version, created_at, completed_at, input: {prompt, …}, output: [url or filename]}``, what
    an image-generation API answered, beside the images; it fills in what no manifest says

A *generation* is ``{generation_id, type, generated_at, metadata, images: [image]}``; ``id`` and
``generation_type`` will do, and one without an id has its place in the list, from 1. What else it has
joins its metadata. An *image* is a filename, or an object with any of these (the first name that is
there counts):

- its name: ``s3_key`` / ``key``, ``s3_url`` / ``url`` / ``s3_uri``, ``filename`` / ``file_name`` / ``name`` /
  ``file``, ``local_path`` / ``path`` / ``file_path``
- ``prompt`` / ``full_prompt`` / ``caption`` / ``text``; ``labels`` / ``tags``
- ``good`` / ``is_good`` / ``bad`` / ``is_bad`` (true, false, 0, 1, "good", "rejected" …), ``verdict`` / ``quality`` /
  ``review`` / ``status`` ("good", "bad", "approved", "rejected")
- ``md5_hash`` / ``md5`` / ``md5sum`` / ``etag`` / ``hash``; ``sync_status``, which is compared, never believed
- ``generation_id`` / ``generation``, ``generation_type``, ``generated_at`` / ``created_at``, ``updated_at``

A list of images may be called ``images``, ``files`` or ``training_images``, be an object by filename, or
be all there is in the file. Times are ISO 8601 or seconds or milliseconds since 1970. Whatever else
there is, is ignored. What is wrong is told as a problem, and the rest counts.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from s3_manifest.manifest.lenient_json import NotReadable, read_json
from s3_manifest.manifest.model import Timestamp
from s3_manifest.sidecars.formats import MAX_TITLE, FileDescription, GenerationDeclaration, oversized
from s3_manifest_cli.migration import fields as f
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord

_PATHS = (
    (Format.STYLE, re.compile(r"data/s3_manifests/style_([^/]+)_s3_manifest\.json")),
    (Format.ACTOR, re.compile(r"data/actors/([^/]+)/training_data/manifest\.json")),
    (Format.ACTOR_SYNC, re.compile(r"data/actor_manifests/([^/]+)_manifest\.json")),
    (Format.RESPONSE, re.compile(r"data/(?:.*/)?response\.json()")),
)
_MAX_BYTES = 256 << 20
_LISTS = ("images", "files", "training_images")
_UPDATED = ("updated_at", "last_updated", "last_synced", "synced_at", "exported_at")
_MADE = ("generated_at", "created_at", "completed_at", "timestamp")
_GENERATION_FIELDS = {"generation_id", "id", "type", "generation_type", "generated_at", "metadata", *_LISTS}


class _Decoded:
    """What was read so far of one file."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.generations: list[GenerationDeclaration] = []
        self.claims: list[ImageRecord] = []
        self.problems: list[str] = list(problems)


def format_of(path: str) -> Format | None:
    """What kind of legacy file has this path below the root; None: none."""
    return next((format_ for format_, pattern in _PATHS if pattern.fullmatch(path)), None)


def decode(path: str, body: bytes) -> Document:
    """The legacy file at that path. What is wrong with it is among its ``problems``; nothing is raised."""
    format_, name = next((one, match[1]) for one, pattern in _PATHS if (match := pattern.fullmatch(path)))
    try:
        # What JSON cannot hold could not be written into a sidecar.
        content, problems = read_json(body, most=_MAX_BYTES)
    except NotReadable as error:
        return Document(path=path, format=format_, ids=_ids(name), problems=(str(error),))
    if isinstance(content, list) and format_ is not Format.RESPONSE:
        content = {"images": content}
    if not isinstance(content, dict):
        return Document(path=path, format=format_, ids=_ids(name), problems=("it is not a JSON object",))
    found = _Decoded(problems)
    if format_ is Format.RESPONSE:
        return _response(path, content, found)
    return _manifest(path, format_, name, content, found)


def _manifest(path: str, format_: Format, name: str, content: Mapping[str, Any], found: _Decoded) -> Document:
    kind = "style" if format_ is Format.STYLE else "actor"

    def lenient(read: Any, *names: str) -> Any:  # noqa: ANN401  # whatever it reads
        return _lenient(found, "", read, content, *names)

    updated = lenient(f.moment, *_UPDATED)
    at = updated or lenient(f.moment, *_MADE)
    names = (lenient(f.text, f"{kind}_id", "id"), lenient(f.text, f"{kind}_name"))
    ids = _ids(names[0], name) if format_ is Format.STYLE else _ids(name, *names)
    title = (lenient(f.words, f"{kind}_title", "title", f"{kind}_name") or "").strip()
    if len(title) > MAX_TITLE:
        found.problems.append(f"title: it has {len(title)} characters, and may have {MAX_TITLE}")
        title = ""
    for where, generation in lenient(f.items, "generations") or ():
        _read_generation(found, where, generation, at, updated)
    for where, image in lenient(f.items, *_LISTS) or ():
        _read_image(found, where, image, FileDescription(), at)
    return Document(
        path=path,
        format=format_,
        ids=ids,
        title=title or None,
        at=at,
        base_image=lenient(f.text, "base_image_path", "base_image"),
        generations=tuple(found.generations),
        claims=tuple(found.claims),
        problems=tuple(found.problems),
    )


def _read_generation(
    found: _Decoded, where: str, generation: object, at: Timestamp | None, updated: Timestamp | None
) -> None:
    if not isinstance(generation, dict):
        found.problems.append(f"{where}: it has to be an object")
        return

    def lenient(read: Any, *names: str) -> Any:  # noqa: ANN401
        return _lenient(found, f"{where}.", read, generation, *names)

    number = int(where.rpartition(".")[2]) + 1 if where.rpartition(".")[2].isdecimal() else None
    id_ = lenient(f.identity, "generation_id", "id")
    id_ = id_ if id_ is not None else number
    type_ = lenient(f.text, "type", "generation_type") or "declared"
    made = lenient(f.moment, *_MADE)
    metadata = generation.get("metadata")
    more = {key: value for key, value in generation.items() if key not in _GENERATION_FIELDS and value is not None}
    metadata = {**more, **metadata} if isinstance(metadata, dict) else more
    before = len(found.claims)
    inherited = FileDescription(generation_id=id_, generation_type=type_, generated_at=made)
    for place, image in lenient(f.items, *_LISTS) or ():
        _read_image(found, f"{where}.{place}", image, inherited, updated or made or at)
    times = [claim.said.generated_at for claim in found.claims[before:] if claim.said.generated_at]
    if id_ is not None and (when := made or min(times, default=None) or at):
        found.generations.append(
            GenerationDeclaration(generation_id=id_, type=type_, generated_at=when, metadata=metadata)
        )


def _read_image(found: _Decoded, where: str, image: object, inherited: FileDescription, at: Timestamp | None) -> None:
    image = {"filename": image} if isinstance(image, str) else image
    if not isinstance(image, dict):
        found.problems.append(f"{where}: it has to be an object, or a filename")
        return

    def lenient(read: Any, *names: str) -> Any:  # noqa: ANN401
        return _lenient(found, f"{where}.", read, image, *names)

    id_ = lenient(f.identity, "generation_id", "generation")
    type_ = lenient(f.text, "generation_type")
    if id_ is None:
        id_, type_ = inherited.generation_id, type_ or inherited.generation_type
    claim = ImageRecord(
        where=where,
        at=lenient(f.moment, "updated_at", "modified_at") or at,
        key=lenient(f.text, "s3_key", "key"),
        url=lenient(f.text, "s3_url", "url", "s3_uri"),
        filename=lenient(f.text, "filename", "file_name", "name", "file"),
        paths=_ids(lenient(f.text, "local_path", "path", "file_path")),
        md5=f.md5(image, "md5_hash", "md5", "md5sum", "etag", "hash"),
        status=lenient(f.text, "sync_status", "status"),
        said=_of_a_size(
            found,
            where,
            FileDescription(
                prompt=lenient(f.words, "prompt", "full_prompt", "caption", "text"),
                good=_lenient(found, f"{where}.", f.verdict, image),
                labels=_lenient(found, f"{where}.", f.labels, image),
                generation_id=id_,
                generation_type=type_,
                generated_at=lenient(f.moment, *_MADE) or inherited.generated_at,
            ),
        ),
    )
    if not (claim.key or claim.url or claim.filename or claim.paths):
        found.problems.append(f"{where}: it names no file")
        return
    found.claims.append(claim)


def _response(path: str, content: Mapping[str, Any], found: _Decoded) -> Document:
    asked = content.get("input")
    asked = asked if isinstance(asked, dict) else {}

    def lenient(read: Any, fields: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401
        return _lenient(found, "", read, fields, *names)

    made = lenient(f.moment, content, "completed_at", "created_at")
    model = lenient(f.text, content, "model", "version")
    id_ = lenient(f.identity, content, "id")
    prompt = lenient(f.words, asked, "prompt") or lenient(f.words, content, "prompt")
    said = FileDescription(prompt=prompt, generation_id=id_, generation_type=model, generated_at=made)
    said = _of_a_size(found, "input", said)
    outputs = content.get("output") or []
    for index, output in enumerate(outputs if isinstance(outputs, list) else [outputs]):
        url = output.get("url") or output.get("filename") if isinstance(output, dict) else output
        if not isinstance(url, str):
            found.problems.append(f"output.{index}: it has to be a URL or a filename")
            continue
        name = PurePosixPath(unquote(url.partition("?")[0].partition("#")[0])).name
        found.claims.append(ImageRecord(where=f"output.{index}", at=made, filename=name, said=said))
    if id_ is not None and made and found.claims:
        facts = {"model": content.get("model"), "version": content.get("version")}
        metadata = {name: value for name, value in facts.items() if value is not None}
        metadata |= {"input": {name: value for name, value in asked.items() if name != "prompt"}} if asked else {}
        found.generations.append(
            GenerationDeclaration(generation_id=id_, type=model or "declared", generated_at=made, metadata=metadata)
        )
    return Document(
        path=path,
        format=Format.RESPONSE,
        at=made,
        generations=tuple(found.generations),
        claims=tuple(found.claims),
        problems=tuple(found.problems),
    )


def _lenient(found: _Decoded, where: str, read: Any, fields: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401
    """What ``read`` makes of the fields, or None and a problem."""
    try:
        return read(fields, *names)
    except f.WrongField as error:
        found.problems.append(f"{where}{error}")
        return None


def _of_a_size(found: _Decoded, where: str, said: FileDescription) -> FileDescription:
    """What may be said of a file, without fields that no sidecar's reader would take."""
    too_long = dict(oversized(said))
    found.problems += [f"{where}.{name}: {problem}" for name, problem in too_long.items()]
    return said.model_copy(update=dict.fromkeys(too_long))


def _ids(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name)
