"""What the files of a manifest go by of what its sidecars say, and how that follows the sidecars.

A sidecar that speaks of very many files is applied a stretch at a time: until it is applied to all,
the files up to some name go by what it says now, and those after it by what it said before.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Head, Sidecar, SidecarCopy
from s3_manifest.manifest.runs import sha256_hex
from s3_manifest.sidecars.content import FileDescription, GenerationDeclaration, SidecarContent, encode_content
from s3_manifest.sidecars.formats import ARCHIVED, COLLECTION_JSON, SIDECARS
from s3_manifest.sidecars.overrides import merge_descriptions

NO_CONTENT = SidecarContent()


class Observation(NamedTuple):
    """What a key was when it was looked at: a file or a caption, a sidecar, or neither (absent, or a folder).

    ``description`` is what a sidecar says. An entry says only what the object itself does. ``unread`` says why the
    bytes of one that describes others cannot be read now: what they say is known only if they were read before, for
    the same ETag.
    """

    key: str
    state: Entry | Sidecar | None
    content: SidecarContent | None = None
    read_error: str | None = None


class AppliedRange(NamedTuple):
    """What the files before ``up_to`` (None: the rest) go by: a copy of what the sidecar said."""

    copy: SidecarCopy
    content: SidecarContent


class AppliedSidecars:
    """What a collection's sidecars say of its files, as far as the manifest goes by it."""

    def __init__(self, parts: Mapping[str, tuple[AppliedRange, ...]]) -> None:
        self.ranges = parts
        """By the sidecar's filename."""

    def describe(self, filename: str, caption: str | None) -> FileDescription:
        """What is said of a file, which has a caption with that text (None: none)."""
        return merge_descriptions(filename, (self.content_for(sidecar, filename) for sidecar in SIDECARS), caption)

    def content_for(self, sidecar: str, filename: str) -> SidecarContent:
        """What a file goes by of what that sidecar says."""
        for copy, description in self.ranges.get(sidecar, ()):
            if copy.up_to is None or filename < copy.up_to:
                return description
        return NO_CONTENT

    def changed_filenames(self, sidecar: str, now: SidecarContent) -> list[str]:
        """The filenames of which the sidecar says now something else than they go by; sorted."""
        spoken_of = set(now.files).union(*(part.content.files for part in self.ranges.get(sidecar, ())))
        return sorted(
            name for name in spoken_of if now.files.get(name) != self.content_for(sidecar, name).files.get(name)
        )


class SidecarUpdate(NamedTuple):
    """Descriptions after some sidecars were looked at, and what the manifest is to keep of them."""

    applied: AppliedSidecars
    sidecars: tuple[Sidecar, ...]
    copies: tuple[tuple[str, bytes], ...]
    """New copies, to be written: keys and bodies."""


def copy_keys(sidecars: Iterable[Sidecar]) -> list[str]:
    """The keys of the copies that these sidecars' files go by."""
    return [copy.key for sidecar in sidecars for copy in sidecar.copies]


def applied_sidecars(
    collection: Collection, sidecars: Iterable[Sidecar], copies: Mapping[str, SidecarContent]
) -> AppliedSidecars:
    """What the files of a manifest with these sidecars go by; ``copies`` has what each of their copies says."""
    return AppliedSidecars(
        {
            collection.filename(sidecar.s3_key): tuple(AppliedRange(copy, copies[copy.key]) for copy in sidecar.copies)
            for sidecar in sidecars
        }
    )


def sidecar_observations(collection: Collection, seen: Iterable[Observation]) -> dict[str, Observation]:
    """Those of the seen keys that are sidecars', by filename, whether one is there or not."""
    names = ((collection.filename(one.key), one) for one in seen)
    return {name: one for name, one in names if name in SIDECARS}


