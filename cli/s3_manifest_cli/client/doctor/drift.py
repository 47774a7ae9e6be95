"""Every collection's manifest compared with a listing, and again a little later: what differs then is drift."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import NamedTuple

from s3_manifest.aws.threads import each
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import UnreadableManifest, timestamp
from s3_manifest.sidecars.descriptions import copies_of
from s3_manifest.storage import heads
from s3_manifest.storage.store import Conflict, Each, Present, Store, StoreError, listed
from s3_manifest.sweep.compare import Comparer
from s3_manifest_cli.client.doctor.checks.manifests import Looked

PROBE = "__doctor"
"""What the ids of collections begin with that an examination makes."""

_ATTEMPTS = 5
# More differences than this are not worth telling apart.
_MAX_KEYS = 10_000
_STOP_SECONDS = 1.0
_YOUNG_SECONDS = 60
_MAX_HEADS = 100
_ENTRIES = ("files", "captions", "hidden", "pages")


class Place(NamedTuple):
    """What is compared, and until when: ``end`` is by ``time.monotonic``."""

    store: Store
    collections: Collections
    end: float
    each: Each = each

    def seconds_left(self) -> float:
        """Until no more is begun."""
        return self.end - time.monotonic()


def every(place: Place) -> list[Collection]:
    """The collections that have objects or a manifest. Raises ``StoreError``."""
    found: dict[Collection, None] = {}
    for pattern in sorted(place.collections.patterns):
        roots = (pattern.before, place.collections.root + pattern.before)
        for id_ in sorted(set(chain.from_iterable(_ids(place.store, root) for root in roots))):
            collection = place.collections.named(pattern.kind, id_)
            if collection:
                found[collection] = None
    return list(found)


def _ids(store: Store, root: str) -> Iterator[str]:
    start, truncated = "", True
    while truncated:
        prefixes, truncated = store.folders(root, after=start)
        yield from (prefix.removeprefix(root).removesuffix("/") for prefix in prefixes)
        start = prefixes[-1] if prefixes else start


def look(place: Place, collections: Sequence[Collection], again_after: float) -> list[Looked]:
    """What is to be said of each; of one that time did not suffice for, nothing. Raises ``StoreError``.

    What differs is looked at again after so many seconds: some of it is of changes that are on their way.
    """
    found = [one for one in place.each(lambda c: _look(place, c), collections) if one]
    if not (differing := [one.collection for one in found if one.differing]):
        return found
    time.sleep(again_after)
    second = dict(zip(differing, place.each(lambda c: _look(place, c), differing), strict=True))
    return [still for one in found if (still := _still(place, one, second.get(one.collection, one)))]


def _still(place: Place, first: Looked, second: Looked | None) -> Looked | None:
    if second is None or not first.differing:
        return second
    keys = tuple(sorted(frozenset(first.differing) & frozenset(second.differing)))
    return second._replace(
        differing=keys, late=len(first.differing) - len(keys), are_young=bool(keys) and _are_young(place, keys)
    )


def _are_young(place: Place, keys: Sequence[str]) -> bool:
    """Whether all were written in the last minute; of what is gone nobody knows since when."""
    if len(keys) > _MAX_HEADS:
        return False
    since = timestamp(datetime.now(UTC) - timedelta(seconds=_YOUNG_SECONDS))
    seen = place.each(place.store.head, keys)
    return all(isinstance(one, Present) and one.last_modified > since for one in seen)


def _look(place: Place, collection: Collection) -> Looked | None:
    if place.seconds_left() < _STOP_SECONDS:
        return None
    try:
        return _compared(place, collection)
    except (UnreadableManifest, StoreError) as error:
        is_broken = isinstance(error, UnreadableManifest)
        return Looked(collection, unreadable=str(error)) if is_broken else Looked(collection, unanswered=str(error))


def _compared(place: Place, collection: Collection) -> Looked | None:
    for _ in range(_ATTEMPTS):
        loaded = heads.load(place.store, collection)
        comparer = Comparer(place, collection, loaded, stop_at_keys=_MAX_KEYS, stop_at_seconds_left=_STOP_SECONDS)
        try:
            compared = comparer.compare(range(len(comparer.slots)), "")
            lost = tuple(sorted({*_lost(place.store, collection, loaded), *(one.key for one in compared.broken)}))
        except Conflict:
            continue
        if compared.rest is not None and len(compared.keys) < _MAX_KEYS:
            return None  # time ran out
        # Of very many collections, no entries are to be held.
        facts = loaded.head and loaded.head.model_copy(update=dict.fromkeys(_ENTRIES, ()))
        return Looked(collection, facts, lost=lost, differing=tuple(compared.keys))
    return Looked(collection, unanswered="the manifest changes faster than it can be read; run this again")


def _lost(store: Store, collection: Collection, loaded: heads.Loaded) -> tuple[str, ...]:
    """Pages and copies of sidecars that the head refers to, and that are not there. Raises ``Conflict``."""
    if loaded.head is None or not (wanted := {p.key for p in loaded.head.pages} | {*copies_of(loaded.head.sidecars)}):
        return ()
    folders = (f"{collection.folder}pages/", f"{collection.folder}sidecars/")
    lost = wanted - {one.key for folder in folders for one in listed(store, folder)}
    if lost and heads.load(store, collection).etag != loaded.etag:
        raise Conflict(collection.head_key, "it is another one by now")
    return tuple(sorted(lost))
