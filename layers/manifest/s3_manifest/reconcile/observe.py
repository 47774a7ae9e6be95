"""Looks at keys in S3, now, and says what each one is to its collection."""

import hashlib
from collections.abc import Iterable, Mapping, MutableMapping, Sequence

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import SWEEP, Entry, Sidecar, Source, Timestamp
from s3_manifest.reconcile.entries import entry_of, is_folder
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.sidecars.descriptions import Observation
from s3_manifest.sidecars.formats import (
    ARCHIVED,
    MAX_CAPTION_BYTES,
    SIDECARS,
    SidecarContent,
    edit_of,
    is_caption,
    max_bytes,
    may_be_caption,
    read_caption,
    read_json_caption,
    read_sidecar,
)
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import Absent, Archived, Conflict, Present, ReadFailed, TimeRanOut

_LOOKS = 3

SWEEP_DELAY_SECONDS = 5
"""The head that a sweep is for is written just after the sweep is asked for."""

ComputedMd5s = MutableMapping[tuple[str, str], str]
"""MD5s computed from objects' bytes, by key and ETag: the one thing that is not looked up again."""


def observe(
    environment: Environment,
    collection: Collection,
    keys: Iterable[str],
    causes: Mapping[str, str],
    computed: ComputedMd5s,
) -> tuple[list[Observation], list[ReadFailed]]:
    """What each key is now, and the failures of those that S3 would not tell about.

    ``causes`` says, by key, what made us look; for the others a listing did. An MD5 that no HEAD
    proves is taken from ``computed``, or else computed and put there.
    """

    def look(key: str) -> Observation | Present | ReadFailed:
        try:
            return _look(environment, collection, key, source_of(key), computed)
        except ReadFailed as failure:
            return failure

    def source_of(key: str) -> Source:
        return "s3_scan" if causes.get(key, SWEEP) == SWEEP else "s3_event"

    seen: list[Observation] = []
    failures: list[ReadFailed] = []
    for found in environment.each(look, keys):
        settled = (
            _with_md5(environment, collection, found, source_of(found.key), computed)
            if isinstance(found, Present)
            else found
        )
        if isinstance(settled, Observation):
            seen.append(settled)
        else:
            failures.append(settled)
    return seen, failures


def first_sight(
    environment: Environment,
    collection: Collection,
    keys: Sequence[str],
    causes: Mapping[str, str],
    md5s: ComputedMd5s,
    now: Timestamp,
) -> tuple[list[Observation], list[ReadFailed], bool]:
    """Looks at the keys and, as there is no manifest yet, at what else the collection holds.

    The last of what it returns says whether that was all. If not, because one listing does not name
    it all or S3 would not tell about some key, a sweep is asked for. That is done before the head
    is written: a crash in between costs a message about nothing, not a manifest never filled in.
    """
    listing = environment.store.list(collection.prefix)
    named = set(keys)
    unnamed = [key for key in environment.collections.own_keys(collection, listing.keys) if key not in named]
    seen, failures = observe(environment, collection, keys, causes, md5s)
    if not listing.truncated:
        seen_too, failures_too = observe(environment, collection, unnamed, {}, md5s)
        seen, failures = seen + seen_too, failures + failures_too
    covers_all = not listing.truncated and not failures
    if not covers_all:
        sweep = Sweep(kind=collection.kind, id=collection.id, created_at=now)
        environment.enqueue([sweep], delay_seconds=SWEEP_DELAY_SECONDS)
    return seen, failures, covers_all


def computed_md5s(entries: Iterable[Entry]) -> ComputedMd5s:
    """The MD5s that were computed for a manifest's entries before."""
    return {(e.s3_key, e.etag): e.md5_hash for e in entries if e.md5_source == "computed" and e.md5_hash}


