"""Reads of a manifest by somebody else than its writer: each answer, and each series of pages, is of one revision."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Frozen, Timestamp
from s3_manifest.query import history, views
from s3_manifest.query.cursors import decode_cursor, encode_cursor
from s3_manifest.query.history import HistoryGone, ManifestRevision
from s3_manifest.storage import heads
from s3_manifest.storage.store import Conflict, Each, ReadFailed, Store

_ATTEMPTS = 5

Answer = TypeVar("Answer")


class Read(NamedTuple):
    """An answer, and the ETag of the head it was made from; None where it is not about the present."""

    json: bytes
    etag: str | None


class ManifestChanged(Exception):
    """The manifest is at another revision than the pages read so far, and what it said then is not kept."""


class _Place(Frozen):
    """Where the next page begins, which is of the same revision of the same manifest."""

    revision: int
    created_at: Timestamp
    start: str


def whole(store: Store, each: Each, collection: Collection, loaded: heads.Loaded) -> Read:
    """The canonical manifest with all of its files. Raises ``AnswerTooLarge``, and as ``page``."""

    def read(now: heads.Loaded) -> Read:
        past = read_revision(store, each, collection, now)
        return Read(views.whole(store, each, collection, past), now.etag)

    return retry_on_conflict(store, collection, loaded, read)


def page(
    store: Store,
    each: Each,
    collection: Collection,
    loaded: heads.Loaded,
    wanted: views.Filter,
    limit: int,
    *,
    cursor: str | None = None,
    revision: int | None = None,
    at: Timestamp | None = None,
) -> Read:
    """The manifest with at most ``limit`` of its files, and the ``cursor`` of the next page (null on the last).

    As it is, as it was at a ``revision`` or ``at`` a time. A ``cursor`` goes on with the revision of
    the page that it came with, whatever was asked for besides. Raises ``InvalidCursor``,
    ``ManifestChanged``, ``HistoryGone``, ``NoSuchRevision``, ``AnswerTooLarge``, ``StoreError``,
    ``UnreadableManifest``.
    """
    place = decode_cursor(cursor, _Place) if cursor else None

    def read(now: heads.Loaded) -> Read:
        if place:
            if now.head is None or now.head.created_at != place.created_at:
                raise ManifestChanged("the manifest was made anew in between")
            try:
                past = read_revision(store, each, collection, now, place.revision)
            except HistoryGone as gone:
                raise ManifestChanged(f"the pages read so far are of revision {place.revision}, and {gone}") from gone
        else:
            past = read_revision(store, each, collection, now, revision, at)
        found = views.page(store, each, collection, past, wanted, limit, place.start if place else "")
        following = None
        if found.following is not None:
            made = _Place(revision=past.facts.revision, created_at=past.facts.created_at, start=found.following)
            following = encode_cursor(made)
        is_present = past.facts is now.head
        return Read(views.page_json(past, found, wanted.listing, following), now.etag if is_present else None)

    return retry_on_conflict(store, collection, loaded, read)


def read_revision(
    store: Store,
    each: Each,
    collection: Collection,
    loaded: heads.Loaded,
    revision: int | None = None,
    at: Timestamp | None = None,
) -> ManifestRevision:
    """What a loaded manifest said: at a ``revision``, ``at`` a time, or as it is.

    Raises ``HistoryGone``, ``NoSuchRevision``, ``StoreError``, ``UnreadableManifest``, and ``Conflict`` where the
    head is another one by now: see ``retry_on_conflict``.
    """
    if loaded.head is None:
        raise history.NoSuchRevision("the manifest is not there any more")
    if revision is None and at is None:
        return ManifestRevision(loaded.head, loaded, {})
    if revision is None and at is not None:
        revision = history.revision_at(store, collection, loaded.head, at)
    return history.at_revision(store, each, collection, loaded, revision or 0)


def retry_on_conflict(
    store: Store, collection: Collection, loaded: heads.Loaded, read: Callable[[heads.Loaded], Answer]
) -> Answer:
    """What ``read`` makes of the head; of the next one, where the first one's pages were collected meanwhile."""
    for _ in range(_ATTEMPTS):
        try:
            return read(loaded)
        except Conflict:
            loaded = heads.load(store, collection)
    raise ReadFailed(collection.head_key, "the manifest changes faster than it can be read; try again")
