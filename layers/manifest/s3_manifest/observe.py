"""Looks at keys in S3, now, and says what each one is to its collection."""

from collections.abc import Iterable, Mapping

from pydantic_core import from_json

from s3_manifest.collections import Collection
from s3_manifest.facts import SIDECARS, TITLE_SIDECAR, Seen, entry_of, is_folder, proven_md5, same_object
from s3_manifest.model import Entry, Sidecar, Source
from s3_manifest.store import Absent, Conflict, Present, ReadFailed
from s3_manifest.world import World

# A collection.json is a few lines; more than this is somebody's data under that name.
_SIDECAR_MAX_BYTES = 1_000_000
_LOOKS = 3


def observe(
    world: World, collection: Collection, keys: Iterable[str], known: Mapping[str, Entry], source: Source
) -> tuple[list[Seen], list[ReadFailed]]:
    """What each key is now, and the failures of those that S3 would not tell about.

    ``known`` are the collection's entries by filename: the computed MD5 of an object that is still
    the same is taken from there, not computed again.
    """

    def look(key: str) -> Seen | ReadFailed:
        try:
            return _look(world, collection, key, known.get(collection.filename(key)), source)
        except ReadFailed as failure:
            return failure

    looks = world.each(look, keys)
    return [x for x in looks if isinstance(x, Seen)], [x for x in looks if isinstance(x, ReadFailed)]


def _look(world: World, collection: Collection, key: str, known: Entry | None, source: Source) -> Seen:
    for _ in range(_LOOKS):
        observation = world.store.head(key)
        if isinstance(observation, Absent) or is_folder(observation):
            return Seen(key, None)
        if collection.filename(key) in SIDECARS:
            return _look_at_sidecar(world, collection, observation)
        try:
            md5 = _computed_md5(world, observation, known)
        except Conflict:
            continue  # replaced while it was read: look again
        return Seen(key, entry_of(observation, collection, world.location, source, md5))
    raise ReadFailed(key, f"was replaced {_LOOKS} times while its MD5 was computed; it is tried again later")


def _computed_md5(world: World, present: Present, known: Entry | None) -> str | None:
    if proven_md5(present) or present.archived or present.size > world.md5_max_bytes:
        return None
    if known and known.md5_source == "computed" and same_object(known, present):
        return known.md5_hash
    return world.store.md5(present.key, present.etag)


def _look_at_sidecar(world: World, collection: Collection, present: Present) -> Seen:
    key = present.key
    sidecar = Sidecar(s3_key=key, etag=present.etag)
    if collection.filename(key) != TITLE_SIDECAR or present.size > _SIDECAR_MAX_BYTES:
        return Seen(key, sidecar)
    stored = world.store.get(key)
    if stored is None:
        return Seen(key, None)
    return Seen(key, Sidecar(s3_key=key, etag=stored.etag), _title(stored.body))


def _title(collection_json: bytes) -> str | None:
    """The title a ``collection.json`` gives; None for one that is broken or gives none."""
    try:
        facts = from_json(collection_json)
    except ValueError:
        return None
    title = facts.get("title") if isinstance(facts, dict) else None
    return title if isinstance(title, str) else None
