"""Manifests read straight from S3, with the user's own AWS credentials."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic_core import from_json

from s3_manifest.aws.threads import each
from s3_manifest.manifest.changes import ChangeRecord
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.jobs import Job, JobsNotQueued, Sweep, SweepAll
from s3_manifest.manifest.model import (
    DECLARED_MD5S,
    Entry,
    Facts,
    Head,
    PageRef,
    Role,
    Timestamp,
    UnreadableManifest,
    timestamp,
)
from s3_manifest.query import actors, catalog, history, reads, views
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection, totals_of
from s3_manifest.storage import chain, heads, pages
from s3_manifest.storage.aws_faults import AWS_FAULTS, fault_of
from s3_manifest.storage.heads import Loaded
from s3_manifest.storage.store import NotModified, Store, StoreError
from s3_manifest_cli.client.access.explanations import explain_manifest_error, explain_store_error, unavailable
from s3_manifest_cli.client.manifests.absent import Connection, no_manifest_error
from s3_manifest_cli.client.manifests.manifests import Change, Index, Manifest, RemoteFile, Segment
from s3_manifest_cli.errors import HistoryExpired, Invalid, NotFound, Refused, Unavailable

_CATALOG_PAGE = 1000
_RECORDS_AT_ONCE = 50


class Enqueue(Protocol):
    """Puts jobs into the stack's sweep queue. Raises ``JobsNotQueued``."""

    def __call__(self, jobs: Sequence[Job]) -> None: ...


