"""What sidecars say of a file, laid over what the object itself says."""

from collections.abc import Iterable
from typing import Any

from s3_manifest.manifest.model import Entry
from s3_manifest.sidecars.content import NO_DESCRIPTION, FileDescription, SidecarContent

_NOTHING_SAID = dict.fromkeys(FileDescription.model_fields)
_OVERRIDABLE = ("prompt", "generated_at", "generation_id", "generation_type", "local_path")


def merge_descriptions(
    filename: str, descriptions: Iterable[SidecarContent], caption: str | None = None
) -> FileDescription:
    """What all of them say of a file, the first that says something of a field counting; a caption counts least."""
    found = [files[filename] for files in (one.files for one in descriptions) if filename in files]
    if caption:
        found.append(FileDescription(prompt=caption))
    if len(found) < 2:
        return found[0] if found else NO_DESCRIPTION
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


def _fields(said: FileDescription) -> dict[str, Any]:
    return {name: value for name in _NOTHING_SAID if (value := getattr(said, name)) is not None}
