"""What a change of data is to become visible as in a manifest, for whoever waits for that."""

from s3_manifest import layout, pages
from s3_manifest.collections import Collection
from s3_manifest.heads import Loaded
from s3_manifest.model import Entry, Frozen, Timestamp
from s3_manifest.store import Store
from s3_manifest.world import Each


class Awaited(Frozen):
    """One change that was made in S3.

    ``edit``: of the sidecar with this key. ``gone``: the object with this key and ETag was deleted.
    ``md5``: one with these bytes was uploaded. ``emptied``: all was deleted that was last modified
    no later than that; ``s3_key`` is then the collection's prefix. One of the four is given.
    """

    s3_key: str
    edit: int | None = None
    gone: str | None = None
    md5: str | None = None
    emptied: Timestamp | None = None


def is_reflected(store: Store, each: Each, collection: Collection, loaded: Loaded, awaited: Awaited) -> bool:
    """Whether a manifest says so already, or something later.

    Reads one page at most. Raises ``Conflict`` (the head is another one by now), ``StoreError``,
    ``UnreadableManifest``.
    """
    head = loaded.head
    if head is None:
        return False
    if awaited.edit is not None:
        return any(
            one.s3_key == awaited.s3_key and one.is_applied and (one.edit or 0) >= awaited.edit for one in head.sidecars
        )
    slots = layout.slots_of(head)
    if awaited.emptied is not None:
        # With pages it still holds a thousand files or more.
        latest = awaited.emptied
        return not head.pages and all(entry.last_modified > latest for slot in slots for entry in _entries(slot))
    filename = collection.filename(awaited.s3_key)
    slot = slots[layout.slot_of(slots, filename)]
    run = slot.run if isinstance(slot, layout.Open) else pages.read(store, each, collection, loaded, [slot])[0]
    entry = run.find(filename)
    if awaited.gone is not None:
        return entry is None or entry.etag != awaited.gone
    return entry is not None and entry.md5_hash == awaited.md5


def _entries(slot: layout.Slot) -> list[Entry]:
    return list(slot.run.entries()) if isinstance(slot, layout.Open) else []
