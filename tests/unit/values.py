"""Objects, entries and heads of one collection, with defaults for the facts that do not matter to a test."""

from collections.abc import Mapping
from typing import Any

from s3_manifest.manifest import layout
from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collection, Collections, Location, parse_collections
from s3_manifest.manifest.model import Entry, Head, Sidecar, Source
from s3_manifest.reconcile.delta import CommitFacts, Delta, SidecarEffect, apply, diff
from s3_manifest.reconcile.entries import entry_of
from s3_manifest.sidecars.applied import (
    AppliedSidecars,
    Observation,
    affected_files,
    sidecar_observations,
    update_sidecars,
)
from s3_manifest.sidecars.content import SidecarContent
from s3_manifest.storage.store import Present

ROOT = "_manifests/"
NO_SIDECARS = AppliedSidecars({})
BUCKET = "storyboard-user-files"
PREFIX = "styles/16/"
LOCATION = Location("us-east-1")
COLLECTIONS = parse_collections("style=styles/{style_id}/, actor=actors/{actor_id}/", ROOT, BUCKET)


def in_bucket(collections: Collections, bucket: str) -> Collections:
    """The same collections in another bucket."""
    return Collections([pattern._replace(bucket=bucket) for pattern in collections.patterns], collections.root)


STYLE = Collection("style", "16", PREFIX, ROOT, BUCKET)
ACTOR = Collection("actor", "7", "actors/7/", ROOT, BUCKET)
MORNING, NOON, EVENING = (f"2026-03-01T{hour}:00:00.000Z" for hour in ("08", "12", "20"))
PUT = "ObjectCreated:Put"
SMALL_PAGES = {"MAX_INLINE": 8, "MAX_PAGE": 6, "MIN_PAGE": 2}
SOME_MD5 = "0123456789abcdef0123456789abcdef"
OTHER_MD5 = "fedcba9876543210fedcba9876543210"


def present(filename: str = "a.jpg", **facts: Any) -> Present:
    fields = {"size": 3, "etag": SOME_MD5, "last_modified": MORNING, "content_type": "image/jpeg"} | facts
    return Present(PREFIX + filename, **fields)


def present_with_metadata(**metadata: str) -> Present:
    """An object with this user metadata; an underscore in a name stands for a dash."""
    return present(metadata={name.replace("_", "-"): value for name, value in metadata.items()})


def entry(filename: str = "a.jpg", source: Source = "s3_event", **facts: Any) -> Entry:
    return entry_of(present(filename, **facts), STYLE, LOCATION, source)


def file_observation(filename: str = "a.jpg", source: Source = "s3_event", **facts: Any) -> Observation:
    return Observation(PREFIX + filename, entry(filename, source, **facts))


def sidecar_observation(filename: str, etag: str = SOME_MD5, title: str | None = None, **fields: Any) -> Observation:
    description = SidecarContent(title=title, **fields)
    return Observation(PREFIX + filename, Sidecar(s3_key=PREFIX + filename, etag=etag), description)


def absence(filename: str) -> Observation:
    return Observation(PREFIX + filename, None)


def head_after(
    head: Head | None,
    *observations: Observation,
    commit: str = "c1",
    now: str = NOON,
    collection: Collection = STYLE,
    complete: bool = False,
    **facts: Any,
) -> Head:
    """The manifest after a commit of these observations, caused by a ``Put``."""
    slots = layout.head_slots(head)
    delta = delta_of(head, *observations, collection=collection)
    entries_layout = layout.build_layout(layout.join_small_runs(layout.apply_changes(slots, delta.changes)), name="p")
    facts = CommitFacts(commit, now, complete, **facts)
    return apply(head, collection, delta, entries_layout, facts)


def delta_of(
    head: Head | None,
    *observations: Observation,
    causes: Mapping[str, str] | None = None,
    collection: Collection = STYLE,
) -> Delta:
    """The delta of these observations, caused by a ``Put`` unless ``causes`` are passed."""
    known = {entry.filename: entry for entry in (*head.files, *head.captions, *head.hidden)} if head else {}
    sidecars = sidecar_observations(collection, observations)
    revision = update_sidecars(NO_SIDECARS, head.sidecars if head else (), sidecars, None, "copies/")
    return diff(
        head,
        collection,
        known,
        observations,
        dict.fromkeys((observation.key for observation in observations), PUT) if causes is None else causes,
        SidecarEffect(revision, affected_files(NO_SIDECARS, sidecars)),
    )


def head_of(*observations: Observation, complete: bool = True, collection: Collection = STYLE) -> Head:
    return head_after(None, *observations, complete=complete, collection=collection)


def file_change(before: Entry | None, after: Entry | None, cause: str = PUT) -> FileChange:
    """The change of one file; None for an entry that did not exist, or no longer does."""
    return FileChange(filename=(before or after).filename, cause=cause, before=before, after=after)
