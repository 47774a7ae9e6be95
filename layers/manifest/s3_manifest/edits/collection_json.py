"""Edits of ``collection.json``: the title and the declared generations of a collection."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from s3_manifest.edits.sidecar_editor import SidecarEdit, SidecarEditor, UnreadableSidecar, as_read, encode
from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest.manifest.lenient_json import read_json
from s3_manifest.manifest.model import Timestamp, first_problem
from s3_manifest.sidecars.content import GenerationDeclaration
from s3_manifest.sidecars.formats import COLLECTION_JSON


def set_title(editor: SidecarEditor, title: str | None, *, only_new: bool = False) -> SidecarEdit:
    """Sets the title; None removes it. With ``only_new``, an existing title stays. Raises as ``SidecarEditor.edit``."""

    def change(fields: dict[str, Any], _may_be_written: bool) -> None:
        if only_new and fields.get("title") is not None:
            return
        fields["title"] = title
        if title is None:
            del fields["title"]

    def check(fields: dict[str, Any]) -> str | None:
        return None if only_new or as_read(COLLECTION_JSON, fields).title == title else "title"

    return editor.edit(COLLECTION_JSON, change, check)


def declare_generation(
    editor: SidecarEditor, request: GenerationRequest, now: Timestamp, above: int
) -> tuple[SidecarEdit, GenerationDeclaration]:
    """Declares a generation, or updates the declaration with the same id and type; the declaration as it is then.

    Without an id it gets the number after the greatest declared id of any type, and after ``above``. Without a time a
    new generation gets ``now``. With an id a repeat changes nothing. Raises as ``SidecarEditor.edit``.
    """
    key = editor.collection.prefix + COLLECTION_JSON
    declaration: GenerationDeclaration | None = None
    written: dict[str, Any] = {}

    def change(fields: dict[str, Any], may_be_written: bool) -> None:
        nonlocal declaration, written
        declared = _generations(fields, key)
        if may_be_written and written in declared:
            return
        id_ = _next_id(declared, above) if request.generation_id is None else request.generation_id
        same = [other for other in declared if _identity(other) == (id_, request.type)]
        before = same[0] if same else {}
        given = request.model_dump(exclude_none=True) | {"generation_id": id_}
        after = {"generated_at": now, "metadata": {}, **before, **given}
        declaration = _declaration(after, key)
        # Others write times in many forms; this is the manifest's form.
        written = {**after, "generated_at": declaration.generated_at}
        if written != before:
            fields["generations"] = [*(other for other in declared if other not in same), written]

    def check(fields: dict[str, Any]) -> str | None:
        return _changed(fields, [declaration]) if declaration else None

    edit = editor.edit(COLLECTION_JSON, change, check)
    if declaration is None:
        raise AssertionError("an edit is attempted at least once")
    return edit, declaration


def declare_generations(
    editor: SidecarEditor, generations: Iterable[GenerationDeclaration], *, only_new: bool = False
) -> SidecarEdit:
    """Declares generations, each in place of the declaration with the same id and type.

    With ``only_new``, existing declarations stay. A repeat changes nothing. Raises as ``SidecarEditor.edit``.
    """
    key = editor.collection.prefix + COLLECTION_JSON
    requested = {(generation.generation_id, generation.type): generation for generation in generations}

    def change(fields: dict[str, Any], _may_be_written: bool) -> None:
        declared = [(_identity(generation), generation) for generation in _generations(fields, key)]
        existing = {identity for identity, _ in declared if identity} if only_new else set()
        new = {id_: generation.model_dump() for id_, generation in requested.items() if id_ not in existing}
        fields["generations"] = [
            *(new.pop(identity, generation) if identity else generation for identity, generation in declared),
            *new.values(),
        ]

    def check(fields: dict[str, Any]) -> str | None:
        return None if only_new else _changed(fields, requested.values())

    return editor.edit(COLLECTION_JSON, change, check)


def _generations(fields: Mapping[str, Any], key: str) -> list[Any]:
    generations = fields.get("generations", [])
    if not isinstance(generations, list):
        raise UnreadableSidecar(f"{key}: its generations are not a list. Repair it")
    return generations


def _declaration(generation: Mapping[str, Any], key: str) -> GenerationDeclaration:
    """A declaration as readers will read it."""
    known = {name: generation[name] for name in GenerationDeclaration.model_fields if name in generation}
    try:
        return GenerationDeclaration.model_validate(read_json(encode(known)).value)
    except ValidationError as error:
        name = f"generation {generation.get('type')} {generation.get('generation_id')}"
        raise UnreadableSidecar(f"{key}: {name}: {first_problem(error)}. Repair it") from error


def _next_id(generations: list[Any], above: int) -> int:
    ids = (generation.get("generation_id") for generation in generations if isinstance(generation, dict))
    return max([above, 0, *(id_ for id_ in ids if type(id_) is int)]) + 1


def _identity(generation: Any) -> tuple[int | str, str] | None:  # noqa: ANN401  # any JSON
    """The id and the type of a declaration; None for what is not one."""
    if not isinstance(generation, dict):
        return None
    id_, type_ = generation.get("generation_id"), generation.get("type", "declared")
    return (id_, type_) if isinstance(id_, int | str) and isinstance(type_, str) else None


def _changed(fields: Mapping[str, Any], declarations: Iterable[GenerationDeclaration]) -> str | None:
    """The first of these declarations that readers would read differently."""
    read = as_read(COLLECTION_JSON, fields).generations
    changed = (declaration for declaration in declarations if declaration not in read)
    return next((f"generation {declaration.type} {declaration.generation_id}" for declaration in changed), None)
