"""The content of a sidecar as values."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, JsonValue, StrictBool, StrictInt, StrictStr

from s3_manifest.manifest.model import Frozen, Timestamp, timestamp

MAX_PROMPT_BYTES, MAX_LABELS, MAX_TEXT_BYTES = 64 << 10, 200, 1 << 10
"""Limits of one file's description: bytes of the prompt, number of labels, bytes of each label and other text.

A field above its limit is left out, so that no entry is too large for a response."""

_LIMITED = ("prompt", "generation_id", "generation_type", "local_path")


def _moment(value: object) -> object:
    """Converts a time in any ISO 8601 form to the form of the manifest; without a zone it is UTC."""
    if not isinstance(value, str):
        return value
    try:
        return timestamp(datetime.fromisoformat(value))
    except OverflowError as error:
        raise ValueError("the time is out of range in UTC") from error


Moment = Annotated[Timestamp, BeforeValidator(_moment)]
GenerationId = StrictInt | StrictStr


class FileDescription(Frozen):
    """The description of one file in sidecars; a field that they do not set is None."""

    prompt: StrictStr | None = None
    good: StrictBool | None = None
    hidden: StrictBool | None = None
    labels: tuple[StrictStr, ...] | None = None
    generation_id: GenerationId | None = None
    generation_type: StrictStr | None = None
    generated_at: Moment | None = None
    local_path: StrictStr | None = None


class GenerationDeclaration(Frozen):
    """A generation that a ``collection.json`` declares."""

    generation_id: GenerationId
    type: StrictStr = "declared"
    generated_at: Moment
    metadata: Mapping[str, JsonValue] = {}


class SidecarContent(Frozen):
    """The content of one sidecar."""

    title: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()
    files: Mapping[str, FileDescription] = {}
    problems: tuple[str, ...] = ()


NO_DESCRIPTION = FileDescription()


def oversized_fields(description: FileDescription) -> Iterator[tuple[str, str]]:
    """The fields of one file that are above their limits, each with the problem."""
    for name in _LIMITED:
        value, most = getattr(description, name), MAX_PROMPT_BYTES if name == "prompt" else MAX_TEXT_BYTES
        # A character is at most four bytes.
        if isinstance(value, str) and len(value) * 4 > most and (size := len(value.encode())) > most:
            yield name, f"it has {size} bytes; the limit is {most}"
    labels = description.labels or ()
    if len(labels) > MAX_LABELS:
        yield "labels", f"there are {len(labels)}; the limit is {MAX_LABELS}"
    elif (size := max((len(label.encode()) for label in labels), default=0)) > MAX_TEXT_BYTES:
        yield "labels", f"a label has {size} bytes; the limit is {MAX_TEXT_BYTES}"


def encode_content(content: SidecarContent) -> bytes:
    """The descriptions of files, as JSON; title and generations are in the manifest's head."""
    return content.model_dump_json(include={"files"}, exclude_none=True).encode()


def decode_content(body: bytes) -> SidecarContent:
    """The descriptions of files that ``encode_content`` wrote. Raises ``ValidationError``."""
    return SidecarContent.model_validate_json(body)


def known_fields(fields: object, shape: type[Frozen]) -> Any:  # noqa: ANN401  # to be validated
    """The fields that the shape has; all other fields are ignored."""
    return {name: fields[name] for name in shape.model_fields if name in fields} if isinstance(fields, dict) else fields
