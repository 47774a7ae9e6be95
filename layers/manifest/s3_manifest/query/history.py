"""What a manifest said: its changes one after the other, and the whole of it at an earlier revision.

Nothing but change records, checkpoints and the head is read, and of records only those on the chain.
What was past keeping is gone: ``HistoryGone`` says so, and never are changes left out in silence.
"""

from collections.abc import Mapping
from typing import NamedTuple

from s3_manifest.manifest.changes import ChangeRecord, decode_record
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.consistency import contradiction_in_record
from s3_manifest.manifest.model import Entry, Facts, Head, NewerManifest, Timestamp, UnreadableManifest
from s3_manifest.manifest.runs import sha256_of
from s3_manifest.storage import chain, heads
from s3_manifest.storage.chain import FIRST, REPAIRED, Link
from s3_manifest.storage.store import Each, Store, listings


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


class ManifestRevision(NamedTuple):
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
    all the same. So does revision 0, which is to know nothing: a first record has all that there was. Raises
    ``HistoryGone``, ``NoSuchRevision``, ``StoreError``, ``UnreadableManifest``.
    """
    if revision > head.revision:
        raise NoSuchRevision(
            f"there is no revision {revision} yet; the last is {head.revision}. If this manifest was followed before,"
            f" it was made anew since: read it, and follow it from revision {head.revision}"
        )
    begun = head.first_revision
    if revision == 0:
        links = _links(store, collection, head, begun, min(begun + limit - 1, head.revision))
        if begun == 1 or links[0].previous == FIRST:
            return _records(store, each, collection, links)
    if revision < begun - 1 or (revision == begun - 1 > 0 and not from_anew):
        raise _begun_anew(store, collection, head, begun)
    links = _links(store, collection, head, revision + 1, min(revision + limit, head.revision))
    # Heads of earlier versions do not say what their history begins with; the records do.
    anew = [link.revision for link in links if link.previous in (FIRST, REPAIRED) and link.revision > 1]
    if anew and not (from_anew and anew[-1] == revision + 1):
        raise _begun_anew(store, collection, head, anew[-1])
    return _records(store, each, collection, links)


def _begun_anew(store: Store, collection: Collection, head: Head, begun: int) -> HistoryGone:
    reason = f"a new manifest was begun with revision {begun}, or repaired; read it, and follow it from its revision"
    return HistoryGone(reason, _first_after(store, collection, head, begun))


def oldest_revision(store: Store, collection: Collection, head: Head) -> int:
    """The first revision of this manifest whose change record is kept.

    Where an older manifest was set aside, its records may be kept as well: they are not of this one.
    """
    oldest = _first_after(store, collection, head, head.first_revision - 1)
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


def at_revision(
    store: Store, each: Each, collection: Collection, loaded: heads.Loaded, revision: int
) -> ManifestRevision:
    """The manifest as it was at a revision. Reads at most ``CHECKPOINT_EVERY`` change records.

    Raises ``HistoryGone``, ``NoSuchRevision``, ``StoreError``, ``UnreadableManifest``.
    """
    head = loaded.head
    if head is None or not 1 <= revision <= head.revision:
        raise NoSuchRevision(f"there is no revision {revision}; the last is {head.revision if head else 0}")
    if revision == head.revision:
        return ManifestRevision(head, loaded, {})
    checkpoint = -(-revision // heads.CHECKPOINT_EVERY) * heads.CHECKPOINT_EVERY
    links = _links(store, collection, head, revision, min(checkpoint, head.revision))
    records = _records(store, each, collection, links)
    base = _checkpoint(store, collection, records[-1]) if checkpoint <= head.revision else loaded
    differs: dict[str, Entry | None] = {}
    for record in records[1:]:
        for one in record.alterations():
            differs.setdefault(one.filename, one.before)
    return ManifestRevision(records[0], base, differs)


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
    found: list[Link] = []
    kept: set[int] = set()
    for listing in listings(store, chain.folder(collection), chain.after_revision(collection, first - 1)):
        names += chain.links(listing.keys)
        found = [link for link in chain.on_chain(names, head) if link.revision <= last]
        kept = {link.revision for link in found}
        # Of two records of one revision, later ones tell which it is.
        if names and names[-1].revision > last and len(kept) == len(found):
            break
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
        record = decode_record(stored.body)
    except NewerManifest as error:
        raise NewerManifest(f"{key}: {error}. Upgrade this program") from error
    except UnreadableManifest:
        record = None
    if record is None or Link(record.revision, record.commit, record.previous) != link:
        raise _damaged(link)
    if contradiction_in_record(record, collection):
        raise _damaged(link)
    return record


def _damaged(link: Link) -> HistoryGone:
    # As good as lost: nothing else knows what it said.
    return HistoryGone(f"the change record of revision {link.revision} is damaged", link.revision + 1)


def _checkpoint(store: Store, collection: Collection, record: ChangeRecord) -> heads.Loaded:
    """The checkpoint that was written with this record."""
    stored = store.get(heads.checkpoint_key(collection, record.revision, record.commit))
    if stored is None or (record.checkpoint and sha256_of(stored.body) != record.checkpoint):
        raise _not_kept(record.revision)
    try:
        head = heads.decode(collection, stored.body)
    except NewerManifest:
        raise
    except UnreadableManifest as error:
        raise _not_kept(record.revision) from error
    if (head.revision, head.commit) != (record.revision, record.commit):
        raise _not_kept(record.revision)
    return heads.Checkpoint(head, stored.etag)


def _not_kept(revision: int) -> HistoryGone:
    reason = f"what the manifest said at revision {revision} is lost or damaged"
    return HistoryGone(reason, revision + 1)
