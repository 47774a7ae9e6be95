"""What sidecars say of a collection and of its files: decoded, and laid over what the objects say themselves.

Whatever is wrong in one is told as a problem and left out; the rest of it counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, JsonValue, StrictBool, StrictInt, StrictStr, ValidationError

from s3_manifest.manifest.lenient_json import NotReadable, read_json, text_of
from s3_manifest.manifest.model import Entry, Frozen, Timestamp, first_problem, timestamp
from s3_manifest.sidecars import image_folder
from s3_manifest.sidecars.image_folder import PROMPT_COLUMNS, Skipped

COLLECTION, PROMPTS = "collection.json", "prompt_metadata.json"
IMAGE_FOLDER, IMAGE_FOLDER_CSV, IMAGE_FOLDER_PARQUET = "metadata.jsonl", "metadata.csv", "metadata.parquet"
SIDECARS = (PROMPTS, IMAGE_FOLDER, IMAGE_FOLDER_CSV, IMAGE_FOLDER_PARQUET, COLLECTION)
"""The filenames, at the top of a collection, of objects that describe the others: what the first says counts most."""

EDIT = "edit"
"""The user metadata of a sidecar that numbers the edits of it; each is greater than the one before."""

MAX_SIDECAR_BYTES = 8 << 20
"""A larger one is not read: some 50,000 files can be described in one."""

MAX_CAPTION_BYTES, MAX_COLLECTION_BYTES, MAX_TITLE = 64 << 10, 256 << 10, 1000
"""Of what a ``collection.json`` says, all stands in the manifest; a title is at most so many characters."""

MAX_PROMPT_BYTES, MAX_LABELS, MAX_TEXT_BYTES = 64 << 10, 200, 1 << 10
"""The most that a sidecar may say of one file: bytes of a prompt, labels, and bytes of each label and other text.

What is longer is left out, so that no entry is too large for an answer."""

ARCHIVED = "it is archived and cannot be read"
"""What a problem with an object begins with that is in an archive."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jxl")
VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v")
"""Images and videos are what a file of the same name may be the caption of, in lower case or in capitals."""

CAPTION_SUFFIXES = (".txt", ".caption", ".json")
"""Of captions, in lower case or in capitals. Of several beside one file the first that has a text counts."""


def _and_in_capitals(suffixes: Iterable[str]) -> tuple[str, ...]:
    return tuple(case for suffix in suffixes for case in (suffix, suffix.upper()))


_IMAGES, _CAPTIONED = _and_in_capitals(IMAGE_SUFFIXES), _and_in_capitals((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))
_CAPTIONS, _TEXTS = _and_in_capitals(CAPTION_SUFFIXES), _and_in_capitals((".txt", ".caption"))
_ROWS = {IMAGE_FOLDER: image_folder.read_jsonl, IMAGE_FOLDER_CSV: image_folder.read_csv}
_MAX_PROBLEMS, _MAX_PROBLEM, _MAX_NAME_BYTES = 20, 500, 1024


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


NOTHING = FileDescription()


def is_caption(filename: str) -> bool:
    """Whether an object of that name is a caption, whatever it says: any ``.txt`` and ``.caption``."""
    return filename.endswith(_TEXTS)


def may_be_caption(filename: str) -> bool:
    """Whether it is, or may be: a ``.json`` is one if it says a prompt, and else a file."""
    return filename.endswith(_CAPTIONS) and filename not in SIDECARS


def is_image(filename: str) -> bool:
    """Whether it is an image, by its name."""
    return filename.endswith(_IMAGES)


def is_captioned(filename: str) -> bool:
    """Whether a caption may lie beside it: it is an image or a video, by its name."""
    return filename.endswith(_CAPTIONED)


def caption_of(filename: str) -> str:
    """The filename of the caption that counts first, and that is written."""
    return filename.rpartition(".")[0] + _CAPTIONS[0]


def captions_of(filename: str) -> Iterator[str]:
    """The filenames of captions of an image or a video; the first that has a text counts."""
    stem = filename.rpartition(".")[0]
    return (name for suffix in _CAPTIONS if (name := stem + suffix) not in SIDECARS)


def captioned_by(caption: str) -> Iterator[str]:
    """The filenames that this may be the caption of."""
    stem = caption.rpartition(".")[0]
    return (stem + suffix for suffix in _CAPTIONED)


def max_bytes(filename: str) -> int:
    """How large a sidecar of that name may be to be read."""
    return MAX_COLLECTION_BYTES if filename == COLLECTION else MAX_SIDECAR_BYTES


def read_sidecar(filename: str, body: bytes) -> SidecarContent:
    """What a sidecar of that name says."""
    most = max_bytes(filename)
    if filename == IMAGE_FOLDER_PARQUET:
        return SidecarContent(problems=("Parquet is not read; write the same as metadata.jsonl",))
    try:
        if rows := _ROWS.get(filename):
            return _read_image_folder(rows(body, most=most))
        document = read_json(body, most=most)
    except NotReadable as error:
        return SidecarContent(problems=(str(error),))
    problems = _Problems(document.problems)
    if not isinstance(document.value, dict):
        return SidecarContent(problems=("it is not a JSON object",))
    if filename == COLLECTION:
        return _read_collection(document.value, problems)
    return _read_prompts(document.value, problems)


