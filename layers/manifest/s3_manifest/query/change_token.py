"""What a change of data is to become visible as in a manifest, for whoever waits for that."""

from pydantic import Field

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Frozen, Timestamp, UnreadableManifest
from s3_manifest.storage import heads, pages
from s3_manifest.storage.heads import Loaded
from s3_manifest.storage.store import Each, Store, StoreError


def _says_nothing(value: object) -> bool:
    return value in {None, ()}


class ChangeToken(Frozen):
    """One change that was made in S3.

    ``edit``: of the sidecar with this key. ``gone``: the object with this key and ETag was deleted.
    ``md5``: one with these bytes was uploaded. ``emptied``: all was deleted that was last modified
    no later than that; ``s3_key`` is then the collection's prefix. One of the four is given. ``also``:
    what else has to be visible.
    """

    s3_key: str
    edit: int | None = Field(default=None, exclude_if=_says_nothing)
    gone: str | None = Field(default=None, exclude_if=_says_nothing)
    md5: str | None = Field(default=None, exclude_if=_says_nothing)
    emptied: Timestamp | None = Field(default=None, exclude_if=_says_nothing)
    also: tuple["ChangeToken", ...] = Field(default=(), max_length=2, exclude_if=_says_nothing)


def is_reflected(store: Store, each: Each, collection: Collection, loaded: Loaded, change_token: ChangeToken) -> bool:
    """Whether a manifest says so already, or something later.

    Reads one page at most for each change. Raises ``Conflict`` (the head is another one by now), ``StoreError``,
    ``UnreadableManifest``.
    """
    return all(_is_shown(store, each, collection, loaded, one) for one in (change_token, *change_token.also))


def revision_reflecting(store: Store, each: Each, collection: Collection, change_token: ChangeToken) -> int | None:
    """The revision that the manifest is at, if it shows the change by now.

    Raises nothing: what was to be done is done, whatever is the matter with the manifest.
    """
    try:
        loaded = heads.load(store, collection)
        shown = is_reflected(store, each, collection, loaded, change_token)
    except (StoreError, UnreadableManifest):
        return None
    return loaded.head.revision if loaded.head and shown else None


def _is_shown(store: Store, each: Each, collection: Collection, loaded: Loaded, change_token: ChangeToken) -> bool:
    head = loaded.head
    if head is None:
        return False
    if change_token.edit is not None:
        # Number 0: there is no sidecar, and it had nothing to say.
        return change_token.edit == 0 or any(
            one.s3_key == change_token.s3_key and one.is_applied and (one.edit or 0) >= change_token.edit
            for one in head.sidecars
        )
    slots = layout.slots_of(head)
    if change_token.emptied is not None:
        # With pages it still holds a thousand files or more.
        latest = change_token.emptied
        return not head.pages and all(entry.last_modified > latest for slot in slots for entry in _entries(slot))
    entry = _entry(store, each, collection, loaded, change_token.s3_key)
    if change_token.gone is not None:
        return entry is None or entry.etag != change_token.gone
    return entry is not None and entry.md5_hash == change_token.md5


def _entry(store: Store, each: Each, collection: Collection, loaded: Loaded, key: str) -> Entry | None:
    slots, filename = layout.slots_of(loaded.head), collection.filename(key)
    slot = slots[layout.slot_of(slots, filename)]
    run = slot.run if isinstance(slot, layout.Open) else pages.read(store, each, collection, loaded, [slot])[0]
    return run.find(filename)


def _entries(slot: layout.Slot) -> list[Entry]:
    return list(slot.run.entries()) if isinstance(slot, layout.Open) else []
