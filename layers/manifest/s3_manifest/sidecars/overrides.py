"""Applies the descriptions of sidecars to entries, over the metadata of the objects themselves."""

from collections.abc import Iterable
from typing import Any

from s3_manifest.manifest.model import Entry
from s3_manifest.sidecars.content import NO_DESCRIPTION, FileDescription, SidecarContent

_EMPTY = dict.fromkeys(FileDescription.model_fields)
_OVERRIDABLE = ("prompt", "generated_at", "generation_id", "generation_type", "local_path")


def merge_descriptions(
    filename: str, contents: Iterable[SidecarContent], caption: str | None = None
) -> FileDescription:
    """The description of a file: each field has its value from the first sidecar that sets it, the caption last."""
    descriptions = [files[filename] for files in (content.files for content in contents) if filename in files]
    if caption:
        descriptions.append(FileDescription(prompt=caption))
    if len(descriptions) < 2:
        return descriptions[0] if descriptions else NO_DESCRIPTION
    merged: dict[str, Any] = {}
    for description in descriptions:
        fields = _fields(description)
        if "generation_id" in merged:  # an id keeps the type that was set with it
            fields.pop("generation_type", None)
        merged = fields | merged
    return FileDescription.model_construct(**{**_EMPTY, **merged})


def apply_overrides(entry: Entry, description: FileDescription) -> Entry:
    """The manifest's entry, from an entry that has only the metadata of its object."""
    fields = _fields(description)
    if "generation_id" in fields:
        fields.setdefault("generation_type", "declared")
    fields = {name: value for name, value in fields.items() if value != getattr(entry, name)}
    if not fields:
        return entry
    overridden = {name: getattr(entry, name) for name in fields if name in _OVERRIDABLE}
    return entry.model_copy(update={**fields, "overridden": overridden})


def strip_overrides(entry: Entry) -> Entry:
    """Undoes ``apply_overrides``: the entry with only the metadata of its object."""
    if not (entry.overridden or entry.hidden or entry.labels or not entry.good):
        return entry
    return entry.model_copy(update={**entry.overridden, "overridden": {}, "good": True, "labels": (), "hidden": False})


def _fields(description: FileDescription) -> dict[str, Any]:
    return {name: value for name in _EMPTY if (value := getattr(description, name)) is not None}
