"""The invariants: at every commit, for every reader, and at rest."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from s3_manifest.manifest import digests, layout
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import Entry, Head, Timestamp, UnreadableManifest
from s3_manifest.manifest.runs import Run, decode_page
from s3_manifest.sidecars.applied import copy_keys
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.storage import heads
from s3_manifest.storage.memory import MemoryStore
from simulation import determinism, oracle
from simulation.history import ROOT, Place
from simulation.queues import Queue
from simulation.readers import ComparedFields, Follower, compared_fields


class Divergence(AssertionError):
    """A manifest is wrong, and no event is left that would repair it."""


class Judge:
    """Compares every head, deletion and response with the real objects."""

    def __init__(self, truths: Mapping[str, MemoryStore], queue: Queue, collections: Collections) -> None:
        self._truths = truths
        self._queue = queue
        self._collections = collections
        self.commits = 0
        self.drift = 0
        self.lost: list[Place] = []
        self.damaged: dict[Place, bytes] = {}
        """Objects of manifests that were lost or damaged, with their original bytes."""
        self.removed_heads: set[Collection] = set()
        """The collections whose head was removed.

        A writer that found no head, and finds none again after the removal, writes its old observations: no condition
        of S3 distinguishes two absences. A sweep repairs that.
        """
        self._history: dict[tuple[Collection, int, str], dict[str, ComparedFields]] = {}
        self._announced: dict[Place, int] = defaultdict(int)

    def on_write(self, bucket: str, key: str) -> None:
        """Checks a head that was just written."""
        if not key.endswith("/manifest.json"):
            return
        self.commits += 1
        collection = self._owner(bucket, key.removesuffix("manifest.json"))
        head = heads.load(self._truth(collection), collection).head
        assert head
        if self._is_damaged(collection, head):
            return  # its content is unknown until it is repaired
        entries = self._entries(collection, head)
        self._history[collection, head.revision, head.last_change] = _files(entries)
        pending = {
            place.key for place, count in self._queue.pending.items() if count > 0 and place.bucket == collection.bucket
        }
        wrong = self._wrong(collection, head, entries, pending)
        if head.complete and wrong and collection not in self.removed_heads:
            raise Divergence(f"wrong, and no event is to come: {sorted(wrong)} at revision {head.revision}")

    def on_delete(self, bucket: str, key: str, retained_since: Timestamp) -> None:
        """Checks a deletion: nothing may refer to the object any more."""
        folder, is_page, _ = key.partition("pages/")
        if not is_page:
            folder, is_copy, _ = key.partition("sidecars/")
            if not is_copy:
                return
        collection = self._owner(bucket, folder)
        truth = self._truth(collection)
        with suppress(UnreadableManifest):
            head = heads.load(truth, collection).head
            if head and key in {page.key for page in head.pages}.union(copy_keys(head.sidecars)):
                raise Divergence(f"{key} is collected, and the manifest refers to it")
        prefix = collection.checkpoints_folder
        for checkpoint, (present, body) in truth.objects.items():
            if not checkpoint.startswith(prefix) or present.last_modified < retained_since:
                continue
            if Place(bucket, checkpoint) in self.damaged:
                continue
            saved = heads.decode(collection, body)
            committed = (collection, saved.revision, saved.commit) in self._history
            if committed and key in {page.key for page in saved.pages}:
                raise Divergence(f"{key} is collected, and the checkpoint of revision {saved.revision} refers to it")

    def on_announcement(self, head: Head) -> None:
        """Records that a revision was announced."""
        place = Place(head.s3_bucket, head.s3_prefix)
        self._announced[place] = max(self._announced[place], head.revision)

    def forget_lost_events(self) -> None:
        """From now on a sweep must find the changes of lost events."""
        self._queue.pending.subtract(self.lost)
        self.lost.clear()
        self.removed_heads.clear()

    def at_rest(self, collection: Collection) -> None:
        """Checks a collection without pending events."""
        truth = self._truth(collection)
        head = heads.load(truth, collection).head
        if head is None:
            return  # nothing was ever committed, so no event was acknowledged
        if self._is_damaged(collection, head):
            raise Divergence("at rest, what is damaged was not repaired")
        if wrong := self._wrong(collection, head, self._entries(collection, head), set()):
            raise Divergence(f"at rest, wrong: {sorted(wrong)}")
        if not head.complete:
            raise Divergence(f"at rest, {collection.prefix} is not complete")
        if +self._queue.pending:
            raise Divergence("the simulation itself lost an event")
        if self._announced[Place(head.s3_bucket, head.s3_prefix)] < head.revision:
            raise Divergence(f"revision {head.revision} was never announced")
        if wrong := oracle.wrong_facts(truth, collection, head):
            raise Divergence(wrong)

    def depends_on_objects_alone(self, collection: Collection) -> None:
        """Checks that a manifest at rest equals one that is made in one commit from the objects in the bucket."""
        if different := determinism.wrong_content(self._truth(collection), collection):
            raise Divergence(f"at rest, {collection.kind}/{collection.id} depends on the schedule: {different}")

    def reading(self, collection: Collection, answer: dict[str, Any], files: dict[str, ComparedFields]) -> None:
        """Checks the response to a reader: it must be the manifest of that revision."""
        expected = self._history.get((collection, answer["revision"], answer["last_change"]))
        if expected != files:
            raise Divergence(f"revision {answer['revision']} was read as {files}, and it was {expected}")

    def follower(self, follower: Follower) -> None:
        """Checks the state of a follower of the change feed, at rest."""
        collection = follower.collection
        head = heads.load(self._truth(collection), collection).head
        if head is None:
            return  # there are no changes to follow
        expected = _files(self._entries(collection, head))
        if follower.files != expected:
            raise Divergence(f"a follower knows {follower.files}, and the manifest has {expected}")

    def _wrong(self, collection: Collection, head: Head, entries: list[Entry], pending: set[str]) -> set[str]:
        """The keys with a wrong entry, except those with an event still to come."""
        objects = {
            key: present
            for key, (present, _) in self._truth(collection).objects.items()
            if key.startswith(collection.prefix)
        }
        listed = {entry.s3_key: (entry.etag, entry.size_bytes) for entry in entries}
        actual = {k: (p.etag, p.size) for k, p in objects.items() if collection.filename(k) not in SIDECARS}
        listed_sidecars = {sidecar.s3_key: sidecar.etag for sidecar in head.sidecars}
        sidecars = {k: p.etag for k, p in objects.items() if collection.filename(k) in SIDECARS}
        wrong = (_different(listed, actual) | _different(listed_sidecars, sidecars)) - pending
        return wrong | oracle.wrongly_described(self._truth(collection), collection, entries, pending)

    def _truth(self, collection: Collection) -> MemoryStore:
        return self._truths[collection.bucket]

    def _owner(self, bucket: str, folder: str) -> Collection:
        """The collection whose manifest has its objects in this folder."""
        collection = self._collections.collection_of(bucket, f"{folder.removeprefix(ROOT)}x")
        assert collection
        return collection

    def _is_damaged(self, collection: Collection, head: Head) -> bool:
        """Whether it refers to a damaged object that is not restored yet."""
        truth, bucket = self._truth(collection), collection.bucket
        keys = {page.key for page in head.pages}.union(copy_keys(head.sidecars))
        damaged = {key: body for key in keys if (body := self.damaged.get(Place(bucket, key))) is not None}
        return any(truth.objects.get(key, (None, None))[1] != body for key, body in damaged.items())

    def _entries(self, collection: Collection, head: Head) -> list[Entry]:
        """The entries of a head; its pages must be there, in order and in bounds, and its totals right."""
        inline = [slot.run for slot in layout.head_slots(head) if isinstance(slot, layout.LoadedRun)]
        runs = [self._page(collection, ref) for ref in head.pages] or inline
        entries = [entry for run in runs for entry in run.entries()]
        names = [entry.filename for entry in entries]
        if names != sorted(set(names)):
            raise Divergence("entries are out of order, or twice in the manifest")
        files = [entry for entry in entries if entry.is_file]
        totals = (len(files), sum(file.size_bytes for file in files))
        if (head.total_files, head.total_size_bytes) != totals:
            raise Divergence("the totals are not those of the files")
        if sum(generation.image_count for generation in head.generations) != len(files):
            raise Divergence("the generations do not count the files")
        counted = Counter((file.generation_id, file.generation_type) for file in files)
        declared = {
            (generation.generation_id, generation.type): generation.image_count for generation in head.generations
        }
        if counted != Counter(declared):
            raise Divergence("the generations are not those of the files")
        too_long = any(len(run) > layout.MAX_INLINE for run in inline if not head.pages)
        if too_long or any(ref.total_entries > layout.MAX_PAGE for ref in head.pages):
            raise Divergence("more files than there may be in one place")
        return entries

    def _page(self, collection: Collection, ref: Any) -> Run:
        stored = self._truth(collection).get(ref.key)
        if stored is None:
            raise Divergence(f"{ref.key} is referred to, and it is missing")
        try:
            run = decode_page(stored.body, ref)
        except UnreadableManifest as unreadable:
            raise Divergence(str(unreadable)) from unreadable
        entries = list(run.entries())
        if ref.digest != digests.to_hex(digests.combine(map(digests.entry_digest, entries))):
            raise Divergence(f"{ref.key}: its digest is not that of its entries")
        if ref.total_size_bytes != sum(entry.size_bytes for entry in entries if entry.is_file):
            raise Divergence(f"{ref.key}: its size is not that of its entries")
        return run


def _different(left: dict[str, Any], right: dict[str, Any]) -> set[str]:
    return {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}


def _files(entries: list[Entry]) -> dict[str, ComparedFields]:
    return {entry.filename: compared_fields(entry) for entry in entries if entry.is_file}
