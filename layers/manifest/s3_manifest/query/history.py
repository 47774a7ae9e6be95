"""The revisions of a manifest: its changes in order, and the whole manifest as it was at an earlier revision.

Only change records, checkpoints and the head are read, and of the records only those on the chain of the head. Changes
are never skipped: if a record is no longer kept, ``HistoryExpired`` is raised.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from s3_manifest.manifest.changes import ChangeRecord, decode_record
from s3_manifest.manifest.consistency import check_record
from s3_manifest.manifest.layout import Slot
from s3_manifest.manifest.model import Entry, Facts, NewerManifest, Timestamp, UnreadableManifest
from s3_manifest.manifest.runs import Run, sha256_hex
from s3_manifest.storage import change_log, heads
from s3_manifest.storage.change_log import FIRST, REPAIRED, RecordName
from s3_manifest.storage.snapshot import BrokenObjects, Snapshot
from s3_manifest.storage.store import iter_listings


class HistoryExpired(Exception):
    """A revision is not kept. ``oldest`` is the first later one that is: follow the manifest from the one before."""

    def __init__(self, reason: str, oldest: int) -> None:
        super().__init__(reason)
        self.oldest = oldest


class NoSuchRevision(Exception):
    """The revision does not exist yet, or the manifest did not exist at that time."""


class ManifestRevision(NamedTuple):
    """A manifest at one revision: its facts, and its entries as differences from another head.

    ``differences`` has, by filename, the entry of this revision where it is not that of ``base``; None where this
    revision has no such file.
    """

    facts: Facts
    base: Snapshot
    differences: Mapping[str, Entry | None]

    def runs(self) -> Iterator[Run]:
        """All entries, in order of filenames. Raises as ``read``."""
        slots = self.base.slots()
        return self.read(slots, range(len(slots)))

    def read(self, slots: Sequence[Slot], indices: Sequence[int]) -> Iterator[Run]:
        """The entries of some of the slots. Raises ``Conflict`` (reload), ``HistoryExpired``, ``StoreError``."""
        try:
            runs = self.base.read([slots[index] for index in indices])
        except BrokenObjects as error:
            head = self.base.head
            if not self.base.is_checkpoint or head is None:
                raise
            # The sweep does not repair pages to which only the history refers.
            reason = f"part of the manifest at revision {self.facts.revision} is lost or damaged"
            raise HistoryExpired(reason, head.revision + 1) from error
        for index, run in zip(indices, runs, strict=True):
            start = slots[index].first if index else ""
            end = slots[index + 1].first if index + 1 < len(slots) else None
            within = {
                name: entry for name, entry in self.differences.items() if name >= start and (end is None or name < end)
            }
            yield run.with_changes(within) if within else run


class History:
    """The kept revisions of one manifest. Raises ``NoSuchRevision`` for a snapshot without a head.

    Every method may raise ``HistoryExpired``, ``StoreError`` and ``UnreadableManifest``.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        if snapshot.head is None:
            raise NoSuchRevision("the manifest no longer exists")
        self._snapshot = snapshot
        self._collection = snapshot.collection
        self._head = snapshot.head

    def changes_since(self, revision: int, limit: int, *, include_first: bool = False) -> list[ChangeRecord]:
        """The change records of at most ``limit`` revisions after ``revision``, with none skipped.

        To follow a manifest, ask again with the last record's revision. The first record of a manifest that replaced
        another does not state the differences between the two: it is returned only with ``include_first``, or for
        revision 0, where it lists every file. Raises ``NoSuchRevision``.
        """
        head = self._head
        if revision > head.revision:
            raise NoSuchRevision(
                f"there is no revision {revision} yet; the last is {head.revision}. If you followed this manifest"
                f" before, it was recreated: read it, then follow it from revision {head.revision}"
            )
        first = head.first_revision
        if revision == 0:
            links = self._links(first, min(first + limit - 1, head.revision))
            if first == 1 or links[0].previous == FIRST:
                return self._records(links)
        if revision < first - 1 or (revision == first - 1 > 0 and not include_first):
            raise self._recreated(first)
        links = self._links(revision + 1, min(revision + limit, head.revision))
        # Heads of earlier versions do not state their first revision; the records do.
        first_records = [link.revision for link in links if link.previous in (FIRST, REPAIRED) and link.revision > 1]
        if first_records and not (include_first and first_records[-1] == revision + 1):
            raise self._recreated(first_records[-1])
        return self._records(links)

    def record(self, revision: int) -> ChangeRecord:
        """The change record of a revision."""
        (record,) = self._records(self._links(revision, revision))
        return record

    def oldest_revision(self) -> int:
        """The first revision of this manifest whose change record is kept.

        Records of an earlier manifest that was set aside may be kept too; they do not count.
        """
        low, high = self._next_recorded(self._head.first_revision - 1), self._head.revision
        if low > high or self._is_of_this_manifest(low):
            return low
        return low + 1 + bisect_left(range(low + 1, high), x=True, key=self._is_of_this_manifest)

    def at(self, revision: int | None = None, moment: Timestamp | None = None) -> ManifestRevision:
        """The manifest at a revision or, without one, at a time; as it is without either.

        Reads at most ``CHECKPOINT_EVERY`` change records for a revision. Raises ``NoSuchRevision``.
        """
        head = self._head
        if revision is None:
            revision = head.revision if moment is None else self._revision_at(moment)
        if not 1 <= revision <= head.revision:
            raise NoSuchRevision(f"there is no revision {revision}; the last is {head.revision}")
        if revision == head.revision:
            return ManifestRevision(head, self._snapshot, {})
        checkpoint = -(-revision // heads.CHECKPOINT_EVERY) * heads.CHECKPOINT_EVERY
        records = self._records(self._links(revision, min(checkpoint, head.revision)))
        base = self._checkpoint(records[-1]) if checkpoint <= head.revision else self._snapshot
        differences: dict[str, Entry | None] = {}
        for record in records[1:]:
            for change in record.file_changes():
                differences.setdefault(change.filename, change.before)
        return ManifestRevision(records[0], base, differences)

    def _revision_at(self, moment: Timestamp) -> int:
        """The last revision committed at or before a time, from O(log revisions) records. Raises ``NoSuchRevision``."""
        oldest = min(self.oldest_revision(), self._head.revision)
        start = self.record(oldest).last_synced
        if moment < start:
            if oldest == 1:
                name = f"{self._collection.kind}/{self._collection.id}"
                raise NoSuchRevision(f"{name} had no manifest on {moment[:10]}. Its history starts at {start}")
            raise HistoryExpired(
                f"the manifest of that time is no longer kept; the oldest kept is revision {oldest}", oldest
            )
        later = range(oldest + 1, self._head.revision + 1)
        return oldest + bisect_right(later, moment, key=lambda revision: self.record(revision).last_synced)

    def _recreated(self, first: int) -> HistoryExpired:
        return HistoryExpired(
            f"the manifest was recreated or repaired with revision {first}; read it, then follow it from its revision",
            self._next_recorded(first),
        )

    def _is_of_this_manifest(self, revision: int) -> bool:
        try:
            return self.record(revision).created_at == self._head.created_at
        except HistoryExpired:
            return False

    def _next_recorded(self, revision: int) -> int:
        """The first later revision with a record, of this manifest or of one before; the one after the head if none."""
        chains = (chain for _, chain in self._names_after(revision) if chain)
        return next((chain[0].revision for chain in chains), self._head.revision + 1)

    def _links(self, first: int, last: int) -> list[RecordName]:
        """The records on the chain from one revision to another, both included and none missing."""
        links: list[RecordName] = []
        if first > last:
            return links
        revisions: set[int] = set()
        for names, chain in self._names_after(first - 1):
            links = [link for link in chain if link.revision <= last]
            revisions = {link.revision for link in links}
            # Where a revision has two records, the records after it decide which one is on the chain.
            if names and names[-1].revision > last and len(revisions) == len(links):
                break
        missing = next((revision for revision in range(first, last + 1) if revision not in revisions), None)
        if missing is not None:
            oldest = self._next_recorded(missing)
            reason = f"the change record of revision {missing} is no longer kept; the oldest kept is {oldest}"
            raise HistoryExpired(reason, oldest)
        return links

    def _names_after(self, revision: int) -> Iterator[tuple[list[RecordName], list[RecordName]]]:
        """After each listing: the records of later revisions so far, and those of them on the chain of the head."""
        start = change_log.listing_start(self._collection, revision)
        names: list[RecordName] = []
        for listing in iter_listings(self._snapshot.store, self._collection.changes_folder, start):
            names += change_log.parse_names(listing.keys)
            yield names, change_log.follow_chain(names, self._head)

    def _records(self, links: list[RecordName]) -> list[ChangeRecord]:
        return self._snapshot.parallel_map(self._read_record, links)

    def _read_record(self, link: RecordName) -> ChangeRecord:
        key = change_log.record_key(self._collection, link)
        stored = self._snapshot.store.get(key)
        if stored is None:
            # The collector deletes the oldest first, so the next record may still exist.
            raise HistoryExpired(f"the change record of revision {link.revision} is no longer kept", link.revision + 1)
        try:
            record = decode_record(stored.body)
            check_record(record, self._collection)
        except NewerManifest as error:
            raise NewerManifest(f"{key}: {error}. Upgrade this program") from error
        except UnreadableManifest:
            record = None
        if record is None or RecordName(record.revision, record.commit, record.previous) != link:
            # Nothing else records this revision's changes.
            raise HistoryExpired(f"the change record of revision {link.revision} is damaged", link.revision + 1)
        return record

    def _checkpoint(self, record: ChangeRecord) -> Snapshot:
        """The checkpoint that was written with this record."""
        lost = HistoryExpired(f"the manifest of revision {record.revision} is lost or damaged", record.revision + 1)
        stored = self._snapshot.store.get(heads.checkpoint_key(self._collection, record.revision, record.commit))
        if stored is None or (record.checkpoint and sha256_hex(stored.body) != record.checkpoint):
            raise lost
        try:
            head = heads.decode(self._collection, stored.body)
        except NewerManifest:
            raise
        except UnreadableManifest as error:
            raise lost from error
        if (head.revision, head.commit) != (record.revision, record.commit):
            raise lost
        return replace(self._snapshot, head=head, etag=stored.etag, is_checkpoint=True)
