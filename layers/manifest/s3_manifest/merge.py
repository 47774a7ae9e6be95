"""The manifest after some keys were looked at: pure, and the same however often it is repeated."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from s3_manifest.collections import Collection
from s3_manifest.facts import TITLE_SIDECAR, Seen, settled
from s3_manifest.layout import Layout
from s3_manifest.model import (
    SWEEP,
    Alteration,
    ChangeRecord,
    Entry,
    Facts,
    Generation,
    Head,
    Sidecar,
    Timestamp,
)

FIRST = "first"
"""What stands for the commit before in the first change record of a manifest."""


class Told(NamedTuple):
    """What looking at some keys told of a collection, compared with what its manifest said."""

    alterations: tuple[Alteration, ...]
    sidecars: tuple[Sidecar, ...]
    title: str | None


def told(
    head: Head | None,
    collection: Collection,
    known: Mapping[str, Entry],
    seen: Iterable[Seen],
    causes: Mapping[str, str],
) -> Told:
    """What the seen keys alter. ``known`` are the manifest's entries of theirs, by filename.

    ``causes`` says, by key, what made us look; for the others a listing did.
    """
    alterations: list[Alteration] = []
    sidecars = {sidecar.s3_key: sidecar for sidecar in head.sidecars} if head else {}
    title = head.title if head else None
    for key, what, key_title in seen:
        filename = collection.filename(key)
        before = known.get(filename)
        after = what if isinstance(what, Entry) else None
        after = settled(before, after) if before and after else after
        if before != after:
            cause = causes.get(key, SWEEP)
            alterations.append(Alteration(filename=filename, cause=cause, before=before, after=after))
        sidecars.pop(key, None)
        if isinstance(what, Sidecar):
            sidecars[key] = what
        if filename == TITLE_SIDECAR:
            title = key_title
    return Told(tuple(alterations), tuple(sidecars[key] for key in sorted(sidecars)), title)


def merge(
    head: Head | None,
    collection: Collection,
    bucket: str,
    told: Told,
    layout: Layout,
    *,
    commit: str,
    now: Timestamp,
    complete: bool,
    verified_at: Timestamp | None = None,
    revisions_before: int = 0,
) -> Head:
    """``head`` (None: there is none yet) with what was told, its entries in ``layout``.

    ``complete`` says that with this commit all that was in S3 has been looked at; a head that is
    complete stays so. ``revision`` rises only if the manifest says something else than before; the
    first one follows on ``revisions_before``, which a manifest had that was there before.
    """
    complete = complete or (head is not None and head.complete)
    synced = max(now, head.last_synced) if head else now
    verified = max([at for at in (verified_at, head.last_verified_at if head else None) if at], default=None)
    if (
        head
        and not told.alterations
        and (head.title, head.complete, head.sidecars)
        == (
            told.title,
            complete,
            told.sidecars,
        )
    ):
        return head.model_copy(update={"commit": commit, "last_synced": synced, "last_verified_at": verified})
    return Head(
        kind=collection.kind,
        id=collection.id,
        title=told.title,
        s3_bucket=bucket,
        s3_prefix=collection.prefix,
        created_at=head.created_at if head else now,
        last_synced=synced,
        last_verified_at=verified,
        complete=complete,
        revision=(head.revision if head else revisions_before) + 1,
        commit=commit,
        last_change=commit,
        total_files=layout.total_files,
        total_size_bytes=layout.total_size_bytes,
        generations=generations_after(head.generations if head else (), told.alterations),
        sidecars=told.sidecars,
        files=layout.files,
        pages=layout.pages,
    )


def record_of(head: Head, before: Head | None, alterations: Sequence[Alteration]) -> ChangeRecord:
    """The change record of the revision that ``head`` is, in place of ``before``."""
    facts = {name: getattr(head, name) for name in Facts.model_fields}
    return ChangeRecord(
        **facts,
        previous=before.last_change if before else FIRST,
        added=tuple(one for one in alterations if one.before is None),
        altered=tuple(one for one in alterations if one.before and one.after),
        removed=tuple(one for one in alterations if one.after is None),
    )


def generations_after(generations: Iterable[Generation], alterations: Sequence[Alteration]) -> tuple[Generation, ...]:
    """The generations that the files declare, oldest first, each with the count of its files.

    One was generated when the first of its images was, or, where none says when, uploaded; that the
    first is deleted later does not make it younger. One without files is no more.
    """
    groups = {(one.generation_id, one.type): one for one in generations}
    for entry in (one.before for one in alterations if one.before):
        _count(groups, entry, -1)
    groups = {key: group for key, group in groups.items() if group.image_count}
    for entry in (one.after for one in alterations if one.after):
        _count(groups, entry, 1)
    return tuple(sorted(groups.values(), key=lambda g: (g.generated_at, g.type, str(g.generation_id))))


def _count(groups: dict[tuple[int | str, str], Generation], entry: Entry, by: int) -> None:
    key, at = (entry.generation_id, entry.generation_type), entry.generated_at or entry.last_modified
    group = groups.get(key) or Generation(generation_id=key[0], type=key[1], generated_at=at, image_count=0)
    groups[key] = group.model_copy(
        update={
            "image_count": group.image_count + by,
            "generated_at": min(group.generated_at, at),
        }
    )