def with_last_read_content(
    head: Head | None, collection: Collection, before: AppliedSidecars, seen: Sequence[Observation]
) -> Sequence[Observation]:
    """What was seen, sidecars that cannot be read now with what they said when they were: that is valid for their ETag.

    One that was never read for the ETag it has says nothing.
    """
    known = {sidecar.s3_key: sidecar for sidecar in head.sidecars} if head else {}
    return [
        _as_last_read(head, collection, before, one, was)
        if head and one.read_error and isinstance(one.state, Sidecar) and (was := known.get(one.key))
        else one
        for one in seen
    ]


def _as_last_read(
    head: Head, collection: Collection, before: AppliedSidecars, unread: Observation, was: Sidecar
) -> Observation:
    if not isinstance(unread.state, Sidecar) or unread.state.etag != was.etag:
        return unread
    name = collection.filename(was.s3_key)
    parts = before.ranges.get(name, ())
    now = unread.content.problems if unread.content else ()
    told = (one.problem for one in head.problems if one.s3_key == was.s3_key)
    description = SidecarContent(
        files=parts[0].content.files if parts else {},
        problems=(*(problem for problem in told if not problem.startswith(ARCHIVED) and problem not in now), *now),
    )
    if name == COLLECTION_JSON:
        declared = tuple(
            GenerationDeclaration(
                generation_id=one.generation_id, type=one.type, generated_at=one.generated_at, metadata=one.metadata
            )
            for one in head.generations
            if one.declared
        )
        description = description.model_copy(update={"title": head.title, "generations": declared})
    return unread._replace(state=unread.state.model_copy(update={"edit": was.edit}), content=description)


def affected_files(before: AppliedSidecars, looked: Mapping[str, Observation]) -> dict[str, str]:
    """The filenames that sidecars which were looked at speak of otherwise than before, each with that sidecar's key."""
    found: dict[str, str] = {}
    for name, one in looked.items():
        found |= dict.fromkeys(before.changed_filenames(name, one.content or NO_CONTENT), one.key)
    return found


def update_sidecars(
    before: AppliedSidecars,
    sidecars: Iterable[Sidecar],
    looked: Mapping[str, Observation],
    up_to: str | None,
    folder: str,
) -> SidecarUpdate:
    """What files go by once the sidecars that were looked at are applied to those before ``up_to`` (None: to all).

    New copies are named ``<folder><filename>``.
    """
    kept = {sidecar.s3_key: sidecar for sidecar in sidecars}
    parts, new = dict(before.ranges), list[tuple[str, bytes]]()
    for name, one in looked.items():
        was, now = kept.pop(one.key, None), one.state if isinstance(one.state, Sidecar) else None
        found = one.content or NO_CONTENT
        rest = tuple(part for part in parts.pop(name, ()) if _reaches(part, up_to))
        if now is None and not rest:
            continue
        if found.files or rest:  # else there is nothing that a file could go by
            latest = next(iter(before.ranges.get(name, ())), None)
            # The same object may say more than before: it was archived, or read by an older version of this code.
            is_known = was and now and was.etag == now.etag and latest and latest.content.files == found.files
            if latest and is_known:
                key, sha256 = latest.copy.key, latest.copy.sha256
            else:
                key, body = f"{folder}{name}", encode_content(found)
                sha256 = sha256_hex(body)
                new.append((key, body))
            parts[name] = (AppliedRange(SidecarCopy(key=key, sha256=sha256, up_to=up_to), found), *rest)
        copies = tuple(part.copy for part in parts.get(name, ()))
        kept[one.key] = (now or Sidecar(s3_key=one.key, etag="")).model_copy(update={"copies": copies})
    return SidecarUpdate(AppliedSidecars(parts), tuple(kept[key] for key in sorted(kept)), tuple(new))


def _reaches(part: AppliedRange, up_to: str | None) -> bool:
    """Whether there may be files from ``up_to`` on that go by it."""
    return up_to is not None and (part.copy.up_to is None or part.copy.up_to > up_to)
