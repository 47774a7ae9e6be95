"""The compared handlers: ours, and the one that people write first."""

import json
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import quote_plus

from benchmarks.lambda_queue import BatchOutcome, Invocation, Invoke
from benchmarks.sqs_queue import Event, Received
from benchmarks.traffic import CPU_PER_REQUEST
from benchmarks.virtual_time import VirtualTime
from benchmarks.wire import BUCKET
from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Location, parse_collections
from s3_manifest.manifest.jobs import Job
from s3_manifest.manifest.model import Head, Timestamp, timestamp
from s3_manifest.reconcile import lease
from s3_manifest.reconcile.drain import RECEIVE_MESSAGES, ChangeQueue, reconcile_and_drain
from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.reconcile import Message
from s3_manifest.storage.memory import EPOCH
from s3_manifest.storage.store import Store

COLLECTIONS = parse_collections("style=styles/{style_id}/", "_manifests/", BUCKET)
LOCATION = Location("us-east-1")
HISTORY_DAYS = 30

_CONCURRENCY = 32


class Outbox:
    """Collects enqueued jobs with their delays, and counts announcements."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, int]] = []
        self.announced = 0

    def enqueue(self, jobs: Sequence[Job], delay_seconds: int = 0) -> None:
        self.jobs += [(job, delay_seconds) for job in jobs]

    def announce(self, _head: Head, _changes: Sequence[FileChange], *, repeated: bool) -> None:
        del repeated
        self.announced += 1


def ours(store: Store, time: VirtualTime, outbox: Outbox) -> Invoke:
    """The reconciler, called as by the reconcile function."""

    def invoke(batch: Sequence[Received], invocation: Invocation) -> BatchOutcome:
        def receive() -> list[Message]:
            time.compute(CPU_PER_REQUEST)
            return as_messages(invocation.queue.receive(RECEIVE_MESSAGES))

        def delete(messages: Sequence[Message]) -> None:
            time.compute(CPU_PER_REQUEST)
            invocation.queue.delete([message.id for message in messages])

        def as_messages(received: Sequence[Received]) -> list[Message]:
            with time.uncounted():
                return [Message(message.id, notification(message.event), message.receives) for message in received]

        functions_environment = environment(store, time, outbox, invocation.seconds_left, lambda: clock(time))
        report = reconcile_and_drain(functions_environment, ChangeQueue(receive, delete), as_messages(batch))
        assert not report.crashes, report.crashes
        return BatchOutcome(report.failed, [ms / 1000 for times in report.freshness_ms.values() for ms in times])

    return invoke


def naive(store: Store, time: VirtualTime) -> Invoke:
    """For each event: read the manifest, apply the event, write it back unconditionally."""

    def invoke(batch: Sequence[Received], _invocation: Invocation) -> BatchOutcome:
        for message in batch:
            _change(store, message.event)
        return BatchOutcome((), [time.now - message.event.sent_at for message in batch])

    return invoke


def _change(store: Store, event: Event) -> None:
    collection = COLLECTIONS.collection_of(BUCKET, event.key)
    assert collection
    stored = store.get(collection.head_key)
    files = json.loads(stored.body)["files"] if stored else {}
    name = collection.filename(event.key)
    if event.etag is None:
        files.pop(name, None)
    else:
        files[name] = {
            "filename": name,
            "s3_key": event.key,
            "s3_url": f"https://{BUCKET}.s3.us-east-1.amazonaws.com/{event.key}",
            "size_bytes": event.size,
            "md5_hash": event.etag,
            "uploaded_at": "2026-01-01T00:00:00.000Z",
        }
    manifest = {"style_id": collection.id, "total_files": len(files), "files": files}
    store.add(collection.head_key, json.dumps(manifest).encode())


def environment(
    store: Store,
    time: VirtualTime,
    outbox: Outbox,
    seconds_left: Callable[[], float] = lambda: 900.0,
    now: Callable[[], Timestamp] = lambda: EPOCH,
) -> Environment:
    """The environment of our handler."""
    return Environment(
        stores={BUCKET: store},
        subscribed_at=lambda _collection: None,
        collections=COLLECTIONS,
        location=LOCATION,
        md5_max_bytes=0,
        history_days=HISTORY_DAYS,
        enqueue=outbox.enqueue,
        announce=outbox.announce,
        parallel_map=lambda work, items: time.parallel_map(work, items, _CONCURRENCY),
        now=now,
        seconds_left=seconds_left,
        sleep=time.sleep,
        random=random.random,
        commit_id=lambda: uuid.UUID(int=random.getrandbits(128)).hex,
    )


def messages(batch: Sequence[Event]) -> list[Message]:
    """The events as the change queue delivers them."""
    return [Message(str(index), notification(event)) for index, event in enumerate(batch)]


def clock(time: VirtualTime) -> Timestamp:
    """The virtual time as a timestamp."""
    return _moment(time.now)


def _moment(seconds: float) -> Timestamp:
    return timestamp(datetime.fromisoformat(EPOCH) + timedelta(seconds=seconds))


@contextmanager
def leases_from(keys: int | None) -> Iterator[None]:
    """Sets the number of keys from which workers take the lease within the block; None leaves it unchanged."""
    before = lease.MIN_KEYS
    lease.MIN_KEYS = before if keys is None else keys
    try:
        yield
    finally:
        lease.MIN_KEYS = before


def notification(event: Event) -> str:
    """The event as S3 sends it."""
    object_ = {"key": quote_plus(event.key), "sequencer": "0055AED6DCD90281E5"}
    if event.etag is not None:
        object_ |= {"size": event.size, "eTag": event.etag}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": _moment(event.sent_at),
        "eventName": "ObjectRemoved:Delete" if event.etag is None else "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": BUCKET}, "object": object_},
    }
    return json.dumps({"Records": [record]})
