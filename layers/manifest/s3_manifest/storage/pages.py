"""Pages, and copies of sidecars, in a store: read as a head refers to them.

None is taken for what it should be: each is compared with what the head says of it whenever it is read.
One that is missing, in an archive, or has other content is *broken*; the next sweep repairs it (``repair``).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import BrokenObjects, PageRef, Sidecar, SidecarCopy, UnreadableManifest, first_problem
from s3_manifest.manifest.runs import Run, sha256_of, verified_page
from s3_manifest.sidecars.descriptions import Descriptions, copies_of, described
from s3_manifest.sidecars.formats import SidecarContent, decode_content, encode_content, read_sidecar
from s3_manifest.storage import heads
from s3_manifest.storage.store import Archived, Conflict, Each, Store, Stored


class Broken(NamedTuple):
    """A page or a copy that is missing, or not what the head says it is."""

    key: str
    reason: str


def examine(
    store: Store, each: Each, collection: Collection, loaded: heads.Loaded, refs: Sequence[PageRef]
) -> list[Run | Broken]:
    """What these pages of a loaded head hold, in order; ``Broken`` in place of those that cannot be used.

    Raises ``Conflict`` where one is broken and the head does not refer to it by now: reload it.
    """

    def read_page(ref: PageRef) -> Run | Broken:
        stored = _stored(store, ref.key)
        if isinstance(stored, str):
            return _broken(store, collection, loaded, ref.key, stored)
        try:
            return verified_page(stored.body, ref)
        except UnreadableManifest as error:
            return _broken(store, collection, loaded, ref.key, str(error).removeprefix(f"{ref.key}: "))

    return each(read_page, refs)


def read(store: Store, each: Each, collection: Collection, loaded: heads.Loaded, refs: Sequence[PageRef]) -> list[Run]:
    """What these pages of a loaded head hold, in order. Raises ``BrokenObjects``, and as ``examine``."""
    found = examine(store, each, collection, loaded, refs)
    if broken := [one for one in found if isinstance(one, Broken)]:
        raise broken_objects(collection, broken)
    return [one for one in found if isinstance(one, Run)]


def examine_copies(
    store: Store, each: Each, collection: Collection, loaded: heads.Loaded
) -> dict[str, SidecarContent | Broken]:
    """What each copy of a sidecar that a loaded head refers to says, by key. Raises ``Conflict``, as ``examine``."""
    copies = [copy for sidecar in _sidecars(loaded) for copy in sidecar.copies]

    def read_copy(copy: SidecarCopy) -> SidecarContent | Broken:
        stored = _stored(store, copy.key)
        if isinstance(stored, str):
            return _broken(store, collection, loaded, copy.key, stored)
        if copy.sha256 is not None and sha256_of(stored.body) != copy.sha256:
            return _broken(store, collection, loaded, copy.key, "its content is not what the manifest refers to")
        try:
            return decode_content(stored.body)
        except ValidationError as error:
            return _broken(store, collection, loaded, copy.key, first_problem(error))

    return dict(zip((copy.key for copy in copies), each(read_copy, copies), strict=True))


def read_descriptions(store: Store, each: Each, collection: Collection, loaded: heads.Loaded) -> Descriptions:
    """What the files of a loaded head go by of what its sidecars say. Raises as ``read``."""
    return _described(collection, loaded, examine_copies(store, each, collection, loaded))


def restored_descriptions(store: Store, each: Each, collection: Collection, loaded: heads.Loaded) -> Descriptions:
    """As ``read_descriptions``; a broken copy is written again, if the sidecar is still the one that it was made of.

    The bytes are those that the head knows by their SHA-256, so this needs no commit.
    """
    found = examine_copies(store, each, collection, loaded)
    for sidecar in _sidecars(loaded):
        if not (sidecar.copies and isinstance(found[sidecar.copies[0].key], Broken)):
            continue
        copy = sidecar.copies[0]
        stored = _stored(store, sidecar.s3_key)
        if isinstance(stored, str) or stored.etag != sidecar.etag:
            continue
        body = encode_content(read_sidecar(collection.filename(sidecar.s3_key), stored.body))
        if copy.sha256 in (None, sha256_of(body)):
            store.add(copy.key, body)
            found[copy.key] = decode_content(body)
    return _described(collection, loaded, found)


def broken_objects(collection: Collection, broken: Sequence[Broken]) -> BrokenObjects:
    """The error that names what is broken, and the remedy."""
    first, more = broken[0], f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    return BrokenObjects(
        f"{collection.head_key}: {first.key}, which it refers to, cannot be used: {first.reason}{more}. The next sweep"
        f" repairs it from S3; to repair it now, ask for a rescan of {collection.kind}/{collection.id}",
        [one.key for one in broken],
    )


def _sidecars(loaded: heads.Loaded) -> Sequence[Sidecar]:
    return loaded.head.sidecars if loaded.head else ()


def _described(
    collection: Collection, loaded: heads.Loaded, found: Mapping[str, SidecarContent | Broken]
) -> Descriptions:
    if broken := [one for one in found.values() if isinstance(one, Broken)]:
        raise broken_objects(collection, broken)
    copies = {key: one for key, one in found.items() if isinstance(one, SidecarContent)}
    return described(collection, _sidecars(loaded), copies)


def _stored(store: Store, key: str) -> Stored | str:
    """The object, or why nobody can read it. Only S3's word counts for that: a request that failed raises."""
    try:
        return store.get(key) or "it is not there"
    except Archived:
        # A lifecycle rule of the whole bucket does this to pages that nothing touched for long.
        return "it is in an archive"


def _broken(store: Store, collection: Collection, loaded: heads.Loaded, key: str, reason: str) -> Broken:
    # On a busy collection the head is always another one by now; what that refers to as well was not collected.
    if not isinstance(loaded, heads.Checkpoint) and not _refers_to(store, collection, loaded, key):
        raise Conflict(key, f"{reason}, and the manifest is another one by now; reload it")
    return Broken(key, reason)


def _refers_to(store: Store, collection: Collection, loaded: heads.Loaded, key: str) -> bool:
    """Whether the manifest, as it is now, refers to that page or copy, as a loaded head does."""
    current = store.get(collection.head_key)
    if current is None or current.etag == loaded.etag:
        return current is not None
    try:
        head = heads.decode(collection, current.body)
    except UnreadableManifest:
        return False
    return key in {page.key for page in head.pages}.union(copies_of(head.sidecars))
