"""The manifest's canonical JSON: heads, change records and the facts in both."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from s3_manifest.manifest.lenient_json import read_json
from s3_manifest.manifest.model import SCHEMA, Facts, Head, NewerManifest, UnreadableManifest, first_problem

Shape = TypeVar("Shape", bound=Facts)

_FACTS = set(Facts.model_fields)


def facts_json(facts: Facts) -> dict[str, Any]:
    """What a head or a change record says of the collection, as the canonical JSON object has it.

    ``id`` and ``title`` are named after the kind.
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
    """JSON that every reader takes: a number that is not finite is null."""
    return to_json(value, inf_nan_mode="null")


def encode_head(head: Head) -> bytes:
    """The canonical JSON, UTF-8, on one line: with ``pages`` if there are any, else with ``files``."""
    inline = {"files": head.files, "captions": head.captions, "hidden": head.hidden}
    entries = {"pages": head.pages} if head.pages else inline
    return json_bytes(facts_json(head) | entries)


def decode_head(body: bytes) -> Head:
    """The head that ``encode_head`` wrote.

    Raises ``UnreadableManifest``, saying why, for anything else: bytes that are not JSON, a missing,
    wrong or unknown field, another ``schema`` (``NewerManifest``, if it is a later one).
    """
    head = decode(body, Head)
    held = head.model_fields_set & {"files", "captions", "hidden", "pages"}
    if held not in ({"pages"}, {"files", "captions", "hidden"}) or (head.pages == ()) == ("pages" in held):
        raise UnreadableManifest("it has to hold pages, or files, captions and hidden")
    return head


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """The head or change record that this JSON is. Raises ``UnreadableManifest``, as ``decode_head``."""
    try:
        fields = from_json(body)
        if b"Infinity" in body or b"NaN" in body:
            # A manifest of before may hold what a sidecar said: it is left out, as it is from the sidecar now.
            fields = read_json(body, most=len(body)).value
    except ValueError as error:
        raise UnreadableManifest(f"it is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UnreadableManifest("it is not a JSON object")
    return _shaped(fields, shape)


def decode_facts(fields: Mapping[str, Any]) -> Facts:
    """The facts that ``facts_json`` told, whatever else is beside them. Raises ``UnreadableManifest``."""
    kind = fields.get("kind")
    names = _FACTS | {"schema", f"{kind}_id", f"{kind}_title"}
    return _shaped({name: value for name, value in fields.items() if name in names}, Facts)


def _shaped(fields: dict[str, Any], shape: type[Shape]) -> Shape:
    schema = fields.pop("schema", None)
    if type(schema) is not int or schema < 1:  # True equals 1, and so does 1.0
        raise UnreadableManifest(f"its schema is {schema!r}, and this version reads {SCHEMA}")
    if schema > SCHEMA:
        raise NewerManifest(f"written by a newer version: its schema is {schema}, and this version reads {SCHEMA}")
    if unknown := fields.keys() & {"id", "title"}:  # they are named after the kind
        raise UnreadableManifest(f"{min(unknown)}: Extra inputs are not permitted")
    kind = fields.get("kind")
    fields["id"] = fields.pop(f"{kind}_id", None)
    fields["title"] = fields.pop(f"{kind}_title", None)
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        raise UnreadableManifest(first_problem(error)) from error
