"""Reads manifests from S3, with the user's AWS credentials."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic_core import from_json

from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.jobs import Job, JobsNotQueued, Sweep, SweepAll
from s3_manifest.manifest.model import Facts, Head, PageRef, Timestamp, UnreadableManifest, timestamp
from s3_manifest.query import actors, catalog, history
from s3_manifest.query.catalog import UnreadableBucket
from s3_manifest.query.feeds import change_fields
from s3_manifest.query.history import History, NoSuchRevision
from s3_manifest.query.reads import retry_on_conflict
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection, totals_of
from s3_manifest.storage.aws_errors import AWS_ERRORS, parse_fault
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import Store, StoreError, iter_folders, iter_listings
from s3_manifest_cli.client.access.explanations import explain_error, unavailable
from s3_manifest_cli.client.access.threads import parallel_map
from s3_manifest_cli.client.manifests.manifests import (
    ROLES,
    UNNAMED,
    Admit,
    Change,
    Connection,
    Index,
    ListedHead,
    Manifest,
    RemoteFile,
    Segment,
    admit_all,
)
from s3_manifest_cli.errors import HistoryExpired, Invalid, NotFound, Refused, S3ManifestError, Unavailable

_CATALOG_PAGE = 1000
_MAX_RECORDS = 50
_FEW_HEADS = 50
"""A listing of a thousand keys with fewer heads takes longer than a request to each of them."""


Enqueue = Callable[[Sequence[Job]], None]
"""Puts jobs into the stack's sweep queue. Raises ``JobsNotQueued``."""


