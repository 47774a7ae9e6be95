"""The sidecar formats: which filenames there are, and what reads each."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from s3_manifest.manifest.lenient_json import UnreadableDocument, read_json
from s3_manifest.manifest.model import first_problem
from s3_manifest.sidecars import image_folder
from s3_manifest.sidecars.content import (
    NO_DESCRIPTION,
    PROMPT_COLUMNS,
    FileDescription,
    GenerationDeclaration,
    ProblemLog,
    SidecarContent,
    choices,
    is_a_name,
    known,
    read_described,
)
from s3_manifest.sidecars.image_folder import Skipped

COLLECTION_JSON, PROMPT_METADATA_JSON = "collection.json", "prompt_metadata.json"
METADATA_JSONL, METADATA_CSV, METADATA_PARQUET = "metadata.jsonl", "metadata.csv", "metadata.parquet"
SIDECARS = (PROMPT_METADATA_JSON, METADATA_JSONL, METADATA_CSV, METADATA_PARQUET, COLLECTION_JSON)
"""The filenames, at the top of a collection, of objects that describe the others: what the first says counts most."""

EDIT_METADATA = "edit"
"""The user metadata of a sidecar that numbers the edits of it; each is greater than the one before."""

MAX_SIDECAR_BYTES = 8 << 20
"""A larger one is not read: some 50,000 files can be described in one."""

MAX_COLLECTION_BYTES, MAX_TITLE = 256 << 10, 1000
"""Of what a ``collection.json`` says, all stands in the manifest; a title is at most so many characters."""

ARCHIVED = "it is archived and cannot be read"
"""What a problem with an object begins with that is in an archive."""

_ROWS = {METADATA_JSONL: image_folder.read_jsonl, METADATA_CSV: image_folder.read_csv}


def max_sidecar_bytes(filename: str) -> int:
    """How large a sidecar of that name may be to be read."""
    return MAX_COLLECTION_BYTES if filename == COLLECTION_JSON else MAX_SIDECAR_BYTES


def read_sidecar(filename: str, body: bytes) -> SidecarContent:
    """What a sidecar of that name says."""
    most = max_sidecar_bytes(filename)
    if filename == METADATA_PARQUET:
        return SidecarContent(problems=("Parquet is not read; write the same as metadata.jsonl",))
    try:
        if rows := _ROWS.get(filename):
            return _read_image_folder(rows(body, most=most))
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
    """The number of the edit that wrote a sidecar with this user metadata; None where something else did."""
    text = metadata.get(EDIT_METADATA, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None


def _read_collection(fields: Mapping[str, Any], problems: ProblemLog) -> SidecarContent:
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
            one = GenerationDeclaration.model_validate(known(generation, GenerationDeclaration))
        except ValidationError as error:
            problems.add(f"generations.{index}.{first_problem(error)}")
            continue
        if (one.generation_id, one.type) in declared:
            problems.add(f"generations.{index}: it is declared before: {one.type} {one.generation_id}")
        declared.setdefault((one.generation_id, one.type), one)
    return SidecarContent(title=title, generations=tuple(declared.values()), problems=problems.listed())


def _read_prompts(fields: Mapping[str, Any], problems: ProblemLog) -> SidecarContent:
    files = dict[str, FileDescription]()
    for filename, said in fields.items():
        described = read_described({"prompt": said} if isinstance(said, str) else said, filename, problems)
        if described is not NO_DESCRIPTION and is_a_name(filename, filename, problems):
            files[filename] = described
    return SidecarContent(files=files, problems=problems.listed())


def _read_image_folder(rows: Iterator[image_folder.Row | Skipped]) -> SidecarContent:
    """https://huggingface.co/docs/datasets/image_dataset#imagefolder"""
    problems, exact, files, alternatives = ProblemLog(), dict[str, FileDescription](), dict[str, FileDescription](), 0
    for row in rows:
        if isinstance(row, Skipped):
            problems.add(row.problem)
            continue
        prompt, others = _prompt_of(row, problems)
        alternatives += others
        described = read_described({**row.fields, "prompt": prompt}, row.where, problems)
        for name, written in zip(row.names, row.exact, strict=True):
            if written in exact:
                problems.add(f"{row.where}: {written} is described before")
            elif is_a_name(written, row.where, problems):
                exact[written] = described
                if name != written:
                    files.setdefault(name, described)
    if alternatives:
        problems.add(f"prompts with alternatives: {alternatives}; the first of each counts")
    described_files = {name: said for name, said in (files | exact).items() if said is not NO_DESCRIPTION}
    return SidecarContent(files=described_files, problems=problems.listed())


def _prompt_of(row: image_folder.Row, problems: ProblemLog) -> tuple[str | None, bool]:
    """The first prompt in a row, a number as its digits, and whether there are alternatives to it."""
    for column in PROMPT_COLUMNS:
        texts, unusable = choices(row.fields.get(column))
        if unusable:
            problems.add(f"{row.where}.{column}: it has to be text, a number or a list of these")
        if texts:
            return texts[0], len(texts) > 1
    return None, False
