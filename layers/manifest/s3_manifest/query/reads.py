"""Reading a manifest while it may change: each answer, and each series of pages, is of one revision."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.model import Frozen, Timestamp
from s3_manifest.query import views
from s3_manifest.query.cursors import decode_cursor, encode_cursor
from s3_manifest.query.history import History, HistoryExpired
from s3_manifest.query.views import Filter
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import Conflict, ReadFailed

_ATTEMPTS = 5

Result = TypeVar("Result")


class Document(NamedTuple):
    """JSON made from a manifest, and the ETag of the head; None where it is of an earlier revision."""

    json: bytes
    etag: str | None


class ManifestChanged(Exception):
    """The manifest has a new revision, and the revision of the cursor is no longer kept."""


class PageQuery(NamedTuple):
    """A page of a manifest to read: its files, and the ``revision`` or the time ``at`` which they are read.

    A ``cursor`` continues with the revision of the page that returned it, whatever else is given.
    """

    filter: Filter = Filter()
    limit: int = 100
    cursor: str | None = None
    revision: int | None = None
    at: Timestamp | None = None


class _Position(Frozen):
    """Where the next page starts: the filename, and the revision of the manifest."""

    revision: int
    created_at: Timestamp
    start: str


def whole(snapshot: Snapshot) -> Document:
    """The canonical manifest with all of its files. Raises ``AnswerTooLarge``, and as ``page``."""
    return retry_on_conflict(snapshot, lambda now: Document(views.whole(History(now).present()), now.etag))


def page(snapshot: Snapshot, query: PageQuery) -> Document:
    """The manifest with at most ``limit`` of its files, and the ``cursor`` of the next page (null on the last).

    Raises ``InvalidCursor``, ``ManifestChanged``, ``HistoryExpired``, ``NoSuchRevision``, ``AnswerTooLarge``,
    ``StoreError``, ``UnreadableManifest``.
    """
    position = decode_cursor(query.cursor, _Position) if query.cursor else None

    def read(now: Snapshot) -> Document:
        if position is None:
            revision = History(now).at(query.revision, query.at)
        elif now.head is None or now.head.created_at != position.created_at:
            raise ManifestChanged("the manifest was recreated")
        else:
            try:
                revision = History(now).at_revision(position.revision)
            except HistoryExpired as error:
                raise ManifestChanged(f"the cursor is of revision {position.revision}, and {error}") from error
        rows = views.page(revision, query.filter, query.limit, position.start if position else "")
        cursor = None
        if rows.next_filename is not None:
            facts = revision.facts
            cursor = encode_cursor(
                _Position(revision=facts.revision, created_at=facts.created_at, start=rows.next_filename)
            )
        is_present = revision.facts is now.head
        return Document(views.page_json(revision, rows, query.filter.listing, cursor), now.etag if is_present else None)

    return retry_on_conflict(snapshot, read)


def retry_on_conflict(snapshot: Snapshot, read: Callable[[Snapshot], Result]) -> Result:
    """What ``read`` returns. Where pages were collected, repeats it with the newer head; finally ``ReadFailed``."""
    for _ in range(_ATTEMPTS):
        try:
            return read(snapshot)
        except Conflict:
            snapshot = snapshot.reload()
    key = snapshot.collection.head_key
    raise ReadFailed(key, "the manifest changed during each of five attempts to read it; try again")
