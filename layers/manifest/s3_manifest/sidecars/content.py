"""The content of a sidecar as values, and the reader of one file's fields, which every format shares."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, JsonValue, StrictBool, StrictInt, StrictStr, ValidationError

from s3_manifest.manifest.lenient_json import ProblemLog
from s3_manifest.manifest.model import Frozen, Timestamp, timestamp

MAX_PROMPT_BYTES, MAX_LABELS, MAX_TEXT_BYTES = 64 << 10, 200, 1 << 10
"""Limits of one file's description: bytes of the prompt, number of labels, bytes of each label and other text.

A field above its limit is left out, so that no entry is too large for a response."""

_MAX_NAME_BYTES = 1024
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


PROMPT_COLUMNS = ("prompt", "text", "caption")
"""The fields that can hold a prompt, by precedence."""

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


def read_described(fields: object, where: str, problems: ProblemLog) -> FileDescription:
    """The description of one file, without the fields that are not valid; these become problems."""
    if not isinstance(fields, dict):
        problems.add(f"{where}: it must be an object or the prompt")
        return NO_DESCRIPTION
    values = {name: value for name, value in known(fields, FileDescription).items() if value is not None}
    try:
        description = FileDescription.model_validate(values)
    except ValidationError as error:
        for problem in error.errors():
            problems.add(f"{where}.{problem['loc'][0]}: {problem['msg']}")
            values.pop(str(problem["loc"][0]), None)
        description = FileDescription.model_validate(values)
    too_long = dict(oversized_fields(description))
    for name, why in too_long.items():
        problems.add(f"{where}.{name}: {why}")
    if too_long:
        description = description.model_copy(update=dict.fromkeys(too_long))
    return description if description != NO_DESCRIPTION else NO_DESCRIPTION


def known(fields: object, shape: type[Frozen]) -> Any:  # noqa: ANN401  # to be validated
    """The fields that the shape has; all other fields are ignored."""
    return {name: fields[name] for name in shape.model_fields if name in fields} if isinstance(fields, dict) else fields


def is_a_name(filename: str, where: str, problems: ProblemLog) -> bool:
    """Whether an object can have that name: a key in S3 has at most 1,024 bytes."""
    if len(filename.encode()) <= _MAX_NAME_BYTES:
        return True
    problems.add(f"{where}: the name is longer than a key in S3 can be")
    return False


def choices(value: object) -> tuple[list[str], bool]:
    """The prompts in a value, a number as its digits, and whether it holds anything that is not a prompt."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    texts = [
        item if isinstance(item, str) else str(item)
        for item in items
        if isinstance(item, str | int | float) and not isinstance(item, bool)
    ]
    return texts, any(isinstance(item, dict | list | bool) for item in items)
