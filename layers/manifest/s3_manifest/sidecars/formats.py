"""The sidecar formats: their filenames and their readers."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from s3_manifest.manifest.collections import MAX_KEY_BYTES
from s3_manifest.manifest.lenient_json import ProblemLog, UnreadableDocument, read_json
from s3_manifest.manifest.model import first_problem
from s3_manifest.sidecars import image_folder
from s3_manifest.sidecars.content import (
    NO_DESCRIPTION,
    FileDescription,
    GenerationDeclaration,
    SidecarContent,
    known_fields,
    oversized_fields,
)

COLLECTION_JSON, PROMPT_METADATA_JSON = "collection.json", "prompt_metadata.json"
METADATA_JSONL, METADATA_CSV, METADATA_PARQUET = "metadata.jsonl", "metadata.csv", "metadata.parquet"
SIDECARS = (PROMPT_METADATA_JSON, METADATA_JSONL, METADATA_CSV, METADATA_PARQUET, COLLECTION_JSON)
"""The filenames of sidecars, at the top of a collection, by precedence."""

PROMPT_COLUMNS = ("prompt", "text", "caption")
"""The fields that can hold a prompt, by precedence."""

EDIT_METADATA = "edit"
"""The user metadata of a sidecar that holds the number of its last edit; numbers increase."""

MAX_SIDECAR_BYTES = 8 << 20
"""A larger sidecar is not read. The limit allows descriptions of about 50,000 files."""

MAX_COLLECTION_BYTES, MAX_TITLE = 256 << 10, 1000
"""The most bytes of a ``collection.json``, which the manifest holds whole, and characters of a title."""

ARCHIVED = "it is archived and cannot be read"
"""How the problem of an archived object begins."""

_ROWS = {METADATA_JSONL: image_folder.read_jsonl, METADATA_CSV: image_folder.read_csv}


def max_sidecar_bytes(filename: str) -> int:
    """The most bytes that a sidecar of that name can have."""
    return MAX_COLLECTION_BYTES if filename == COLLECTION_JSON else MAX_SIDECAR_BYTES


def read_sidecar(filename: str, body: bytes) -> SidecarContent:
    """The content of a sidecar of that name. What cannot be read becomes a problem; nothing is raised."""
    most = max_sidecar_bytes(filename)
    if filename == METADATA_PARQUET:
        return SidecarContent(problems=("Parquet is not supported; provide metadata.jsonl instead",))
    try:
        if rows := _ROWS.get(filename):
            problems = ProblemLog()
            return _read_image_folder(rows(body, problems, most=most), problems)
        document = read_json(body, most=most)
    except UnreadableDocument as error:
        return SidecarContent(problems=(str(error),))
    problems = ProblemLog(document.problems)
    if not isinstance(document.value, dict):
        return SidecarContent(problems=("it is not a JSON object",))
    if filename == COLLECTION_JSON:
        return _read_collection(document.value, problems)
    return _read_prompts(document.value, problems)


def edit_number(metadata: Mapping[str, str]) -> int | None:
    """The number of the edit that wrote a sidecar with this user metadata; None if no edit wrote it."""
    text = metadata.get(EDIT_METADATA, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None


def _read_collection(fields: Mapping[str, Any], problems: ProblemLog) -> SidecarContent:
    title = fields.get("title")
    if title is not None and not isinstance(title, str):
        problems.add("title: it must be text")
        title = None
    elif title and len(title) > MAX_TITLE:
        problems.add(f"title: it has {len(title)} characters; the limit is {MAX_TITLE}")
        title = None
    declared: dict[tuple[int | str, str], GenerationDeclaration] = {}
    generations = fields.get("generations", [])
    if not isinstance(generations, list):
        problems.add("generations: it must be a list")
        generations = []
    for index, item in enumerate(generations):
        try:
            generation = GenerationDeclaration.model_validate(known_fields(item, GenerationDeclaration))
        except ValidationError as error:
            problems.add(f"generations.{index}.{first_problem(error)}")
            continue
        identity = generation.generation_id, generation.type
        if identity in declared:
            problems.add(f"generations.{index}: {generation.type} {generation.generation_id} is already declared")
        declared.setdefault(identity, generation)
    return SidecarContent(title=title, generations=tuple(declared.values()), problems=problems.listed())


def _read_prompts(fields: Mapping[str, Any], problems: ProblemLog) -> SidecarContent:
    files = dict[str, FileDescription]()
    for filename, value in fields.items():
        description = _read_description({"prompt": value} if isinstance(value, str) else value, filename, problems)
        if description is not NO_DESCRIPTION and _is_valid_name(filename, filename, problems):
            files[filename] = description
    return SidecarContent(files=files, problems=problems.listed())


def _read_image_folder(rows: Iterator[image_folder.Row], problems: ProblemLog) -> SidecarContent:
    """https://huggingface.co/docs/datasets/image_dataset#imagefolder"""
    exact, files, alternatives = dict[str, FileDescription](), dict[str, FileDescription](), 0
    for row in rows:
        prompt, has_alternatives = _prompt_of(row, problems)
        alternatives += has_alternatives
        description = _read_description({**row.fields, "prompt": prompt}, row.where, problems)
        for name, written in zip(row.names, row.exact, strict=True):
            if written in exact:
                problems.add(f"{row.where}: {written} is already described")
            elif _is_valid_name(written, row.where, problems):
                exact[written] = description
                if name != written:
                    files.setdefault(name, description)
    if alternatives:
        problems.add(f"prompts with alternatives: {alternatives}; the first of each is used")
    described = {name: fields for name, fields in (files | exact).items() if fields is not NO_DESCRIPTION}
    return SidecarContent(files=described, problems=problems.listed())


def _prompt_of(row: image_folder.Row, problems: ProblemLog) -> tuple[str | None, bool]:
    """The first prompt in a row, a number as its digits, and whether there are alternatives to it."""
    for column in PROMPT_COLUMNS:
        texts, unusable = choices(row.fields.get(column))
        if unusable:
            problems.add(f"{row.where}.{column}: it must be text, a number or a list of these")
        if texts:
            return texts[0], len(texts) > 1
    return None, False


def _read_description(fields: object, where: str, problems: ProblemLog) -> FileDescription:
    """The description of one file, without the fields that are not valid; these become problems."""
    if not isinstance(fields, dict):
        problems.add(f"{where}: it must be an object or the prompt")
        return NO_DESCRIPTION
    values = {name: value for name, value in known_fields(fields, FileDescription).items() if value is not None}
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


def _is_valid_name(filename: str, where: str, problems: ProblemLog) -> bool:
    """Whether an object can have that name: a key in S3 has at most 1,024 bytes."""
    if len(filename.encode()) <= MAX_KEY_BYTES:
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
