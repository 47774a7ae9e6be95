"""The manifest after some keys were looked at: pure, and the same however often it is repeated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from s3_manifest.manifest.changes import SORTS, ChangeRecord, FileChange
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.layout import Layout
from s3_manifest.manifest.model import SWEEP, Entry, Facts, Generation, Head, Problem, Sidecar, Timestamp
from s3_manifest.reconcile.entries import keep_source
from s3_manifest.sidecars import captions
from s3_manifest.sidecars.descriptions import Observation, Revision, looked_at
from s3_manifest.sidecars.formats import (
    COLLECTION,
    GenerationDeclaration,
    SidecarContent,
    apply_overrides,
    captioned_by,
    captions_of,
    is_captioned,
    may_be_caption,
    strip_overrides,
)
from s3_manifest.storage.chain import FIRST, REPAIRED


class Delta(NamedTuple):
    """What looking at some keys told of a collection, compared with what its manifest said."""

    alterations: tuple[FileChange, ...]
    sidecars: tuple[Sidecar, ...]
    title: str | None
    declared: tuple[GenerationDeclaration, ...] | None
    """The generations that a ``collection.json`` declares; None: nobody looked at one."""
    problems: tuple[Problem, ...]
    """What is wrong with the sidecars."""


def told(
    head: Head | None,
    collection: Collection,
    known: Mapping[str, Entry],
    seen: Iterable[Observation],
    causes: Mapping[str, str],
    *,
    revision: Revision,
    concerned: Mapping[str, str],
) -> Delta:
    """What the seen keys alter, those that sidecars of a ``revision`` speak of otherwise among them.

    ``known`` are the manifest's entries by filename, of all that this concerns: see ``affected_filenames``.
    ``causes`` says, by key, what made us look; for the others a listing did. ``concerned`` gives, by
    filename, the key of the sidecar that speaks of it otherwise.
    """
    looked = {collection.filename(one.key): _as_last_read(known.get(collection.filename(one.key)), one) for one in seen}
    reasons = {name: causes.get(collection.prefix + name, SWEEP) for name in looked}
    reasons |= {name: causes.get(key, SWEEP) for name, key in _followers(looked, concerned, collection)}
    alterations: list[FileChange] = []
    for name, cause in reasons.items():
        before = known.get(name)
        after = _by_itself(before, looked[name]) if name in looked else before and strip_overrides(before)
        if after and after.caption is None:
            caption = _caption(name, looked, known) if is_captioned(name) else None
            after = apply_overrides(after, revision.descriptions.said(name, caption))
        if before is not after and before != after:
            alterations.append(FileChange(filename=name, cause=cause, before=before, after=after))
    sidecars = {one.key: one.description or SidecarContent() for one in looked_at(collection, seen).values()}
    title, declared = head.title if head else None, None
    if (described := sidecars.get(collection.prefix + COLLECTION)) is not None:
        title, declared = described.title, described.generations
    return Delta(tuple(alterations), revision.sidecars, title, declared, _problems(head, sidecars))


def affected_filenames(collection: Collection, seen: Iterable[Observation], concerned: Iterable[str]) -> set[str]:
    """The filenames of all entries that what was seen may alter, or that it is to be compared with."""
    names = {collection.filename(one.key) for one in seen}
    names |= {image for name in names if may_be_caption(name) for image in captioned_by(name)}
    names.update(concerned)
    return names | {caption for name in names if is_captioned(name) for caption in captions_of(name)}


def _caption(filename: str, looked: Mapping[str, Entry | None], known: Mapping[str, Entry]) -> str | None:
    """The text of the first caption beside a file that has one."""
    entries = (looked[name] if name in looked else known.get(name) for name in captions_of(filename))
    return next((entry.caption for entry in entries if entry and entry.caption), None)


def _followers(
    looked: Mapping[str, Entry | None], concerned: Mapping[str, str], collection: Collection
) -> Iterator[tuple[str, str]]:
    """The filenames of what was not looked at itself and may follow what was, each with the key that it follows."""
    for name in looked:
        if may_be_caption(name):
            yield from ((image, collection.prefix + name) for image in captioned_by(name) if image not in looked)
    yield from ((name, key) for name, key in concerned.items() if name not in looked)


def _as_last_read(before: Entry | None, seen: Observation) -> Entry | None:
    """The entry that was seen, a caption that cannot be read now with the text it had: that is valid for its ETag."""
    entry = seen.what if isinstance(seen.what, Entry) else None
    if entry is None or not seen.unread or before is None or before.caption is None or before.etag != entry.etag:
        return entry
    return entry.model_copy(update={"caption": before.caption, "problem": seen.unread})


def _by_itself(before: Entry | None, after: Entry | None) -> Entry | None:
    """What an object says itself, after a look at it."""
    return keep_source(strip_overrides(before), after) if before and after else after


def _problems(head: Head | None, sidecars: Mapping[str, SidecarContent]) -> tuple[Problem, ...]:
    """What is wrong with the sidecars: those that were looked at, and those of before."""
    known = {sidecar.s3_key for sidecar in head.sidecars} if head else set()
    kept = [one for one in (head.problems if head else ()) if one.s3_key in known - sidecars.keys()]
    found = (Problem(s3_key=key, problem=text) for key, one in sidecars.items() for text in one.problems)
    return tuple(sorted([*kept, *found], key=lambda one: one.s3_key))


def merge(
    head: Head | None,
    collection: Collection,
    bucket: str,
    told: Delta,
    layout: Layout,
    *,
    commit: str,
    now: Timestamp,
    complete: bool,
    verified_at: Timestamp | None = None,
    revisions_before: int = 0,
    is_repair: bool = False,
) -> Head:
    """``head`` (None: there is none yet) with what was told, its entries in ``layout``.

    ``complete`` says that with this commit all that was in S3 has been looked at; a head that is
    complete stays so. ``revision`` rises only if the manifest says something else than before; the
    first one follows on ``revisions_before``, which a manifest had that was there before. A repair begins the
    history anew, as nobody knows what a page that was lost said, and a manifest that it did not observe all of is
    not complete.
    """
    if is_repair:
        complete = complete and head is not None and head.complete
    else:
        complete = complete or (head is not None and head.complete)
    problems = (*told.problems, *captions.problems(collection.prefix, layout.entries))
    generations = generations_after(head.generations if head else (), told.alterations, told.declared)
    synced = max(now, head.last_synced) if head else now
    verification = max([at for at in (verified_at, head.last_verified_at if head else None) if at], default=None)
    said = (told.title, complete, told.sidecars, problems, generations)
    if (
        head
        and not is_repair
        and not told.alterations
        and (head.title, head.complete, head.sidecars, head.problems, head.generations) == said
    ):
        return head.model_copy(update={"commit": commit, "last_synced": synced, "last_verified_at": verification})
    revision = (head.revision if head else revisions_before) + 1
    return Head(
        kind=collection.kind,
        id=collection.id,
        title=told.title,
        s3_bucket=bucket,
        s3_prefix=collection.prefix,
        created_at=head.created_at if head else now,
        last_synced=synced,
        last_verified_at=verification,
        complete=complete,
        revision=revision,
        first_revision=revision if is_repair or head is None else head.first_revision,
        commit=commit,
        last_change=commit,
        total_files=layout.total_files,
        total_size_bytes=layout.total_size_bytes,
        generations=generations,
        sidecars=told.sidecars,
        problems=problems,
        files=layout.of("files"),
        captions=layout.of("captions"),
        hidden=layout.of("hidden"),
        pages=layout.pages,
    )


def record_of(
    head: Head, before: Head | None, alterations: Sequence[FileChange], *, is_repair: bool = False
) -> ChangeRecord:
    """The change record of the revision that ``head`` is, in place of ``before``."""
    fields: dict[str, Any] = {name: getattr(head, name) for name in Facts.model_fields}
    fields |= {sort: tuple(one for one in alterations if one.sort == sort) for sort in SORTS}
    return ChangeRecord(
        **fields,
        previous=REPAIRED if is_repair else before.last_change if before else FIRST,
    )


def generations_after(
    generations: Iterable[Generation],
    alterations: Sequence[FileChange],
    declared: Iterable[GenerationDeclaration] | None = None,
) -> tuple[Generation, ...]:
    """The generations of the files, oldest first, each with the count of its files, and those that are ``declared``.

    ``declared`` None: as before. One that is not was generated when the first of its images was, or,
    where none says when, uploaded; that the first is deleted later does not make it younger. Without
    files it is no more.
    """
    groups = {(one.generation_id, one.type): one for one in generations}
    for entry in (one.before for one in alterations if one.before and one.before.is_file):
        _count(groups, entry, -1)
    groups = {key: group for key, group in groups.items() if group.image_count or group.declared}
    for entry in (one.after for one in alterations if one.after and one.after.is_file):
        _count(groups, entry, 1)
    if declared is not None:
        groups = {key: undeclared for key, one in groups.items() if (undeclared := _undeclared(one))}
        for declaration in declared:
            key = (declaration.generation_id, declaration.type)
            groups[key] = _declared(groups.get(key), declaration)
    return tuple(sorted(groups.values(), key=lambda g: (g.generated_at, g.type, str(g.generation_id))))


def _count(groups: dict[tuple[int | str, str], Generation], entry: Entry, by: int) -> None:
    key, at = (entry.generation_id, entry.generation_type), entry.generated_at or entry.last_modified
    group = groups.get(key) or Generation(generation_id=key[0], type=key[1], generated_at=at, image_count=0)
    first = (
        {"first_at": min(group.first_at or at, at)} if group.declared else {"generated_at": min(group.generated_at, at)}
    )
    groups[key] = group.model_copy(update={"image_count": group.image_count + by, **first})


def _undeclared(group: Generation) -> Generation | None:
    """The generation as its files alone tell it; None if it has none."""
    if not group.declared:
        return group
    if not group.image_count:
        return None
    update = {"generated_at": group.first_at or group.generated_at, "metadata": {}, "declared": False, "first_at": None}
    return group.model_copy(update=update)


def _declared(group: Generation | None, declaration: GenerationDeclaration) -> Generation:
    return Generation(
        generation_id=declaration.generation_id,
        type=declaration.type,
        generated_at=declaration.generated_at,
        image_count=group.image_count if group else 0,
        metadata=declaration.metadata,
        declared=True,
        first_at=group.generated_at if group else None,
    )
