"""The difference between a manifest and some observations, and the manifest after it: pure, and idempotent."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from s3_manifest.manifest.changes import CHANGE_TYPES, ChangeRecord, FileChange
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.layout import Layout
from s3_manifest.manifest.model import SWEEP, Entry, Facts, Generation, Head, Problem, Sidecar, Timestamp
from s3_manifest.reconcile.entries import keep_announced
from s3_manifest.sidecars.applied import (
    Observation,
    SidecarUpdate,
    apply_overrides,
    sidecar_observations,
    strip_overrides,
)
from s3_manifest.sidecars.captions import (
    can_have_caption,
    caption_candidates,
    caption_problems,
    caption_targets,
    may_be_caption,
)
from s3_manifest.sidecars.content import GenerationDeclaration, SidecarContent
from s3_manifest.sidecars.formats import COLLECTION_JSON
from s3_manifest.storage.change_log import FIRST, REPAIRED

AnyGeneration = TypeVar("AnyGeneration", Generation, GenerationDeclaration)


class SidecarEffect(NamedTuple):
    """What the observed sidecars change: the sidecars from now on, and the files that they describe differently.

    ``affected`` has, by filename, the key of the sidecar.
    """

    revision: SidecarUpdate
    affected: Mapping[str, str]


class Delta(NamedTuple):
    """How some observations differ from a collection's manifest."""

    changes: tuple[FileChange, ...]
    sidecars: tuple[Sidecar, ...]
    title: str | None
    declared: tuple[GenerationDeclaration, ...] | None
    """The generations that ``collection.json`` declares; None if it was not observed."""
    problems: tuple[Problem, ...]
    """Problems of the sidecars."""
    copies: Sequence[tuple[str, bytes]] = ()
    """New copies of sidecars, to be written before the head: keys and bodies."""


class CommitFacts(NamedTuple):
    """The facts of one commit. ``covers_all``: with it, everything in S3 has been observed.

    ``previous_revision`` is the last one of an earlier manifest, which the first of a new one follows.
    """

    id: str
    now: Timestamp
    covers_all: bool
    verified_at: Timestamp | None = None
    previous_revision: int = 0
    is_repair: bool = False


def diff(
    head: Head | None,
    collection: Collection,
    entries: Mapping[str, Entry],
    observations: Sequence[Observation],
    causes: Mapping[str, str],
    sidecar_effect: SidecarEffect,
) -> Delta:
    """Compares observations with the manifest, including files whose sidecar or caption changed.

    ``entries`` has the manifest's entries of ``affected_filenames``. ``causes`` names, by key, the S3 event that made
    us observe; for other keys it was a listing. Change records have it; what the manifest says does not depend on it.
    """
    files = {collection.filename(item.key): item for item in observations}
    observed = {name: _with_last_caption(entries.get(name), item) for name, item in files.items()}
    captions = {name: item.key for name, item in files.items() if may_be_caption(name)}
    # Files that something observed describes, whether they were observed or not, with that object's key.
    described = {image: key for name, key in captions.items() for image in caption_targets(name)}
    described |= sidecar_effect.affected
    cause_of = {name: causes.get(item.key, SWEEP) for name, item in files.items()}
    cause_of |= {name: causes.get(key, SWEEP) for name, key in described.items() if name not in files}
    changes: list[FileChange] = []
    for name, cause in cause_of.items():
        before = entries.get(name)
        own = before and strip_overrides(before)
        after = observed.get(name, own)
        if own and after and name in observed:
            after = keep_announced(own, after)
        if after and after.caption is None:
            caption = _caption_text(name, observed, entries) if can_have_caption(name) else None
            after = apply_overrides(after, sidecar_effect.revision.applied.describe(name, caption))
        if before is not after and before != after:
            changes.append(FileChange(filename=name, cause=cause, before=before, after=after))
    sidecars = {
        item.key: item.content or SidecarContent() for item in sidecar_observations(collection, observations).values()
    }
    title, declared = head.title if head else None, None
    if (content := sidecars.get(collection.prefix + COLLECTION_JSON)) is not None:
        title, declared = content.title, content.generations
    revision = sidecar_effect.revision
    return Delta(tuple(changes), revision.sidecars, title, declared, _problems(head, sidecars), revision.copies)