class S3Manifests:
    """One bucket. Without ``enqueue`` no sweep can be asked for."""

    def __init__(
        self,
        store: Store,
        collections: Collections,
        enqueue: Enqueue | None = None,
        reached: Connection = Connection(),  # noqa: B008  # it is immutable
    ) -> None:
        self._store = store
        self._collections = collections
        self._enqueue = enqueue
        self._reached = reached

    def collections(self) -> Iterator[CollectionTotals | UnreadableCollection]:
        after = None
        while True:
            with translated_errors():
                page = catalog.read_catalog(self._store, self._collections, each, _CATALOG_PAGE, after)
            yield from map(totals_of, page.collections)
            if page.following is None:
                return
            after = page.following

    def actor(self, asked: str) -> Collection:
        with translated_errors():
            return actors.resolve(self._store, self._collections, each, asked)

    def facts(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Facts:
        with translated_errors():
            loaded = heads.load(self._store, collection)
            self._there(collection, loaded)
            return facts_of(reads.read_revision(self._store, each, collection, loaded, revision, at).facts)

    def read(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Manifest:
        def read(loaded: Loaded) -> Manifest:
            past = reads.read_revision(self._store, each, collection, loaded, revision, at)
            entries = [entry for run in views.runs(self._store, each, collection, past) for entry in run.entries()]
            return Manifest(facts_of(past.facts), *(_of(role, entries) for role in _ROLES))

        with translated_errors():
            loaded = heads.load(self._store, collection)
            self._there(collection, loaded)
            return reads.retry_on_conflict(self._store, collection, loaded, read)

    def index(self, collection: Collection, known: Index | None) -> Index:
        with translated_errors():
            if known:
                stored = self._store.get_unless(collection.head_key, known.etag)
                if isinstance(stored, NotModified):
                    return known
                loaded = Loaded(heads.decode(collection, stored.body), stored.etag) if stored else Loaded(None, None)
            else:
                loaded = heads.load(self._store, collection)
            self._there(collection, loaded)
            segments = {segment.key: segment for segment in known.segments} if known else {}
            return reads.retry_on_conflict(
                self._store, collection, loaded, lambda now: self._indexed(collection, now, segments)
            )

    def changes(self, collection: Collection, since: int, limit: int) -> list[Change]:
        with translated_errors():
            head = self._there(collection, heads.load(self._store, collection))
            limit = min(limit, _RECORDS_AT_ONCE)
            records = history.changes_since(self._store, each, collection, head, since, limit)
            return [_change(collection, record) for record in records]

    def rescan(self, collection: Collection) -> Timestamp:
        return self._queued(Sweep(kind=collection.kind, id=collection.id))

    def rescan_all(self) -> Timestamp:
        return self._queued(SweepAll())

    def _there(self, collection: Collection, loaded: Loaded) -> Head:
        if loaded.head:
            return loaded.head
        raise no_manifest_error(collection, self._reached)

    def _queued(self, job: Job) -> Timestamp:
        if self._enqueue is None:
            raise Invalid(
                "only the stack compares a collection with S3: name it with --stack, or its output SweepQueueUrl with"
                " --sweep-queue-url, or go through its HTTP API with --api-url"
            )
        requested_at = timestamp(datetime.now(UTC))
        with translated_errors():
            self._enqueue([job])
        return requested_at

    def _indexed(self, collection: Collection, loaded: Loaded, known: Mapping[str | None, Segment]) -> Index:
        head = self._there(collection, loaded)

        def segment(ref: PageRef) -> Segment:
            if ref.key in known:
                return known[ref.key]
            (run,) = pages.read(self._store, each, collection, loaded, [ref])
            return Segment(ref.key, tuple(_from_fields(from_json(row.line), row.role) for row in run.rows()))

        if head.pages:
            segments = each(segment, head.pages)
        else:
            entries = sorted((*head.files, *head.captions, *head.hidden), key=lambda entry: entry.filename)
            segments = [Segment(None, tuple(map(remote_file, entries)))]
        return Index(facts_of(head), loaded.etag or "", tuple(segments))


_ROLES: tuple[Role, ...] = ("files", "captions", "hidden")


def remote_file(entry: Entry) -> RemoteFile:
    """What comparing needs of an entry."""
    return RemoteFile(
        entry.filename,
        entry.size_bytes,
        entry.md5_hash,
        entry.etag,
        entry.role,
        entry.checksum,
        entry.last_modified,
        declared_source(entry.md5_source),
    )


def declared_source(md5_source: str | None) -> str | None:
    """The user metadata that an MD5 is from; None where it is not from there."""
    return md5_source if md5_source in DECLARED_MD5S else None


def facts_of(facts: Facts) -> Facts:
    """The facts alone of a head or change record."""
    return Facts.model_construct(**{name: getattr(facts, name) for name in Facts.model_fields})


@contextmanager
def translated_errors() -> Iterator[None]:
    """The package's errors, as this client names them."""
    try:
        yield
    except (actors.NoSuchActor, history.NoSuchRevision) as error:
        raise NotFound(str(error)) from error
    except history.HistoryGone as error:
        raise HistoryExpired(str(error), error.oldest) from error
    except actors.AmbiguousActor as error:
        raise Refused(str(error)) from error
    except StoreError as error:
        raise explain_store_error(error) from error
    except JobsNotQueued as error:
        if isinstance(error.__cause__, AWS_FAULTS):
            raise unavailable(fault_of(error.__cause__), "no rescan was queued") from error
        raise Unavailable(str(error)) from error
    except UnreadableManifest as error:
        raise explain_manifest_error(error) from error


def _of(role: Role, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.role == role)


def _from_fields(fields: Mapping[str, Any], role: Role) -> RemoteFile:
    return RemoteFile(
        fields["filename"],
        fields["size_bytes"],
        fields["md5_hash"],
        fields["etag"],
        role,
        fields["checksum"],
        fields["last_modified"],
        declared_source(fields["md5_source"]),
    )


def _change(collection: Collection, record: ChangeRecord) -> Change:
    return Change(
        revision=record.revision,
        commit=record.commit,
        committed_at=record.last_synced,
        s3_key=chain.key_of(collection, record),
        title=record.title,
        complete=record.complete,
        total_files=record.total_files,
        total_size_bytes=record.total_size_bytes,
        added=record.added,
        modified=record.modified,
        removed=record.removed,
    )
