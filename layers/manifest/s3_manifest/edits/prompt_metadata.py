"""Edits of ``prompt_metadata.json``: the fields that describe files, by filename."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import JsonValue, ValidationError

from s3_manifest.edits.sidecar_editor import InvalidEdit, SidecarEdit, SidecarEditor, UnreadableSidecar, as_read
from s3_manifest.manifest.model import first_problem
from s3_manifest.sidecars.content import NO_DESCRIPTION, FileDescription
from s3_manifest.sidecars.formats import PROMPT_METADATA_JSON

Fields = Mapping[str, JsonValue]


def read_descriptions(editor: SidecarEditor, filenames: Iterable[str]) -> Mapping[str, Fields]:
    """The fields of those of the files that have any. Raises ``UnreadableSidecar``, ``StoreError``."""
    key, fields = editor.collection.prefix + PROMPT_METADATA_JSON, editor.fields(PROMPT_METADATA_JSON)
    return {filename: _description(fields, key, filename) for filename in filenames if filename in fields}


def update_descriptions(editor: SidecarEditor, updates: Mapping[str, Fields], *, only_new: bool = False) -> SidecarEdit:
    """Sets fields of files, by filename; null removes a field, and other fields stay.

    The values must be valid for ``FileDescription``. With ``only_new``, fields that have a value stay too. A repeat
    changes nothing. Raises as ``SidecarEditor.edit``.
    """
    key = editor.collection.prefix + PROMPT_METADATA_JSON
    intended: dict[str, dict[str, JsonValue]] = {}

    def change(fields: dict[str, Any], _may_be_written: bool) -> None:
        for filename, update in updates.items():
            before = _description(fields, key, filename)
            fixed = {name: value for name, value in before.items() if value is not None} if only_new else {}
            intended[filename] = {name: value for name, value in update.items() if name not in fixed}
            after = {name: value for name, value in {**before, **update, **fixed}.items() if value is not None}
            # A description without a change keeps the form that its author chose.
            if after != before:
                fields[filename] = after
            if not after:
                fields.pop(filename, None)

    def check(fields: dict[str, Any]) -> str | None:
        # Only the updated files: reading the descriptions of all files takes seconds.
        updated = {filename: fields[filename] for filename in updates if filename in fields}
        files = as_read(PROMPT_METADATA_JSON, updated).files
        for filename, values in intended.items():
            description = files.get(filename, NO_DESCRIPTION)
            for name, value in values.items():
                # Fields that are not ours are not read.
                if name in FileDescription.model_fields and getattr(description, name) != _as_read(name, value):
                    return f"{filename}.{name}"
        return None

    return editor.edit(PROMPT_METADATA_JSON, change, check)


def remove_descriptions(editor: SidecarEditor, expected: Mapping[str, Fields]) -> SidecarEdit | None:
    """Removes the descriptions of files that still equal the ``expected`` descriptions.

    So the description of a new file of the same name stays. If there is nothing to remove, writes nothing and returns
    None. Raises as ``SidecarEditor.edit``.
    """
    key = editor.collection.prefix + PROMPT_METADATA_JSON
    is_removed = False

    def change(fields: dict[str, Any], _may_be_written: bool) -> None:
        nonlocal is_removed
        outdated = [name for name in expected if name in fields and _description(fields, key, name) == expected[name]]
        is_removed = is_removed or bool(outdated)
        for filename in outdated:
            del fields[filename]

    if not expected:
        return None
    edit = editor.edit(PROMPT_METADATA_JSON, change, None, numbered=False)
    return edit if is_removed else None


def _description(fields: Mapping[str, Any], key: str, filename: str) -> Fields:
    """The fields of one file; a text in place of an object is its prompt."""
    description = fields.get(filename, {})
    description = {"prompt": description} if isinstance(description, str) else description
    if not isinstance(description, dict):
        raise UnreadableSidecar(
            f"{key}: the value of {filename} is neither an object nor a prompt. Repair or delete that value"
        )
    return description


def _as_read(name: str, value: JsonValue) -> object:
    """A field as readers have it: a time in the manifest's form, a list as a tuple. Raises ``InvalidEdit``."""
    try:
        return getattr(FileDescription.model_validate({name: value}), name)
    except ValidationError as error:
        raise InvalidEdit(first_problem(error)) from error
