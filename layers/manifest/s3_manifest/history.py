"""What a manifest said: its changes one after the other, and the whole of it at an earlier revision.

Nothing but change records, checkpoints and the head is read, and of records only those on the chain.
What was past keeping is gone: ``HistoryGone`` says so, and never are changes left out in silence.
"""

from collections.abc import Mapping
from typing import NamedTuple

from s3_manifest import chain, heads
from s3_manifest.chain import Link
from s3_manifest.collections import Collection
from s3_manifest.merge import FIRST
from s3_manifest.model import Entry, Facts, Head, Timestamp, UnreadableManifest
from s3_manifest.records import ChangeRecord, decode_record
from s3_manifest.store import Store, listings
from s3_manifest.world import Each


class HistoryGone(Exception):
    """The history does not reach back so far (any more).

    ``oldest`` is the first revision after what is missing whose change may be told: to follow the manifest, go on
    after the revision before that one.
    """

    def __init__(self, reason: str, oldest: int) -> None:
        super().__init__(reason)
        self.oldest = oldest


class NoSuchRevision(Exception):
    """There is no such revision yet, or the manifest was not there at that time."""


class Past(NamedTuple):
    """A manifest at one revision: what it said of the collection, and how its files differ from a head's.

    ``differs`` gives, by filename, the entry there was instead of the one that the files of ``base``
    have; None where there was none.
    """

    facts: Facts
    base: heads.Loaded
    differs: Mapping[str, Entry | None]


def changes_since(
    store: Store,
    each: Each,
    collection: Collection,
    head: Head,
    revision: int,
    limit: int,
    *,
    from_anew: bool = False,
) -> list[ChangeRecord]:
    """The change records of at most ``limit`` revisions after ``revision``, with none left out.

    To follow a manifest for ever, ask again with the last record's revision. A manifest that was
    begun anew does not say what it altered of the one before; ``from_anew`` takes its first record
    all the same. Raises ``HistoryGone``, ``NoSuchRevision``, ``StoreError``, ``UnreadableManifest``.
    """
    if revision > head.revision:
        raise NoSuchRevision(f"there is no revision {revision} yet; the last is {head.revision}")
    links = _links(store, collection, head, revision + 1, min(revision + limit, head.revision))
    begun = [link.revision for link in links if link.previous == FIRST]
    if begun and begun[-1] > 1 and not (from_anew and begun[-1] == revision + 1):
        reason = f"a new manifest was begun with revision {begun[-1]}; read it, and follow it from there"
        raise HistoryGone(reason, begun[-1] + 1)
    return _records(store, each, collection, links)


def oldest_revision(store: Store, collection: Collection, head: Head) -> int:
    """The first revision of this manifest whose change record is kept.

    Where an older manifest was set aside, its records may be kept as well: they are not of this one.
    """
    oldest = _first_after(store, collection, head, 0)
    return oldest if oldest > head.revision else _first_of(store, collection, head, oldest)


def _first_after(store: Store, collection: Collection, head: Head, revision: int) -> int:
    """The first later revision whose record is kept, be it of this manifest or of one before; else the next."""
    names: list[Link] = []
    for listing in listings(store, chain.folder(collection), chain.after_revision(collection, revision)):
        names += chain.links(listing.keys)
        if found := chain.on_chain(names, head):
            return found[0].revision
    return head.revision + 1


def _first_of(store: Store, collection: Collection, head: Head, low: int) -> int:
    """The first revision from ``low`` on whose record is of this manifest; all later ones are."""

    def is_of_this(revision: int) -> bool:
        try:
            return _record_of(store, collection, head, revision).created_at == head.created_at
        except HistoryGone:
            return False

    if is_of_this(low):
        return low
    high = head.revision
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_of_this(middle) else (middle, high)
    return high