def affected_filenames(
    collection: Collection, observations: Iterable[Observation], affected: Iterable[str]
) -> set[str]:
    """The filenames of all entries that the observations may change or have to be compared with."""
    names = {collection.filename(item.key) for item in observations}
    names |= {image for name in names if may_be_caption(name) for image in caption_targets(name)}
    names.update(affected)
    return names | {caption for name in names if can_have_caption(name) for caption in caption_candidates(name)}


def _caption_text(filename: str, observed: Mapping[str, Entry | None], entries: Mapping[str, Entry]) -> str | None:
    """The text of the first caption beside a file that has one."""
    candidates = (observed[name] if name in observed else entries.get(name) for name in caption_candidates(filename))
    return next((entry.caption for entry in candidates if entry and entry.caption), None)


def _with_last_caption(before: Entry | None, observation: Observation) -> Entry | None:
    """The observed entry; an unreadable caption keeps the text that was read for the same ETag."""
    entry, problem = observation.state, observation.read_error
    if not isinstance(entry, Entry):
        return None
    if problem and before and before.caption is not None and before.etag == entry.etag:
        return entry.model_copy(update={"caption": before.caption, "problem": problem})
    return entry


def _problems(head: Head | None, sidecars: Mapping[str, SidecarContent]) -> tuple[Problem, ...]:
    """The problems of observed sidecars, and the known problems of the other sidecars."""
    others = {sidecar.s3_key for sidecar in head.sidecars} - sidecars.keys() if head else set()
    known = [problem for problem in (head.problems if head else ()) if problem.s3_key in others]
    new = (Problem(s3_key=key, problem=text) for key, content in sidecars.items() for text in content.problems)
    return tuple(sorted([*known, *new], key=lambda problem: problem.s3_key))


def apply(head: Head | None, collection: Collection, delta: Delta, layout: Layout, commit: CommitFacts) -> Head:
    """The next head; its entries are in ``layout``.

    ``revision`` rises only if the manifest changes. A complete manifest stays complete, except after a repair that did
    not observe everything. A repair begins a new history, as nobody knows what the lost page held.
    """
    was_complete = head is not None and head.complete
    complete = commit.covers_all and was_complete if commit.is_repair else commit.covers_all or was_complete
    state: dict[str, Any] = {
        "title": delta.title,
        "complete": complete,
        "sidecars": delta.sidecars,
        "problems": (*delta.problems, *caption_problems(collection.prefix, layout.entries)),
        "generations": generations_after(head.generations if head else (), delta.changes, delta.declared),
    }
    facts: dict[str, Any] = {
        "commit": commit.id,
        "last_synced": max(commit.now, head.last_synced) if head else commit.now,
        "last_verified_at": max(
            [at for at in (commit.verified_at, head.last_verified_at if head else None) if at], default=None
        ),
    }
    is_same = (
        head is not None
        and not delta.changes
        # A repair, or an earlier version, may have left few entries in pages.
        and bool(head.pages) == bool(layout.pages)
        and all(getattr(head, name) == value for name, value in state.items())
    )
    if head and is_same and not commit.is_repair:
        return head.model_copy(update=facts)
    revision = (head.revision if head else commit.previous_revision) + 1
    return Head(
        **state,
        **facts,
        kind=collection.kind,
        id=collection.id,
        s3_bucket=collection.bucket,
        s3_prefix=collection.prefix,
        created_at=head.created_at if head else commit.now,
        revision=revision,
        first_revision=revision if commit.is_repair or head is None else head.first_revision,
        last_change=commit.id,
        total_files=layout.total_files,
        total_size_bytes=layout.total_size_bytes,
        files=layout.with_role("files"),
        captions=layout.with_role("captions"),
        hidden=layout.with_role("hidden"),
        pages=layout.pages,
    )


