"""The manifest after some keys were looked at: pure, and the same however often it is repeated."""

from collections.abc import Iterable

from s3_manifest.collections import Collection
from s3_manifest.facts import TITLE_SIDECAR, Seen, settled
from s3_manifest.model import Entry, Generation, Head, Sidecar, Timestamp


def merge(
    head: Head | None,
    collection: Collection,
    bucket: str,
    seen: Iterable[Seen],
    *,
    commit: str,
    now: Timestamp,
    complete: bool,
) -> Head:
    """``head`` (None: there is none yet) with the seen keys as they were seen.

    ``complete`` says that with this commit all that was in S3 has been looked at; a head that is
    complete stays so. ``revision`` rises only if the manifest says something else than before.
    """
    files = {entry.filename: entry for entry in head.files} if head else {}
    sidecars = {sidecar.s3_key: sidecar for sidecar in head.sidecars} if head else {}
    title = head.title if head else None
    for key, what, key_title in seen:
        filename = collection.filename(key)
        before = files.pop(filename, None)
        sidecars.pop(key, None)
        if isinstance(what, Entry):
            files[filename] = settled(before, what) if before else what
        elif isinstance(what, Sidecar):
            sidecars[key] = what
        if filename == TITLE_SIDECAR:
            title = key_title

    complete = complete or (head is not None and head.complete)
    entries = tuple(files[filename] for filename in sorted(files))
    listed = tuple(sidecars[key] for key in sorted(sidecars))
    if head and (head.title, head.complete, head.sidecars, head.files) == (title, complete, listed, entries):
        return head.model_copy(update={"commit": commit, "last_synced": max(now, head.last_synced)})
    return Head(
        kind=collection.kind,
        id=collection.id,
        title=title,
        s3_bucket=bucket,
        s3_prefix=collection.prefix,
        created_at=head.created_at if head else now,
        last_synced=max(now, head.last_synced) if head else now,
        last_verified_at=head.last_verified_at if head else None,
        complete=complete,
        revision=head.revision + 1 if head else 1,
        commit=commit,
        last_change=commit,
        total_files=len(entries),
        total_size_bytes=sum(entry.size_bytes for entry in entries),
        generations=generations_of(entries),
        sidecars=listed,
        files=entries,
    )


def generations_of(entries: Iterable[Entry]) -> tuple[Generation, ...]:
    """The generations that the entries declare, oldest first, each with the count of its files.

    One was generated when the first of its images was, or, where none says when, uploaded.
    """
    groups: dict[tuple[int | str, str], list[Timestamp]] = {}
    for entry in entries:
        times = groups.setdefault((entry.generation_id, entry.generation_type), [])
        times.append(entry.generated_at or entry.last_modified)
    generations = (
        Generation(generation_id=id_, type=type_, generated_at=min(times), image_count=len(times))
        for (id_, type_), times in groups.items()
    )
    return tuple(sorted(generations, key=lambda g: (g.generated_at, g.type, str(g.generation_id))))
