"""What a sidecar says, as values; and how the fields of one file are read, whatever the format."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, JsonValue, StrictBool, StrictInt, StrictStr, ValidationError

from s3_manifest.manifest.model import Frozen, Timestamp, timestamp

MAX_PROMPT_BYTES, MAX_LABELS, MAX_TEXT_BYTES = 64 << 10, 200, 1 << 10
"""The most that a sidecar may say of one file: bytes of a prompt, labels, and bytes of each label and other text.

What is longer is left out, so that no entry is too large for an answer."""


_MAX_PROBLEMS, _MAX_PROBLEM, _MAX_NAME_BYTES = 20, 500, 1024
_LIMITED = ("prompt", "generation_id", "generation_type", "local_path")


def _moment(value: object) -> object:
    """A time in any ISO 8601 form, as the manifest writes it; one without a zone is UTC."""
    if not isinstance(value, str):
        return value
    try:
        return timestamp(datetime.fromisoformat(value))
    except OverflowError as error:
        raise ValueError("UTC has no such time") from error


Moment = Annotated[Timestamp, BeforeValidator(_moment)]
GenerationId = StrictInt | StrictStr


class FileDescription(Frozen):
    """What sidecars say of one file; None where they say nothing."""

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
    """What one sidecar says."""

    title: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()
    files: Mapping[str, FileDescription] = {}
    problems: tuple[str, ...] = ()


PROMPT_COLUMNS = ("prompt", "text", "caption")
"""Where a prompt may be; the first of them that holds one counts."""

NO_DESCRIPTION = FileDescription()


def oversized_fields(said: FileDescription) -> Iterator[tuple[str, str]]:
    """The fields that are longer than may be said of one file, each with what is wrong with it."""
    for name in _LIMITED:
        value, most = getattr(said, name), MAX_PROMPT_BYTES if name == "prompt" else MAX_TEXT_BYTES
        # A character is at most four bytes.
        if isinstance(value, str) and len(value) * 4 > most and (size := len(value.encode())) > most:
            yield name, f"it has {size} bytes, and may have {most}"
    if said.labels and len(said.labels) > MAX_LABELS:
        yield "labels", f"there are {len(said.labels)}, and may be {MAX_LABELS}"
    elif said.labels and (size := max(len(label.encode()) for label in said.labels)) > MAX_TEXT_BYTES:
        yield "labels", f"one has {size} bytes, and may have {MAX_TEXT_BYTES}"


def encode_content(description: SidecarContent) -> bytes:
    """What it says of files, as JSON; the rest is in the manifest's head."""
    return description.model_dump_json(include={"files"}, exclude_none=True).encode()


def decode_content(body: bytes) -> SidecarContent:
    """What ``encode_content`` was given, as far as files go. Raises ``ValidationError``."""
    return SidecarContent.model_validate_json(body)


class ProblemLog:
    """What is wrong with one sidecar, the first few of it."""

    def __init__(self, found: Iterable[str] = ()) -> None:
        self._found: list[str] = []
        self._more = 0
        for problem in found:
            self.add(problem)

    def add(self, problem: str) -> None:
        """Adds a problem."""
        if len(self._found) < _MAX_PROBLEMS:
            self._found.append(problem if len(problem) <= _MAX_PROBLEM else f"{problem[:_MAX_PROBLEM]}…")
        else:
            self._more += 1

    def listed(self) -> tuple[str, ...]:
        """The first problems, and the number of the others."""
        return (*self._found, f"and {self._more} more") if self._more else tuple(self._found)


def read_described(fields: object, where: str, problems: ProblemLog) -> FileDescription:
    """What is said of one file, as far as it can be read."""
    if not isinstance(fields, dict):
        problems.add(f"{where}: it has to be an object, or the prompt")
        return NO_DESCRIPTION
    said = {name: value for name, value in known(fields, FileDescription).items() if value is not None}
    if not said:
        return NO_DESCRIPTION
    try:
        described = FileDescription.model_validate(said)
    except ValidationError as error:
        for problem in error.errors():
            problems.add(f"{where}.{problem['loc'][0]}: {problem['msg']}")
            said.pop(str(problem["loc"][0]), None)
        described = FileDescription.model_validate(said)
    if not said:
        return NO_DESCRIPTION
    too_long = dict(oversized_fields(described))
    for name, why in too_long.items():
        problems.add(f"{where}.{name}: {why}")
    if not too_long:
        return described
    rest = described.model_copy(update=dict.fromkeys(too_long))
    return rest if rest != NO_DESCRIPTION else NO_DESCRIPTION


def known(fields: object, shape: type[Frozen]) -> Any:  # noqa: ANN401  # to be validated
    """Those of the fields that the shape has: others are their author's own affair."""
    return {name: fields[name] for name in shape.model_fields if name in fields} if isinstance(fields, dict) else fields


def is_a_name(filename: str, where: str, problems: ProblemLog) -> bool:
    """Whether an object may have that name: a key has at most so many bytes."""
    if len(filename.encode()) <= _MAX_NAME_BYTES:
        return True
    problems.add(f"{where}: no object can have a name that long")
    return False


def choices(value: object) -> tuple[list[str], bool]:
    """Prompts, a number as its digits, and whether there is anything else among them."""
    choices = value if isinstance(value, list) else [] if value is None else [value]
    texts = [
        one if isinstance(one, str) else str(one)
        for one in choices
        if isinstance(one, str | int | float) and not isinstance(one, bool)
    ]
    return texts, any(isinstance(one, dict | list | bool) for one in choices)
