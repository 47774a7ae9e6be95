"""Pages, and copies of sidecars, read from a store by the references in a head.

Every read compares the content with the digest in the head. A page or copy that is missing, archived, or has other
content is *broken*; the next sweep repairs it (``repair``).
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
    """A page or copy that is missing, archived, or differs from the head's reference to it."""

    key: str
    reason: str


def examine(
    store: Store, parallel_map: ParallelMap, collection: Collection, loaded: heads.LoadedHead, refs: Sequence[PageRef]
) -> list[Run | BrokenObject]:
    """The content of these pages of a loaded head, in order; ``BrokenObject`` in place of a page that cannot be used.

    Raises ``Conflict`` if a page is broken and the current head no longer refers to it: reload the head.
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
    """The content of these pages of a loaded head, in order. Raises ``BrokenObjects``, and as ``examine``."""
    results = examine(store, parallel_map, collection, loaded, refs)
    if broken := [result for result in results if isinstance(result, BrokenObject)]:
        raise broken_objects(collection, broken)
    return [result for result in results if isinstance(result, Run)]


def examine_copies(
    store: Store, parallel_map: ParallelMap, collection: Collection, loaded: heads.LoadedHead
) -> dict[str, SidecarContent | BrokenObject]:
    """The content of each copy of a sidecar that a loaded head refers to, by key. Raises as ``examine``."""
    copies = [copy for sidecar in _sidecars(loaded) for copy in sidecar.copies]

    def read_copy(copy: SidecarCopy) -> SidecarContent | BrokenObject:
        stored = _stored(store, copy.key)
        if isinstance(stored, str):
            return _broken(store, collection, loaded, copy.key, stored)
        if copy.sha256 is not None and sha256_hex(stored.body) != copy.sha256:
            return _broken(store, collection, loaded, copy.key, "its content differs from what the manifest refers to")
        try:
            return decode_content(stored.body)
        except ValidationError as error:
            return _broken(store, collection, loaded, copy.key, first_problem(error))

    return dict(zip((copy.key for copy in copies), parallel_map(read_copy, copies), strict=True))


def restored_descriptions(
    store: Store, parallel_map: ParallelMap, collection: Collection, loaded: heads.LoadedHead
) -> AppliedSidecars:
    """The sidecars' descriptions as applied to the files; a broken copy is rewritten if its sidecar is unchanged in S3.

    The new bytes have the SHA-256 in the head, so this needs no commit. Raises as ``read``.
    """
    contents = examine_copies(store, parallel_map, collection, loaded)
    for sidecar in _sidecars(loaded):
        if not (sidecar.copies and isinstance(contents[sidecar.copies[0].key], BrokenObject)):
            continue
        copy = sidecar.copies[0]
        stored = _stored(store, sidecar.s3_key)
        if isinstance(stored, str) or stored.etag != sidecar.etag:
            continue
        body = encode_content(read_sidecar(collection.filename(sidecar.s3_key), stored.body))
        if copy.sha256 in (None, sha256_hex(body)):
            store.add(copy.key, body)
            contents[copy.key] = decode_content(body)
    return _apply(collection, loaded, contents)


def broken_objects(collection: Collection, broken: Sequence[BrokenObject]) -> BrokenObjects:
    """The error that names the broken objects and the remedy."""
    first, more = broken[0], f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    return BrokenObjects(
        f"{collection.head_key} refers to {first.key}, which cannot be used: {first.reason}{more}. The next sweep"
        f" repairs it from S3. To repair it now, run a rescan of {collection.kind}/{collection.id}",
        [item.key for item in broken],
    )


def _sidecars(loaded: heads.LoadedHead) -> Sequence[Sidecar]:
    return loaded.head.sidecars if loaded.head else ()


def _apply(
    collection: Collection, loaded: heads.LoadedHead, contents: Mapping[str, SidecarContent | BrokenObject]
) -> AppliedSidecars:
    if broken := [content for content in contents.values() if isinstance(content, BrokenObject)]:
        raise broken_objects(collection, broken)
    copies = {key: content for key, content in contents.items() if isinstance(content, SidecarContent)}
    return applied_sidecars(collection, _sidecars(loaded), copies)


def _stored(store: Store, key: str) -> StoredObject | str:
    """The object, or why S3 does not have its bytes. A failed request raises: it proves nothing about the object."""
    try:
        return store.get(key) or "it does not exist"
    except Archived:
        # A lifecycle rule of the bucket archives old pages.
        return "it is in an archive"


def _broken(store: Store, collection: Collection, loaded: heads.LoadedHead, key: str, reason: str) -> BrokenObject:
    # A busy collection has a new head by now; a page that the new head refers to as well was not garbage-collected.
    if not isinstance(loaded, heads.Checkpoint) and not _refers_to(store, collection, loaded, key):
        raise Conflict(key, f"{reason}, and the current manifest no longer refers to it; reload the manifest")
    return BrokenObject(key, reason)


def _refers_to(store: Store, collection: Collection, loaded: heads.LoadedHead, key: str) -> bool:
    """Whether the current manifest refers to that page or copy too."""
    current = store.get(collection.head_key)
    if current is None or current.etag == loaded.etag:
        return current is not None
    try:
        head = heads.decode(collection, current.body)
    except UnreadableManifest:
        return False
    return key in {page.key for page in head.pages}.union(copy_keys(head.sidecars))
