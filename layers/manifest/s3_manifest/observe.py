"""Looks at keys in S3, now, and says what each one is to its collection."""

from collections.abc import Iterable, Mapping, MutableMapping

from pydantic_core import from_json

from s3_manifest.collections import Collection
from s3_manifest.facts import SIDECARS, TITLE_SIDECAR, Seen, entry_of, is_folder, proven_md5
from s3_manifest.model import SWEEP, Entry, Sidecar, Source
from s3_manifest.store import Absent, Conflict, Present, ReadFailed, TimeRanOut
from s3_manifest.world import RESERVE_SECONDS, World

# A collection.json is a few lines; more than this is somebody's data under that name.
_SIDECAR_MAX_BYTES = 1_000_000
_LOOKS = 3

ComputedMd5s = MutableMapping[tuple[str, str], str]
"""MD5s computed from objects' bytes, by key and ETag: the one thing that is not looked up again."""


def observe(
    world: World, collection: Collection, keys: Iterable[str], causes: Mapping[str, str], computed: ComputedMd5s
) -> tuple[list[Seen], list[ReadFailed]]:
    """What each key is now, and the failures of those that S3 would not tell about.

    ``causes`` says, by key, what made us look; for the others a listing did. An MD5 that no HEAD
    proves is taken from ``computed``, or else computed and put there.
    """

    def look(key: str) -> Seen | Present | ReadFailed:
        try:
            return _look(world, collection, key, source_of(key), computed)
        except ReadFailed as failure:
            return failure

    def source_of(key: str) -> Source:
        return "s3_scan" if causes.get(key, SWEEP) == SWEEP else "s3_event"

    seen: list[Seen] = []
    failures: list[ReadFailed] = []
    for found in world.each(look, keys):
        settled = (
            _with_md5(world, collection, found, source_of(found.key), computed) if isinstance(found, Present) else found
        )
        if isinstance(settled, Seen):
            seen.append(settled)
        else:
            failures.append(settled)
    return seen, failures


def computed_before(entries: Iterable[Entry]) -> ComputedMd5s:
    """The MD5s that were computed for a manifest's entries before."""
    return {(e.s3_key, e.etag): e.md5_hash for e in entries if e.md5_source == "computed" and e.md5_hash}


def _look(
    world: World, collection: Collection, key: str, source: Source, computed: Mapping[tuple[str, str], str]
) -> Seen | Present:
    """What the key is; the bare ``Present`` of an object whose MD5 is yet to be computed."""
    observation = world.store.head(key)
    if isinstance(observation, Absent) or is_folder(observation):
        return Seen(key, None)
    if collection.filename(key) in SIDECARS:
        return _look_at_sidecar(world, collection, observation)
    md5 = computed.get((key, observation.etag))
    if md5 is None and _is_to_be_computed(world, observation):
        return observation
    return Seen(key, entry_of(observation, collection, world.location, source, md5))


def _is_to_be_computed(world: World, present: Present) -> bool:
    return not (proven_md5(present) or present.archived or present.size > world.md5_max_bytes)


def _with_md5(
    world: World, collection: Collection, present: Present, source: Source, computed: ComputedMd5s
) -> Seen | ReadFailed:
    """Reads the object; one after the other, as a single read fills a function's network."""
    key = present.key
    try:
        for _ in range(_LOOKS):
            if world.seconds_left() < RESERVE_SECONDS:
                return TimeRanOut(key, "time ran out before its MD5 was computed; it is tried again later")
            try:
                md5 = computed[key, present.etag] = world.store.md5(key, present.etag)
            except Conflict:
                found = _look(world, collection, key, source, computed)
                if isinstance(found, Seen):
                    return found
                present = found
            else:
                return Seen(key, entry_of(present, collection, world.location, source, md5))
    except ReadFailed as failure:
        return failure
    return ReadFailed(key, f"was replaced {_LOOKS} times while its MD5 was computed; it is tried again later")


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
    """The title that a ``collection.json`` gives; None for one that is broken or gives none."""
    try:
        facts = from_json(collection_json)
    except ValueError:
        return None
    title = facts.get("title") if isinstance(facts, dict) else None
    return title if isinstance(title, str) else None