def read_caption(body: bytes) -> tuple[str, str | None]:
    """A caption's text without blanks around it, or an empty one and what is wrong with it.

    All of its lines are the prompt: whether they are alternatives or paragraphs, they do not say.
    """
    try:
        return text_of(body, most=MAX_CAPTION_BYTES).strip(), None
    except NotReadable as error:
        return "", str(error)


def read_json_caption(body: bytes) -> str | None:
    """The prompt in a JSON object beside an image: ``prompt``, ``text`` or ``caption``, the first of alternatives.

    None where it says none, so that it is no caption.
    """
    try:
        said = read_json(body, most=MAX_CAPTION_BYTES).value
    except NotReadable:
        return None
    if not isinstance(said, dict):
        return None
    texts = (text.strip() for column in PROMPT_COLUMNS for text in _choices(said.get(column))[0])
    return next((text for text in texts if text), None)


def text_of_caption(filename: str, body: bytes) -> str | None:
    """The text of a caption of that name; None where it has none."""
    return (read_caption(body)[0] or None) if is_caption(filename) else read_json_caption(body)


_LIMITED = ("prompt", "generation_id", "generation_type", "local_path")


def oversized(said: FileDescription) -> Iterator[tuple[str, str]]:
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


def edit_of(metadata: Mapping[str, str]) -> int | None:
    """The number of the edit that wrote a sidecar with this user metadata; None where something else did."""
    text = metadata.get(EDIT, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None


def description_of(
    filename: str, descriptions: Iterable[SidecarContent], caption: str | None = None
) -> FileDescription:
    """What all of them say of a file, the first that says something of a field counting; a caption counts least."""
    found = [files[filename] for files in (one.files for one in descriptions) if filename in files]
    if caption:
        found.append(FileDescription(prompt=caption))
    if len(found) < 2:
        return found[0] if found else NOTHING
    said: dict[str, Any] = {}
    for one in found:
        fields = _fields(one)
        if "generation_id" in said:  # an id goes with its own type
            fields.pop("generation_type", None)
        said = fields | said
    return FileDescription.model_construct(**{**_NOTHING_SAID, **said})


def apply_overrides(entry: Entry, said: FileDescription) -> Entry:
    """The entry that the manifest has, from one that only says what the object itself does."""
    fields = _fields(said)
    if "generation_id" in fields:
        fields.setdefault("generation_type", "declared")
    fields = {name: value for name, value in fields.items() if value != getattr(entry, name)}
    if not fields:
        return entry
    overridden = {name: getattr(entry, name) for name in fields if name in _OVERRIDABLE}
    return entry.model_copy(update={**fields, "overridden": overridden})


def strip_overrides(entry: Entry) -> Entry:
    """The entry that only says what the object itself does: what ``apply_overrides`` was given."""
    if not (entry.overridden or entry.hidden or entry.labels or not entry.good):
        return entry
    return entry.model_copy(update={**entry.overridden, "overridden": {}, "good": True, "labels": (), "hidden": False})


def differing(before: SidecarContent, after: SidecarContent) -> Iterator[str]:
    """The filenames of which they do not say the same."""
    said, says = before.files, after.files
    return (name for name in sorted(said.keys() | says.keys()) if said.get(name) != says.get(name))


def encode_content(description: SidecarContent) -> bytes:
    """What it says of files, as JSON; the rest is in the manifest's head."""
    return description.model_dump_json(include={"files"}, exclude_none=True).encode()


def decode_content(body: bytes) -> SidecarContent:
    """What ``encode_content`` was given, as far as files go. Raises ``ValidationError``."""
    return SidecarContent.model_validate_json(body)


_NOTHING_SAID = dict.fromkeys(FileDescription.model_fields)
_OVERRIDABLE = ("prompt", "generated_at", "generation_id", "generation_type", "local_path")


def _fields(said: FileDescription) -> dict[str, Any]:
    return {name: value for name in _NOTHING_SAID if (value := getattr(said, name)) is not None}


class _Problems:
    """What is wrong with one sidecar, the first few of it."""

    def __init__(self, found: Iterable[str] = ()) -> None:
        self._found: list[str] = []
        self._more = 0
        for problem in found:
            self.add(problem)

    def add(self, problem: str) -> None:
        if len(self._found) < _MAX_PROBLEMS:
            self._found.append(problem if len(problem) <= _MAX_PROBLEM else f"{problem[:_MAX_PROBLEM]}…")
        else:
            self._more += 1

    def told(self) -> tuple[str, ...]:
        return (*self._found, f"and {self._more} more") if self._more else tuple(self._found)


def _read_collection(fields: Mapping[str, Any], problems: _Problems) -> SidecarContent:
    title = fields.get("title")
    if title is not None and not isinstance(title, str):
        problems.add("title: it has to be text")
        title = None
    elif title and len(title) > MAX_TITLE:
        problems.add(f"title: it has {len(title)} characters, and may have {MAX_TITLE}")
        title = None
    declared: dict[tuple[int | str, str], GenerationDeclaration] = {}
    generations = fields.get("generations", [])
    if not isinstance(generations, list):
        problems.add("generations: it has to be a list")
        generations = []
    for index, generation in enumerate(generations):
        try:
            one = GenerationDeclaration.model_validate(_known(generation, GenerationDeclaration))
        except ValidationError as error:
            problems.add(f"generations.{index}.{first_problem(error)}")
            continue
        if (one.generation_id, one.type) in declared:
            problems.add(f"generations.{index}: it is declared before: {one.type} {one.generation_id}")
        declared.setdefault((one.generation_id, one.type), one)
    return SidecarContent(title=title, generations=tuple(declared.values()), problems=problems.told())


def _read_prompts(fields: Mapping[str, Any], problems: _Problems) -> SidecarContent:
    files = dict[str, FileDescription]()
    for filename, said in fields.items():
        described = _read_described({"prompt": said} if isinstance(said, str) else said, filename, problems)
        if described is not NOTHING and _is_a_name(filename, filename, problems):
            files[filename] = described
    return SidecarContent(files=files, problems=problems.told())


def _read_image_folder(rows: Iterator[image_folder.Row | Skipped]) -> SidecarContent:
    """https://huggingface.co/docs/datasets/image_dataset#imagefolder"""
    problems, exact, files, alternatives = _Problems(), dict[str, FileDescription](), dict[str, FileDescription](), 0
    for row in rows:
        if isinstance(row, Skipped):
            problems.add(row.problem)
            continue
        prompt, others = _prompt_of(row, problems)
        alternatives += others
        described = _read_described({**row.fields, "prompt": prompt}, row.where, problems)
        for name, written in zip(row.names, row.exact, strict=True):
            if written in exact:
                problems.add(f"{row.where}: {written} is described before")
            elif _is_a_name(written, row.where, problems):
                exact[written] = described
                if name != written:
                    files.setdefault(name, described)
    if alternatives:
        problems.add(f"prompts with alternatives: {alternatives}; the first of each counts")
    described_files = {name: said for name, said in (files | exact).items() if said is not NOTHING}
    return SidecarContent(files=described_files, problems=problems.told())


def _prompt_of(row: image_folder.Row, problems: _Problems) -> tuple[str | None, bool]:
    """The first prompt in a row, a number as its digits, and whether there are alternatives to it."""
    for column in PROMPT_COLUMNS:
        texts, unusable = _choices(row.fields.get(column))
        if unusable:
            problems.add(f"{row.where}.{column}: it has to be text, a number or a list of these")
        if texts:
            return texts[0], len(texts) > 1
    return None, False


def _choices(value: object) -> tuple[list[str], bool]:
    """Prompts, a number as its digits, and whether there is anything else among them."""
    choices = value if isinstance(value, list) else [] if value is None else [value]
    texts = [
        one if isinstance(one, str) else str(one)
        for one in choices
        if isinstance(one, str | int | float) and not isinstance(one, bool)
    ]
    return texts, any(isinstance(one, dict | list | bool) for one in choices)


def _is_a_name(filename: str, where: str, problems: _Problems) -> bool:
    """Whether an object may have that name: a key has at most so many bytes."""
    if len(filename.encode()) <= _MAX_NAME_BYTES:
        return True
    problems.add(f"{where}: no object can have a name that long")
    return False


def _read_described(fields: object, where: str, problems: _Problems) -> FileDescription:
    """What is said of one file, as far as it can be read."""
    if not isinstance(fields, dict):
        problems.add(f"{where}: it has to be an object, or the prompt")
        return NOTHING
    said = {name: value for name, value in _known(fields, FileDescription).items() if value is not None}
    if not said:
        return NOTHING
    try:
        described = FileDescription.model_validate(said)
    except ValidationError as error:
        for problem in error.errors():
            problems.add(f"{where}.{problem['loc'][0]}: {problem['msg']}")
            said.pop(str(problem["loc"][0]), None)
        described = FileDescription.model_validate(said)
    if not said:
        return NOTHING
    too_long = dict(oversized(described))
    for name, why in too_long.items():
        problems.add(f"{where}.{name}: {why}")
    if not too_long:
        return described
    rest = described.model_copy(update=dict.fromkeys(too_long))
    return rest if rest != NOTHING else NOTHING


def _known(fields: object, shape: type[Frozen]) -> Any:  # noqa: ANN401  # to be validated
    """Those of the fields that the shape has: others are their author's own affair."""
    return {name: fields[name] for name in shape.model_fields if name in fields} if isinstance(fields, dict) else fields