def _look(
    environment: Environment, collection: Collection, key: str, source: Source, computed: Mapping[tuple[str, str], str]
) -> Observation | Present:
    """What the key is; the bare ``Present`` of an object whose MD5 is yet to be computed."""
    observation = environment.store.head(key)
    if isinstance(observation, Absent) or is_folder(observation):
        return Observation(key, None)
    if collection.filename(key) in SIDECARS:
        return _look_at_sidecar(environment, collection, observation)
    if may_be_caption(collection.filename(key)):
        return _look_at_caption(environment, collection, observation, source, computed)
    md5 = computed.get((key, observation.etag))
    if md5 is None and _is_to_be_computed(environment, observation):
        return observation
    return Observation(key, entry_of(observation, collection, environment.location, source, md5))


def _is_to_be_computed(environment: Environment, present: Present) -> bool:
    return not (proven_md5(present) or present.archived or present.size > environment.md5_max_bytes)


def _with_md5(
    environment: Environment, collection: Collection, present: Present, source: Source, computed: ComputedMd5s
) -> Observation | ReadFailed:
    """Reads the object; one after the other, as a single read fills a function's network."""
    key = present.key
    try:
        for _ in range(_LOOKS):
            if environment.seconds_left() < RESERVE_SECONDS:
                return TimeRanOut(key, "time ran out before its MD5 was computed; it is tried again later")
            try:
                md5 = computed[key, present.etag] = environment.store.md5(key, present.etag)
            except Conflict:
                found = _look(environment, collection, key, source, computed)
                if isinstance(found, Observation):
                    return found
                present = found
            else:
                return Observation(key, entry_of(present, collection, environment.location, source, md5))
    except ReadFailed as failure:
        return failure
    return ReadFailed(key, f"was replaced {_LOOKS} times while its MD5 was computed; it is tried again later")


def _look_at_sidecar(environment: Environment, collection: Collection, present: Present) -> Observation:
    key, name = present.key, collection.filename(present.key)
    problem = _unreadable(present, max_bytes(name))
    if not problem:
        try:
            stored = environment.store.get(key)
        except Archived as archived:  # since the HEAD
            problem = _archived(str(archived))
        else:
            if stored is None:
                return Observation(key, None)
            sidecar = Sidecar(s3_key=key, etag=stored.etag, edit=edit_of(stored.metadata))
            return Observation(key, sidecar, read_sidecar(name, stored.body))
    return Observation(key, Sidecar(s3_key=key, etag=present.etag), SidecarContent(problems=(problem,)), problem)


def _look_at_caption(
    environment: Environment,
    collection: Collection,
    present: Present,
    source: Source,
    computed: Mapping[tuple[str, str], str],
) -> Observation | Present:
    """The entry of a caption: what the object says, and its text. Of what turns out to be none, that of a file."""
    key, is_text = present.key, is_caption(collection.filename(present.key))
    for _ in range(_LOOKS):
        md5, unread = computed.get((key, present.etag)), _unreadable(present, MAX_CAPTION_BYTES)
        if unread:
            if not is_text and md5 is None and _is_to_be_computed(environment, present):
                return present
            entry = entry_of(present, collection, environment.location, source, md5)
            said = {"caption": "", "problem": unread} if is_text else {}
            return Observation(key, entry.model_copy(update=said), unread=unread)
        try:
            stored = environment.store.get(key)
        except Archived:
            stored = None  # since the HEAD, which the next one tells
        if stored and stored.etag == present.etag:
            text, problem = read_caption(stored.body) if is_text else (read_json_caption(stored.body), None)
            md5 = hashlib.md5(stored.body, usedforsecurity=False).hexdigest()
            entry = entry_of(present, collection, environment.location, source, md5)
            return Observation(key, entry.model_copy(update={"caption": text, "problem": problem}))
        observation = environment.store.head(key)
        if isinstance(observation, Absent):
            return Observation(key, None)
        present = observation
    raise ReadFailed(key, f"was replaced {_LOOKS} times while it was read; it is tried again later")


def _unreadable(present: Present, most: int) -> str | None:
    """Why an object that describes others is not read; None where it is."""
    if present.archived:
        return _archived(present.storage_class)
    return f"it has {present.size} bytes; of more than {most} it is not read" if present.size > most else None


def _archived(where: str) -> str:
    return f"{ARCHIVED} ({where}); what was read of it with this ETag counts. Restore it, or copy it over itself"
