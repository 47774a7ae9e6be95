"""One collection's manifest at one moment, with what is needed to read the objects it refers to.

Every read of a page or of a sidecar's copy compares the content with the digest in the head. One that is missing,
archived, or has other content is *broken*; the next sweep repairs it (``repair``).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Head, PageRef, Sidecar, SidecarCopy, UnreadableManifest, first_problem
from s3_manifest.manifest.runs import Run, decode_verified_page, sha256_hex
from s3_manifest.sidecars.applied import AppliedSidecars, applied_sidecars, copy_keys
from s3_manifest.sidecars.content import SidecarContent, decode_content, encode_content
from s3_manifest.sidecars.formats import read_sidecar
from s3_manifest.storage import heads
from s3_manifest.storage.store import Archived, Conflict, NotModified, ParallelMap, Store, StoredObject

Content = TypeVar("Content")
Reference = TypeVar("Reference", PageRef, SidecarCopy)


class BrokenObject(NamedTuple):
    """A page or copy that is missing, archived, or differs from the head's reference to it."""

    key: str
    reason: str


class BrokenObjects(UnreadableManifest):
    """The head refers to broken objects; ``keys`` lists them. The message has the first and the remedy."""

    def __init__(self, collection: Collection, broken: Sequence[BrokenObject]) -> None:
        first, more = broken[0], f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        place = collection.place(collection.head_key)
        super().__init__(
            f"{place} refers to {first.key}, which cannot be used: {first.reason}{more}."
            f" The next sweep repairs it from S3. To repair it now, run a rescan of {collection.kind}/{collection.id}"
        )
        self.keys = tuple(item.key for item in broken)


