"""An environment for tests: a bucket in memory, a clock that a test moves, and a record of requests."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from unit.values import COLLECTIONS, LOCATION, MORNING, NOON, PREFIX, PUT, STYLE

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.jobs import Job
from s3_manifest.manifest.model import Entry, Head
from s3_manifest.manifest.runs import decode_page
from s3_manifest.reconcile.commit import commit
from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.result import CommitResult
from s3_manifest.storage import heads
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import Fault, Folders, HeadResult, Listing, ReadFailed


@dataclass
class RecordingStore(MemoryStore):
    """A bucket in memory that records its requests and fails to read ``unreadable`` keys.

    ``before_put`` runs just before each write of the head, in place of concurrent workers.
    """

    page_size: int = 1000
    unreadable: set[str] = field(default_factory=set)
    head_keys: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    md5_keys: list[str] = field(default_factory=list)
    added: dict[str, bytes] = field(default_factory=dict)
    written_heads: list[Head] = field(default_factory=list)
    before_put: Callable[[], None] = lambda: None

    def get(self, key: str) -> Any:
        self.requests.append(f"GET {key}")
        return super().get(key)

    def head(self, key: str) -> HeadResult:
        self.head_keys.append(key)
        self.requests.append(f"HEAD {key}")
        if key in self.unreadable:
            raise ReadFailed(key, "not read: 403")
        return super().head(key)

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        self.requests.append(f"LIST {prefix} after {after}")
        return super().list(prefix, after=after, limit=min(limit, self.page_size))

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        self.requests.append(f"FOLDERS {prefix} after {after}")
        return super().folders(prefix, after=after, limit=min(limit, self.page_size))

    def add(self, key: str, body: bytes) -> None:
        self.requests.append(f"ADD {key}")
        # A damaged object may be written again with its original content.
        if self.added.setdefault(key, body) != body:
            raise AssertionError(f"{key} was written before")
        super().add(key, body)

    def delete(self, keys: Sequence[str]) -> None:
        self.requests += (f"DELETE {key}" for key in keys)
        super().delete(keys)

    def md5(self, key: str, etag: str) -> str:
        self.md5_keys.append(key)
        return super().md5(key, etag)

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        self.requests.append(f"PUT {key}")
        if key != STYLE.head_key:
            return super().put(key, body, replaces=replaces, metadata=metadata)
        self.before_put()
        etag = super().put(key, body, replaces=replaces, metadata=metadata)
        self.written_heads.append(heads.decode(STYLE, body))
        return etag

    def requests_for(self, verb: str, below: str = "") -> Sequence[str]:
        """The keys of the requests with this verb, below a prefix."""
        requests = (request.partition(" ") for request in self.requests)
        return [key for name, _, key in requests if name == verb and key.startswith(below)]


@dataclass
class DeniedStore(MemoryStore):
    """A bucket that may not be listed."""

    bucket: str = ""

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        raise self._denial(prefix)

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        raise self._denial(prefix)

    def _denial(self, prefix: str) -> ReadFailed:
        return ReadFailed(prefix, "not listed: 403", Fault(403, "AccessDenied"), bucket=self.bucket)


@dataclass
class Harness:
    """The environment of a test: its bucket, the requests to it, how long it slept, the time left."""

    store: RecordingStore = field(default_factory=RecordingStore)
    collections: Collections = COLLECTIONS
    md5_max_bytes: int = 0
    history_days: int = 30
    queued_jobs: list[Job] = field(default_factory=list)
    queue_delays: list[int] = field(default_factory=list)
    announcements: list[tuple[int, bool]] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    seconds_left: Callable[[], float] = lambda: 900.0
    random: Callable[[], float] = lambda: 0.5
    now: str = NOON
    subscribed_at: str | None = MORNING
    ids: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.store.now = lambda: self.now

    @property
    def environment(self) -> Environment:
        return Environment(
            stores=dict.fromkeys(self.collections.buckets, self.store),
            subscribed_at=lambda _collection: self.subscribed_at,
            collections=self.collections,
            location=LOCATION,
            md5_max_bytes=self.md5_max_bytes,
            history_days=self.history_days,
            enqueue=self.enqueue,
            announce=self.announce,
            parallel_map=serial_map,
            now=lambda: self.now,
            seconds_left=self.left,
            sleep=self.sleeps.append,
            random=self.random,
            commit_id=lambda: f"commit{next(self.ids)}",
        )

    def left(self) -> float:
        return self.seconds_left()

    def enqueue(self, jobs: Sequence[Job], delay_seconds: int = 0) -> None:
        self.queued_jobs += jobs
        self.queue_delays += [delay_seconds] * len(jobs)

    def announce(self, head: Head, file_changes: Sequence[FileChange], *, repeated: bool) -> None:
        self.announcements.append((head.revision, repeated))

    def commit(
        self, keys: Iterable[str], cause: str = PUT, collection: Collection = STYLE, **more: Any
    ) -> CommitResult:
        """A commit of these keys, each observed for the same cause."""
        return commit(self.environment, collection, dict.fromkeys(keys, cause), **more)

    def upload(self, *filenames: str, body: bytes = b"xyz", **facts: Any) -> list[str]:
        return [self.store.upload(PREFIX + filename, body, **facts).key for filename in filenames]

    def head(self, collection: Collection = STYLE) -> Head:
        """The manifest as it is in the bucket."""
        return heads.decode(collection, self.store.objects[collection.head_key][1])

    def snapshot(self, collection: Collection = STYLE) -> Snapshot:
        """A snapshot of the manifest in the bucket."""
        return Snapshot.load(self.store, serial_map, collection)

    def entries(self, collection: Collection = STYLE) -> list[Entry]:
        """The entries of the manifest in the bucket, inline or in pages."""
        head = self.head(collection)
        runs = (decode_page(self.store.objects[page.key][1], page) for page in head.pages)
        return [*head.files, *(entry for run in runs for entry in run.entries())]

    def filenames(self) -> list[str]:
        return [entry.filename for entry in self.entries()]


def replace_account(patch: pytest.MonkeyPatch) -> None:
    """Replaces the machine's AWS settings, so that no test reaches a real account."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        patch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "test")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def with_store(environment: Environment, store: Any) -> Environment:
    """The environment with this store for each bucket."""
    return replace(environment, stores=dict.fromkeys(environment.collections.buckets, store))


def serial_map(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    return [work(item) for item in items]


def seconds(*amounts: float) -> Callable[[], float]:
    """The time left at each call; the last amount repeats."""
    left = list(amounts)
    return lambda: left.pop(0) if len(left) > 1 else left[0]
