"""The first look at a collection: what it holds besides the keys that were named."""

from collections.abc import Mapping, Sequence

from s3_manifest.collections import Collection
from s3_manifest.facts import Seen
from s3_manifest.jobs import Sweep
from s3_manifest.model import Timestamp
from s3_manifest.observe import ComputedMd5s, observe
from s3_manifest.store import ReadFailed
from s3_manifest.world import World

SWEEP_DELAY_SECONDS = 5
"""The head that a sweep is for is written just after the sweep is asked for."""


def first_sight(
    world: World,
    collection: Collection,
    keys: Sequence[str],
    causes: Mapping[str, str],
    md5s: ComputedMd5s,
    now: Timestamp,
) -> tuple[list[Seen], list[ReadFailed], bool]:
    """Looks at the keys and, as there is no manifest yet, at what else the collection holds.

    The last of what it returns says whether that was all. If not, because one listing does not name
    it all or S3 would not tell about some key, a sweep is asked for. That is done before the head
    is written: a crash in between costs a message about nothing, not a manifest never filled in.
    """
    listing = world.store.list(collection.prefix)
    named = set(keys)
    unnamed = [key for key in world.collections.own_keys(collection, listing.keys) if key not in named]
    seen, failures = observe(world, collection, keys, causes, md5s)
    if not listing.truncated:
        seen_too, failures_too = observe(world, collection, unnamed, {}, md5s)
        seen, failures = seen + seen_too, failures + failures_too
    covers_all = not listing.truncated and not failures
    if not covers_all:
        sweep = Sweep(kind=collection.kind, id=collection.id, created_at=now)
        world.enqueue([sweep], delay_seconds=SWEEP_DELAY_SECONDS)
    return seen, failures, covers_all
