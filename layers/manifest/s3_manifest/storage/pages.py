"""Pages, and copies of sidecars, in a store: read as a head refers to them.

None is taken for what it should be: each is compared with what the head says of it whenever it is read.
One that is missing, in an archive, or has other content is *broken*; the next sweep repairs it (``repair``).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import BrokenObjects, PageRef, Sidecar, SidecarCopy, UnreadableManifest, first_problem
from s3_manifest.manifest.runs import Run, decode_verified_page, sha256_hex
from s3_manifest.sidecars.applied import AppliedSidecars, applied_sidecars, copy_keys
from s3_manifest.sidecars.content import SidecarContent, decode_content, encode_content
from s3_manifest.sidecars.formats import read_sidecar
from s3_manifest.storage import heads
from s3_manifest.storage.store import Archived, Conflict, ParallelMap, Store, StoredObject


class BrokenObject(NamedTuple):
    """A page or a copy that is missing, or not what the head says it is."""

    key: str
    reason: str


def examine(
    store: Store, parallel_map: ParallelMap, collection: Collection, loaded: heads.LoadedHead, refs: Sequence[PageRef]
) -> list[Run | BrokenObject]:
    """What these pages of a loaded head hold, in order; ``Broken`` in place of those that cannot be used.

    Raises ``Conflict`` where one is broken and the head does not refer to it by now: reload it.
    """

    def read_page(ref: PageRef) -> Run | BrokenObject:
        stored = _stored(store, ref.key)
        if isinstance(stored, str):
            return _broken(store, collection, loaded, ref.key, stored)
        try:
            return decode_verified_page(stored.body, ref)
        except UnreadableManifest as error:
            return _broken(store, collection, loaded, ref.key, str(error).removeprefix(f"{ref.key}: "))

    return parallel_map(read_page, refs)


def read(
    store: Store, parallel_map: ParallelMap, collection: Collection, loaded: heads.LoadedHead, refs: Sequence[PageRef]
) -> list[Run]:
    """What these pages of a loaded head hold, in order. Raises ``BrokenObjects``, and as ``examine``."""
    found = examine(store, parallel_map, collection, loaded, refs)
    if broken := [one for one in found if isinstance(one, BrokenObject)]:
        raise broken_objects(collection, broken)
    return [one for one in found if isinstance(one, Run)]


def examine_copies(
    store: Store, parallel_map: ParallelMap, collection: Collection, loaded: heads.LoadedHead
) -> dict[str, SidecarContent | BrokenObject]:
    """What each copy of a sidecar that a loaded head refers to says, by key. Raises ``Conflict``, as ``examine``."""
    copies = [copy for sidecar in _sidecars(loaded) for copy in sidecar.copies]

    def read_copy(copy: SidecarCopy) -> SidecarContent | BrokenObject:
        stored = _stored(store, copy.key)
        if isinstance(stored, str):
            return _broken(store, collection, loaded, copy.key, stored)
        if copy.sha256 is not None and sha256_hex(stored.body) != copy.sha256:
            return _broken(store, collection, loaded, copy.key, "its content is not what the manifest refers to")
        try:
            return decode_content(stored.body)
        except ValidationError as error:
            return _broken(store, collection, loaded, copy.key, first_problem(error))

    return dict(zip((copy.key for copy in copies), parallel_map(read_copy, copies), strict=True))


def read_descriptions(
    store: Store, parallel_map: ParallelMap, collection: Collection, loaded: heads.LoadedHead
) -> AppliedSidecars:
    """What the files of a loaded head go by of what its sidecars say. Raises as ``read``."""
    return _described(collection, loaded, examine_copies(store, parallel_map, collection, loaded))


def restored_descriptions(
    store: Store, parallel_map: ParallelMap, collection: Collection, loaded: heads.LoadedHead
) -> AppliedSidecars:
    """As ``read_descriptions``; a broken copy is written again, if the sidecar is still the one that it was made of.

    The bytes are those that the head knows by their SHA-256, so this needs no commit.
    """
    found = examine_copies(store, parallel_map, collection, loaded)
    for sidecar in _sidecars(loaded):
        if not (sidecar.copies and isinstance(found[sidecar.copies[0].key], BrokenObject)):
            continue
        copy = sidecar.copies[0]
        stored = _stored(store, sidecar.s3_key)
        if isinstance(stored, str) or stored.etag != sidecar.etag:
            continue
        body = encode_content(read_sidecar(collection.filename(sidecar.s3_key), stored.body))
        if copy.sha256 in (None, sha256_hex(body)):
            store.add(copy.key, body)
            found[copy.key] = decode_content(body)
    return _described(collection, loaded, found)


def broken_objects(collection: Collection, broken: Sequence[BrokenObject]) -> BrokenObjects:
    """The error that names what is broken, and the remedy."""
    first, more = broken[0], f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    return BrokenObjects(
        f"{collection.head_key}: {first.key}, which it refers to, cannot be used: {first.reason}{more}. The next sweep"
        f" repairs it from S3; to repair it now, ask for a rescan of {collection.kind}/{collection.id}",
        [one.key for one in broken],
    )


def _sidecars(loaded: heads.LoadedHead) -> Sequence[Sidecar]:
    return loaded.head.sidecars if loaded.head else ()


def _described(
    collection: Collection, loaded: heads.LoadedHead, found: Mapping[str, SidecarContent | BrokenObject]
) -> AppliedSidecars:
    if broken := [one for one in found.values() if isinstance(one, BrokenObject)]:
        raise broken_objects(collection, broken)
    copies = {key: one for key, one in found.items() if isinstance(one, SidecarContent)}
    return applied_sidecars(collection, _sidecars(loaded), copies)


def _stored(store: Store, key: str) -> StoredObject | str:
    """The object, or why nobody can read it. Only S3's word counts for that: a request that failed raises."""
    try:
        return store.get(key) or "it is not there"
    except Archived:
        # A lifecycle rule of the whole bucket does this to pages that nothing touched for long.
        return "it is in an archive"


def _broken(store: Store, collection: Collection, loaded: heads.LoadedHead, key: str, reason: str) -> BrokenObject:
    # On a busy collection the head is always another one by now; what that refers to as well was not collected.
    if not isinstance(loaded, heads.Checkpoint) and not _refers_to(store, collection, loaded, key):
        raise Conflict(key, f"{reason}, and the manifest is another one by now; reload it")
    return BrokenObject(key, reason)


def _refers_to(store: Store, collection: Collection, loaded: heads.LoadedHead, key: str) -> bool:
    """Whether the manifest, as it is now, refers to that page or copy, as a loaded head does."""
    current = store.get(collection.head_key)
    if current is None or current.etag == loaded.etag:
        return current is not None
    try:
        head = heads.decode(collection, current.body)
    except UnreadableManifest:
        return False
    return key in {page.key for page in head.pages}.union(copy_keys(head.sidecars))