def at_revision(store: Store, each: Each, collection: Collection, loaded: heads.Loaded, revision: int) -> Past:
    """The manifest as it was at a revision. Reads at most ``CHECKPOINT_EVERY`` change records.

    Raises ``HistoryGone``, ``NoSuchRevision``, ``StoreError``, ``UnreadableManifest``.
    """
    head = loaded.head
    if head is None or not 1 <= revision <= head.revision:
        raise NoSuchRevision(f"there is no revision {revision}; the last is {head.revision if head else 0}")
    if revision == head.revision:
        return Past(head, loaded, {})
    checkpoint = -(-revision // heads.CHECKPOINT_EVERY) * heads.CHECKPOINT_EVERY
    links = _links(store, collection, head, revision, min(checkpoint, head.revision))
    base = loaded
    if checkpoint <= head.revision:
        base = _checkpoint(store, collection, links[-1])
    records = _records(store, each, collection, links)
    differs: dict[str, Entry | None] = {}
    for record in records[1:]:
        for one in record.alterations():
            differs.setdefault(one.filename, one.before)
    return Past(records[0], base, differs)


def revision_at(store: Store, collection: Collection, head: Head, moment: Timestamp) -> int:
    """The revision that the manifest was at, at a time: the last one committed no later.

    Reads as many change records as the logarithm of the revisions. Raises as ``at_revision``.
    """

    def committed_at(revision: int) -> Timestamp:
        return _record_of(store, collection, head, revision).last_synced

    oldest = min(oldest_revision(store, collection, head), head.revision)
    if moment < committed_at(oldest):
        if oldest == 1:
            name, begins = f"{collection.kind}/{collection.id}", committed_at(oldest)
            raise NoSuchRevision(f"{name} had no manifest on {moment[:10]}. Its history starts at {begins}")
        reason = f"what the manifest said then is not kept; the oldest that is, is revision {oldest}"
        raise HistoryGone(reason, oldest)
    low, high = oldest, head.revision
    while low < high:
        middle = (low + high + 1) // 2
        if committed_at(middle) <= moment:
            low = middle
        else:
            high = middle - 1
    return low


def _links(store: Store, collection: Collection, head: Head, first: int, last: int) -> list[Link]:
    """The records on the chain from one revision to another, both included and none left out."""
    if first > last:
        return []
    names: list[Link] = []
    for listing in listings(store, chain.folder(collection), chain.after_revision(collection, first - 1)):
        names += chain.links(listing.keys)
        if names and names[-1].revision > last:
            break
    found = [link for link in chain.on_chain(names, head) if link.revision <= last]
    kept = {link.revision for link in found}
    missing = next((revision for revision in range(first, last + 1) if revision not in kept), None)
    if missing is not None:
        oldest = _first_after(store, collection, head, missing)
        reason = f"the change of revision {missing} is not kept any more; the oldest that is, is {oldest}"
        raise HistoryGone(reason, oldest)
    return found


def _records(store: Store, each: Each, collection: Collection, links: list[Link]) -> list[ChangeRecord]:
    return each(lambda link: _record(store, collection, link), links)


def _record_of(store: Store, collection: Collection, head: Head, revision: int) -> ChangeRecord:
    (link,) = _links(store, collection, head, revision, revision)
    return _record(store, collection, link)


def _record(store: Store, collection: Collection, link: Link) -> ChangeRecord:
    key = chain.key_of(collection, link)
    stored = store.get(key)
    if stored is None:
        # The oldest are collected first, so the next one may still be there.
        raise HistoryGone(f"the change of revision {link.revision} is not kept any more", link.revision + 1)
    try:
        return decode_record(stored.body)
    except UnreadableManifest as error:
        raise UnreadableManifest(f"{key}: {error}") from error


def _checkpoint(store: Store, collection: Collection, link: Link) -> heads.Loaded:
    stored = store.get(heads.checkpoint_key(collection, link.revision, link.commit))
    if stored is None:
        reason = f"what the manifest said at revision {link.revision} is not kept any more"
        raise HistoryGone(reason, link.revision + 1)
    return heads.Loaded(heads.decode(collection, stored.body), stored.etag)