@dataclass(frozen=True)
class Snapshot:
    """A head with its ETag, its store, and a map for parallel requests.

    ``head`` is None if the collection has no manifest, or if it is not read yet: ``reload`` or ``refresh`` reads it.
    ``is_checkpoint``: the head is a copy of an earlier revision. Pages are immutable until they are garbage-collected:
    a method that reads a deleted page raises ``Conflict`` if a newer head no longer refers to it, and ``reload`` then
    returns the newer head.
    """

    store: Store
    parallel_map: ParallelMap
    collection: Collection
    head: Head | None = None
    etag: str | None = None
    is_checkpoint: bool = False

    @classmethod
    def load(
        cls, store: Store, parallel_map: ParallelMap, collection: Collection, unreadable_etag: str | None = None
    ) -> "Snapshot":
        """The collection's current manifest; the head with the ETag ``unreadable_etag`` counts as none.

        Raises ``UnreadableManifest``, ``StoreError``.
        """
        return cls(store, parallel_map, collection, *heads.load(store, collection, unreadable_etag))

    def reload(self) -> "Snapshot":
        """The current manifest. Raises as ``load``."""
        return Snapshot.load(self.store, self.parallel_map, self.collection)

    def refresh(self) -> "Snapshot":
        """The current manifest; this object itself, without a download, if it is unchanged. Raises as ``load``."""
        if not self.etag:
            return self.reload()
        stored = self.store.get_if_changed(self.collection.head_key, self.etag)
        if isinstance(stored, NotModified):
            return self
        head = heads.decode(self.collection, stored.body) if stored else None
        return replace(self, head=head, etag=stored.etag if stored else None)

    def unread(self) -> "Snapshot":
        """The same collection in the same store, with no manifest read."""
        return Snapshot(self.store, self.parallel_map, self.collection)

    def slots(self) -> Sequence[layout.Slot]:
        """The open run and the references to pages, in order of filenames."""
        return layout.head_slots(self.head)

    def read(self, slots: Sequence[layout.Slot]) -> Iterator[Run]:
        """The entries of each slot. Raises ``BrokenObjects``, ``Conflict``, ``StoreError``."""
        pages = self.examine_pages([slot for slot in slots if isinstance(slot, PageRef)])
        runs = iter(self._intact(pages))
        return (next(runs) if isinstance(slot, PageRef) else slot.run for slot in slots)

    def entries(self) -> list[Entry]:
        """All entries, in order of filenames. Raises as ``read``."""
        return [entry for run in self.read(self.slots()) for entry in run.entries()]

    def entry(self, filename: str) -> Entry | None:
        """The entry of that name. Reads at most one page; raises as ``read``."""
        slots = self.slots()
        (run,) = self.read([slots[layout.slot_index(slots, filename)]])
        return run.find(filename)

    def examine_pages(self, refs: Sequence[PageRef]) -> list[Run | BrokenObject]:
        """These pages, in order; ``BrokenObject`` for an unusable page.

        Raises ``StoreError``, and ``Conflict`` if the current head no longer refers to a broken page: reload.
        """
        return self.parallel_map(lambda ref: self._examine(ref, decode_verified_page), refs)

    def examine_copies(self) -> dict[str, SidecarContent | BrokenObject]:
        """The copies of sidecars by key; ``BrokenObject`` for an unusable copy. Raises as ``examine_pages``."""
        copies = [copy for sidecar in self._sidecars for copy in sidecar.copies]
        contents = self.parallel_map(lambda copy: self._examine(copy, _decode_copy), copies)
        return dict(zip((copy.key for copy in copies), contents, strict=True))

    def restored_descriptions(self) -> AppliedSidecars:
        """The descriptions applied to the files; a broken copy is rewritten if its sidecar is unchanged in S3.

        The new bytes have the SHA-256 in the head, so this needs no commit. Raises as ``read``.
        """
        contents = self.examine_copies()
        for sidecar in self._sidecars:
            if not (sidecar.copies and isinstance(contents[sidecar.copies[0].key], BrokenObject)):
                continue
            copy, stored = sidecar.copies[0], self._get(sidecar.s3_key)
            if isinstance(stored, str) or stored.etag != sidecar.etag:
                continue
            body = encode_content(read_sidecar(self.collection.filename(sidecar.s3_key), stored.body))
            if copy.sha256 in (None, sha256_hex(body)):
                self.store.add(copy.key, body)
                contents[copy.key] = decode_content(body)
        copies = dict(zip(contents, self._intact(contents.values()), strict=True))
        return applied_sidecars(self.collection, self._sidecars, copies)

    @property
    def _sidecars(self) -> Sequence[Sidecar]:
        return self.head.sidecars if self.head else ()

    def _intact(self, examined: Iterable[Content | BrokenObject]) -> list[Content]:
        """The contents. Raises ``BrokenObjects`` if one of them cannot be used."""
        examined = list(examined)
        if broken := [content for content in examined if isinstance(content, BrokenObject)]:
            raise BrokenObjects(self.collection, broken)
        return [content for content in examined if not isinstance(content, BrokenObject)]

    def _examine(self, ref: Reference, decode: Callable[[bytes, Reference], Content]) -> Content | BrokenObject:
        key, stored = ref.key, self._get(ref.key)
        try:
            if isinstance(stored, StoredObject):
                return decode(stored.body, ref)
            reason = stored
        except UnreadableManifest as error:
            reason = str(error).removeprefix(f"{key}: ")
        # A busy collection has a new head by now; a page that the new head refers to as well was not garbage-collected.
        if not self.is_checkpoint and not self._is_still_referenced(key):
            raise Conflict(key, f"{reason}, and the current manifest no longer refers to it; reload the manifest")
        return BrokenObject(key, reason)

    def _get(self, key: str) -> StoredObject | str:
        """The object, or why S3 does not have its bytes. A failed request raises: it proves nothing."""
        try:
            return self.store.get(key) or "it does not exist"
        except Archived:
            # A lifecycle rule of the bucket archives old pages.
            return "it is in an archive"

    def _is_still_referenced(self, key: str) -> bool:
        """Whether the current manifest refers to that page or copy too."""
        current = self.store.get(self.collection.head_key)
        if current is None or current.etag == self.etag:
            return current is not None
        try:
            head = heads.decode(self.collection, current.body)
        except UnreadableManifest:
            return False
        return key in {page.key for page in head.pages}.union(copy_keys(head.sidecars))


def _decode_copy(body: bytes, copy: SidecarCopy) -> SidecarContent:
    if copy.sha256 is not None and sha256_hex(body) != copy.sha256:
        raise UnreadableManifest("its content differs from what the manifest refers to")
    try:
        return decode_content(body)
    except ValidationError as error:
        raise UnreadableManifest(first_problem(error)) from error