class S3Manifests:
    """The manifests in the buckets of ``collections``. Without ``enqueue``, no sweep can be requested."""

    def __init__(
        self,
        stores: Mapping[str, Store],
        collections: Collections,
        enqueue: Enqueue | None = None,
        connection: Connection = UNNAMED,
    ) -> None:
        self._stores = stores
        self._collections = collections
        self.enqueue = enqueue
        self.admit: Admit = admit_all
        self._connection = connection

    def collections(self) -> Iterator[CollectionTotals | UnreadableCollection | UnreadableBucket]:
        cursor = None
        while True:
            with translated_errors():
                page = catalog.read_catalog(self._stores, self._collections, parallel_map, _CATALOG_PAGE, cursor)
            yield from map(totals_of, page.collections)
            yield from page.problems
            if not (cursor := page.cursor):
                return

    def list_heads(self, kinds: Sequence[str]) -> dict[str, list[ListedHead] | S3ManifestError]:
        listed: dict[str, list[ListedHead] | S3ManifestError] = {}
        for kind in kinds:
            try:
                listed[kind] = list(self._list_heads(kind))
            except S3ManifestError as error:
                listed[kind] = error
        return listed

    def _list_heads(self, kind: str) -> Iterator[ListedHead]:
        # A listing of all keys has the ETags. Where manifests have many other objects it would be long: then the
        # folders are listed instead.
        pattern = next(pattern for pattern in self._collections.patterns if pattern.kind == kind)
        store, prefix = self._stores[pattern.bucket], self._collections.root + pattern.before
        etags: dict[str, str | None] = {}
        with translated_errors():
            for listing in iter_listings(store, prefix):
                known = len(etags)
                for item in listing.objects:
                    name = item.key.removeprefix(prefix).partition("/")[0]
                    if item.key == pattern.collection(name, self._collections.root).head_key:
                        etags[name] = item.etag
                if listing.truncated and listing.objects and len(etags) - known < _FEW_HEADS:
                    last = listing.objects[-1].key.removeprefix(prefix).partition("/")[0]
                    etags.setdefault(last, None)
                    for folders in iter_folders(store, prefix, after=last):
                        etags |= {folder.removesuffix("/"): None for folder in folders}
                    break
        for name, etag in etags.items():
            if collection := self._collections.lookup(kind, name):
                yield ListedHead(collection, etag)

    def actor(self, name: str) -> Collection:
        with translated_errors():
            return actors.resolve(self._stores, self._collections, parallel_map, name)

    def facts(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Facts:
        with translated_errors():
            return _only_facts(History(self._snapshot(collection)).at(revision, at).facts)

    def read(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Manifest:
        def read(snapshot: Snapshot) -> Manifest:
            manifest = History(snapshot).at(revision, at)
            self.admit(manifest.facts.total_files)
            entries = [entry for run in manifest.runs() for entry in run.entries()]
            by_role = (tuple(entry for entry in entries if entry.role == role) for role in ROLES)
            return Manifest(_only_facts(manifest.facts), *by_role)

        with translated_errors():
            return retry_on_conflict(self._snapshot(collection), read)

    def index(self, collection: Collection, known: Index | None) -> Index:
        with translated_errors():
            unread = Snapshot(
                self._stores[collection.bucket], parallel_map, collection, etag=known.etag if known else None
            )
            snapshot = unread.refresh()
            if known and snapshot is unread:
                return known
            segments = {segment.key: segment for segment in known.segments} if known else {}
            return retry_on_conflict(snapshot, lambda now: self._build_index(now, segments))

    def changes(self, collection: Collection, since: int, limit: int) -> list[Change]:
        with translated_errors():
            records = History(self._snapshot(collection)).changes_since(since, min(limit, _MAX_RECORDS))
            return [Change(**change_fields(collection, record)) for record in records]

    def rescan(self, collection: Collection) -> Timestamp:
        return self._request(Sweep(kind=collection.kind, id=collection.id))

    def rescan_all(self) -> Timestamp:
        return self._request(SweepAll())

    def _snapshot(self, collection: Collection) -> Snapshot:
        snapshot = Snapshot.load(self._stores[collection.bucket], parallel_map, collection)
        self._head(snapshot)
        return snapshot

    def _head(self, snapshot: Snapshot) -> Head:
        if snapshot.head:
            return snapshot.head
        raise self._connection.no_manifest(snapshot.collection)

    def _request(self, job: Job) -> Timestamp:
        if self.enqueue is None:
            raise Invalid(
                "Only the stack can compare a collection with S3.",
                remedy="Pass --stack, or --sweep-queue-url with its output SweepQueueUrl, or --api-url.",
            )
        requested_at = timestamp(datetime.now(UTC))
        with translated_errors():
            self.enqueue([job])
        return requested_at

    def _build_index(self, snapshot: Snapshot, known: Mapping[str | None, Segment]) -> Index:
        head = self._head(snapshot)
        self.admit(head.total_files)

        def segment(ref: PageRef) -> Segment:
            if ref.key in known:
                return known[ref.key]
            (run,) = snapshot.read([ref])
            return Segment(ref.key, tuple(RemoteFile.from_fields(from_json(row.line), row.role) for row in run.rows()))

        inline = (*head.files, *head.captions, *head.hidden)
        segments = parallel_map(segment, head.pages) if head.pages else [Segment.from_entries(inline)]
        return Index(_only_facts(head), snapshot.etag or "", tuple(segments))


def _only_facts(facts: Facts) -> Facts:
    """The facts of a head or change record, without its other fields."""
    return Facts.model_construct(**{name: getattr(facts, name) for name in Facts.model_fields})


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raises the client's errors for those of the package."""
    try:
        yield
    except (actors.NoSuchActor, NoSuchRevision) as error:
        raise NotFound(str(error)) from error
    except history.HistoryExpired as error:
        raise HistoryExpired(str(error), error.oldest) from error
    except actors.AmbiguousActor as error:
        raise Refused(str(error)) from error
    except (StoreError, UnreadableManifest) as error:
        raise explain_error(error) from error
    except JobsNotQueued as error:
        if isinstance(error.__cause__, AWS_ERRORS):
            raise unavailable(parse_fault(error.__cause__), "no sweep was queued") from error
        raise Unavailable(str(error)) from error
