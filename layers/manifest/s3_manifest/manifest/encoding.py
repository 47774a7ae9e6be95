"""Encodes and decodes the manifest's canonical JSON."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from s3_manifest.manifest.lenient_json import read_json
from s3_manifest.manifest.model import SCHEMA, Facts, Head, NewerManifest, UnreadableManifest, first_problem

Shape = TypeVar("Shape", bound=Facts)

_FACTS = set(Facts.model_fields)


def facts_json(facts: Facts) -> dict[str, Any]:
    """The collection's facts as a canonical JSON object.

    The names of ``id`` and ``title`` start with the kind (``style_id``).
    """
    fields = facts.model_dump(include=_FACTS)
    kind = fields.pop("kind")
    return {
        "schema": SCHEMA,
        "kind": kind,
        f"{kind}_id": fields.pop("id"),
        f"{kind}_title": fields.pop("title"),
        **fields,
    }


def json_bytes(value: object) -> bytes:
    """Strictly valid JSON: a number that is not finite becomes null."""
    return to_json(value, inf_nan_mode="null")


def encode_head(head: Head) -> bytes:
    """The canonical JSON, UTF-8, on one line: with ``pages`` if there are any, otherwise with the entries."""
    inline = {"files": head.files, "captions": head.captions, "hidden": head.hidden}
    entries = {"pages": head.pages} if head.pages else inline
    return json_bytes(facts_json(head) | entries)


def decode_head(body: bytes) -> Head:
    """The head that ``encode_head`` wrote.

    Raises ``UnreadableManifest`` with the reason for anything else: invalid JSON, a missing, invalid
    or unknown field, another ``schema`` (``NewerManifest`` for a later one).
    """
    head = decode(body, Head)
    lists = head.model_fields_set & {"files", "captions", "hidden", "pages"}
    if lists not in ({"pages"}, {"files", "captions", "hidden"}) or (head.pages == ()) == ("pages" in lists):
        raise UnreadableManifest("it must have either pages, or files, captions and hidden")
    return head


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """The head or change record in this JSON. Raises ``UnreadableManifest``, like ``decode_head``."""
    try:
        fields = from_json(body)
        if b"Infinity" in body or b"NaN" in body:
            # Earlier versions copied such numbers from sidecars; they are dropped, as in sidecars today.
            fields = read_json(body, most=len(body)).value
    except ValueError as error:
        raise UnreadableManifest(f"it is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UnreadableManifest("it is not a JSON object")
    return _validate(fields, shape)


def decode_facts(fields: Mapping[str, Any]) -> Facts:
    """The facts that ``facts_json`` wrote; other fields are ignored. Raises ``UnreadableManifest``."""
    kind = fields.get("kind")
    names = _FACTS | {"schema", f"{kind}_id", f"{kind}_title"}
    return _validate({name: value for name, value in fields.items() if name in names}, Facts)


def _validate(fields: dict[str, Any], shape: type[Shape]) -> Shape:
    schema = fields.pop("schema", None)
    if type(schema) is not int or schema < 1:  # True equals 1, and so does 1.0
        raise UnreadableManifest(f"its schema is {schema!r}; this version reads {SCHEMA}")
    if schema > SCHEMA:
        raise NewerManifest(f"written by a newer version: its schema is {schema}; this version reads {SCHEMA}")
    if unknown := fields.keys() & {"id", "title"}:  # their names start with the kind
        raise UnreadableManifest(f"{min(unknown)}: Extra inputs are not permitted")
    kind = fields.get("kind")
    fields["id"] = fields.pop(f"{kind}_id", None)
    fields["title"] = fields.pop(f"{kind}_title", None)
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        raise UnreadableManifest(first_problem(error)) from error
