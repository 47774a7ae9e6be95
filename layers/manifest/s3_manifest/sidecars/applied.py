"""Applies the content of sidecars to files, over the metadata of the objects, and records how far each is applied.

A large sidecar is applied incrementally, one range of filenames per commit. Until it is applied to all files,
those before some filename have its current content, and the others its previous content.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Head, Sidecar, SidecarCopy
from s3_manifest.manifest.runs import sha256_hex
from s3_manifest.sidecars.content import (
    NO_DESCRIPTION,
    FileDescription,
    GenerationDeclaration,
    SidecarContent,
    encode_content,
)
from s3_manifest.sidecars.formats import ARCHIVED, COLLECTION_JSON, SIDECARS

NO_CONTENT = SidecarContent()
_OVERRIDABLE = ("prompt", "generated_at", "generation_id", "generation_type", "local_path")


class Observation(NamedTuple):
    """The state of a key when it was observed: a file or a caption, a sidecar, or None (absent, or a folder).

    An entry has only the metadata of its own object; ``content`` is that of a sidecar. ``read_error`` is why the
    bytes of a caption or sidecar cannot be read now: its content is known only if an earlier observation read it with
    the same ETag.
    """

    key: str
    state: Entry | Sidecar | None
    content: SidecarContent | None = None
    read_error: str | None = None


class AppliedRange(NamedTuple):
    """The content of a sidecar that applies to the files before ``up_to`` (None: to all remaining files)."""

    copy: SidecarCopy
    content: SidecarContent


class AppliedSidecars(NamedTuple):
    """The content of a collection's sidecars, by filename, as far as it is applied to the manifest."""

    ranges: Mapping[str, tuple[AppliedRange, ...]]

    def describe(self, filename: str, caption: str | None) -> FileDescription:
        """The description of a file from all sidecars and the text of its caption (None: it has no caption)."""
        return merge_descriptions(filename, (self.content_for(sidecar, filename) for sidecar in SIDECARS), caption)

    def content_for(self, sidecar: str, filename: str) -> SidecarContent:
        """The content of that sidecar that applies to a file."""
        for copy, content in self.ranges.get(sidecar, ()):
            if copy.up_to is None or filename < copy.up_to:
                return content
        return NO_CONTENT


class SidecarUpdate(NamedTuple):
    """The sidecars after an update, and the copies of their content to store."""

    applied: AppliedSidecars
    sidecars: tuple[Sidecar, ...]
    copies: tuple[tuple[str, bytes], ...]
    """New copies to write: keys and bodies."""


def copy_keys(sidecars: Iterable[Sidecar]) -> list[str]:
    """The keys of the stored copies of these sidecars."""
    return [copy.key for sidecar in sidecars for copy in sidecar.copies]


def applied_sidecars(
    collection: Collection, sidecars: Iterable[Sidecar], copies: Mapping[str, SidecarContent]
) -> AppliedSidecars:
    """The applied content of a manifest's sidecars; ``copies`` has the content of each of their copies, by key."""
    return AppliedSidecars(
        {
            collection.filename(sidecar.s3_key): tuple(AppliedRange(copy, copies[copy.key]) for copy in sidecar.copies)
            for sidecar in sidecars
        }
    )


def sidecar_observations(collection: Collection, observations: Iterable[Observation]) -> dict[str, Observation]:
    """The observations of sidecars, by filename, including those of absent sidecars."""
    named = ((collection.filename(observation.key), observation) for observation in observations)
    return {name: observation for name, observation in named if name in SIDECARS}


def with_last_read_content(
    head: Head | None, collection: Collection, before: AppliedSidecars, observations: Sequence[Observation]
) -> Sequence[Observation]:
    """The observations, where a sidecar that cannot be read now has the content last read with the same ETag.

    A sidecar that was never read with its present ETag has no content.
    """
    if head is None:
        return observations
    known = {sidecar.s3_key: sidecar for sidecar in head.sidecars}

    def restored(observed: Observation) -> Observation:
        last, state = known.get(observed.key), observed.state
        if not (observed.read_error and last and isinstance(state, Sidecar) and state.etag == last.etag):
            return observed
        name = collection.filename(last.s3_key)
        ranges = before.ranges.get(name, ())
        problems = observed.content.problems if observed.content else ()
        earlier = (item.problem for item in head.problems if item.s3_key == last.s3_key)
        content = SidecarContent(
            files=ranges[0].content.files if ranges else {},
            problems=(*(text for text in earlier if not text.startswith(ARCHIVED) and text not in problems), *problems),
        )
        if name == COLLECTION_JSON:
            declared = (generation for generation in head.generations if generation.declared)
            generations = tuple(GenerationDeclaration.model_validate(item, from_attributes=True) for item in declared)
            content = content.model_copy(update={"title": head.title, "generations": generations})
        return observed._replace(state=state.model_copy(update={"edit": last.edit}), content=content)

    return [restored(observation) for observation in observations]


def affected_files(before: AppliedSidecars, observations: Mapping[str, Observation]) -> dict[str, str]:
    """The files whose description changes with the observed sidecars, each with the key of that sidecar."""
    affected: dict[str, str] = {}
    for sidecar, observation in observations.items():
        files = (observation.content or NO_CONTENT).files
        described = set(files).union(*(applied.content.files for applied in before.ranges.get(sidecar, ())))
        for name in sorted(described):
            if files.get(name) != before.content_for(sidecar, name).files.get(name):
                affected[name] = observation.key
    return affected


def update_sidecars(
    before: AppliedSidecars,
    sidecars: Iterable[Sidecar],
    observations: Mapping[str, Observation],
    up_to: str | None,
    folder: str,
) -> SidecarUpdate:
    """Applies the observed sidecars to the files before ``up_to`` (None: to all files).

    New copies are named ``<folder><filename>``.
    """
    updated = {sidecar.s3_key: sidecar for sidecar in sidecars}
    ranges, new_copies = dict(before.ranges), list[tuple[str, bytes]]()
    for name, observation in observations.items():
        old = updated.pop(observation.key, None)
        new = observation.state if isinstance(observation.state, Sidecar) else None
        content = observation.content or NO_CONTENT
        remaining = tuple(applied for applied in ranges.pop(name, ()) if _extends_past(applied, up_to))
        if new is None and not remaining:
            continue
        if content.files or remaining:  # otherwise no file has content to apply
            latest = next(iter(before.ranges.get(name, ())), None)
            # The same object can have more content than before: it was archived, or an older version of this code
            # read it.
            is_stored = old and new and old.etag == new.etag and latest and latest.content.files == content.files
            if latest and is_stored:
                key, sha256 = latest.copy.key, latest.copy.sha256
            else:
                key, body = f"{folder}{name}", encode_content(content)
                sha256 = sha256_hex(body)
                new_copies.append((key, body))
            ranges[name] = (AppliedRange(SidecarCopy(key=key, sha256=sha256, up_to=up_to), content), *remaining)
        copies = tuple(applied.copy for applied in ranges.get(name, ()))
        sidecar = new or Sidecar(s3_key=observation.key, etag="")
        updated[observation.key] = sidecar.model_copy(update={"copies": copies})
    return SidecarUpdate(AppliedSidecars(ranges), tuple(updated[key] for key in sorted(updated)), tuple(new_copies))


def _extends_past(applied: AppliedRange, up_to: str | None) -> bool:
    """Whether the range can hold files at or after ``up_to``."""
    return up_to is not None and (applied.copy.up_to is None or applied.copy.up_to > up_to)


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
    return FileDescription.model_construct(**merged)


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
    return {name: value for name in FileDescription.model_fields if (value := getattr(description, name)) is not None}