def change_record(
    head: Head, before: Head | None, changes: Sequence[FileChange], *, is_repair: bool = False
) -> ChangeRecord:
    """The change record of the revision ``head``, which replaces ``before``."""
    fields: dict[str, Any] = {name: getattr(head, name) for name in Facts.model_fields}
    fields |= {sort: tuple(change for change in changes if change.change_type == sort) for sort in CHANGE_TYPES}
    return ChangeRecord(**fields, previous=REPAIRED if is_repair else before.last_change if before else FIRST)


def generations_after(
    generations: Iterable[Generation],
    changes: Sequence[FileChange],
    declared: Iterable[GenerationDeclaration] | None = None,
) -> tuple[Generation, ...]:
    """The generations after some changes, ``in_order``, with their file counts. ``declared`` None: as before.

    An undeclared generation dates from its first file's generation, or else upload; deleting that file does not make
    it younger. Without files it disappears. That date depends on which files were observed before they were deleted;
    nothing else does.
    """
    groups = {(group.generation_id, group.type): group for group in generations}
    for entry in (change.before for change in changes if change.before and change.before.is_file):
        _count(groups, entry, -1)
    groups = {key: group for key, group in groups.items() if group.image_count or group.declared}
    for entry in (change.after for change in changes if change.after and change.after.is_file):
        _count(groups, entry, 1)
    if declared is not None:
        groups = {key: undeclared for key, group in groups.items() if (undeclared := _undeclared(group))}
        for declaration in declared:
            key = (declaration.generation_id, declaration.type)
            groups[key] = _declared(groups.get(key), declaration)
    return in_order(groups.values())


def in_order(generations: Iterable[Generation]) -> tuple[Generation, ...]:
    """The generations in the order in which manifests list them: declared ones by date, then the others by name.

    The date of an undeclared generation depends on what was observed when, and the order must not.
    """
    declared, derived = list[Generation](), list[Generation]()
    for group in generations:
        (declared if group.declared else derived).append(group)
    return (*oldest_first(declared), *sorted(derived, key=_name))


def oldest_first(declared: Iterable[AnyGeneration]) -> tuple[AnyGeneration, ...]:
    """Declared generations in the order in which manifests list them."""
    return tuple(sorted(declared, key=lambda group: (group.generated_at, *_name(group))))


def _name(group: Generation | GenerationDeclaration) -> tuple[str, bool, int, str]:
    """Orders generations by type and id, numbers first; 1 and "1" are different ids."""
    id_ = group.generation_id
    return (group.type, True, 0, id_) if isinstance(id_, str) else (group.type, False, id_, "")


def _count(groups: dict[tuple[int | str, str], Generation], entry: Entry, by: int) -> None:
    key, at = (entry.generation_id, entry.generation_type), entry.generated_at or entry.last_modified
    group = groups.get(key) or Generation(generation_id=key[0], type=key[1], generated_at=at, image_count=0)
    first = (
        {"first_at": min(group.first_at or at, at)} if group.declared else {"generated_at": min(group.generated_at, at)}
    )
    groups[key] = group.model_copy(update={"image_count": group.image_count + by, **first})


def _undeclared(group: Generation) -> Generation | None:
    """The generation without its declaration; None if it has no files."""
    if not group.declared:
        return group
    if not group.image_count:
        return None
    update = {"generated_at": group.first_at or group.generated_at, "metadata": {}, "declared": False, "first_at": None}
    return group.model_copy(update=update)


def _declared(group: Generation | None, declaration: GenerationDeclaration) -> Generation:
    return Generation(
        **dict(declaration),
        image_count=group.image_count if group else 0,
        declared=True,
        first_at=group.generated_at if group else None,
    )
