"""Turns one batch of messages into commits; every message succeeds or fails by itself."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection, IdTooLong
from s3_manifest.manifest.jobs import JobsNotQueued
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.reconcile.commit import commit
from s3_manifest.reconcile.environment import AnnouncementFailed, Environment
from s3_manifest.reconcile.events import MalformedEvent, ObjectEvent, decode_body
from s3_manifest.reconcile.result import CommitResult
from s3_manifest.storage.store import StoreError

_EXPECTED = (StoreError, UnreadableManifest, MalformedEvent, AnnouncementFailed, JobsNotQueued)


class Message(NamedTuple):
    """A message from the change queue.

    ``receives`` counts its deliveries, this one included. ``receipt`` is the SQS receipt handle; empty if the event
    source deletes the message.
    """

    id: str
    body: str
    receives: int = 1
    receipt: str = ""


class _Delivery(NamedTuple):
    """An event and the message that brought it."""

    message: Message
    event: ObjectEvent


_Deliveries = dict[str, list[_Delivery]]
"""Of one collection, by key."""


@dataclass
class BatchResult:
    """The result of a batch, for the response, the log and the metrics."""

    received: int = 0
    """Events in the messages, including dropped ones."""
    retries: int = 0
    """Messages that were delivered before."""
    attempts: dict[str, int] = field(default_factory=dict)
    """Deliveries of each message, by id."""
    drained: int = 0
    """Messages that the function received from the queue itself."""
    queue_errors: list[str] = field(default_factory=list)
    """Failed requests to the queue, which delivers those messages again."""
    failed: dict[str, str] = field(default_factory=dict)
    """The reason for each message to be delivered again, by id."""
    crashes: list[Exception] = field(default_factory=list)
    """Unexpected errors; their messages are in ``failed``."""
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """Message ids with the reason why an event of the message was ignored."""
    commit_results: list[CommitResult] = field(default_factory=list)
    freshness_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """For each committed event, the milliseconds since its time, by bucket."""

    def fail(self, message_ids: Iterable[str], error: Exception) -> None:
        """Marks these messages as failed."""
        if not isinstance(error, _EXPECTED):
            self.crashes.append(error)
        self.failed |= dict.fromkeys(message_ids, str(error) or type(error).__name__)


def reconcile(environment: Environment, messages: Sequence[Message], batch: BatchResult | None = None) -> BatchResult:
    """Brings every collection that the messages name up to date, in parallel; adds to the result ``batch``, if given.

    A malformed message, an unreadable object or an unreadable head fails its own messages only. A repeat is harmless.
    """
    batch = batch or BatchResult()
    batch.retries += sum(message.receives > 1 for message in messages)
    batch.attempts |= {message.id: message.receives for message in messages}
    by_collection: dict[Collection, _Deliveries] = defaultdict(lambda: defaultdict(list))
    for message in messages:
        try:
            for collection, event in _own_events(environment, batch, message):
                by_collection[collection][event.key].append(_Delivery(message, event))
        except MalformedEvent as error:
            batch.fail([message.id], error)

    def commit_events(collection: Collection) -> CommitResult | Exception:
        by_key = by_collection[collection]
        latest = {key: max(deliveries, key=lambda delivery: delivery.event.time) for key, deliveries in by_key.items()}
        causes = {key: delivery.event.name for key, delivery in latest.items()}
        repeated = any(delivery.message.receives > 1 for deliveries in by_key.values() for delivery in deliveries)
        try:
            return commit(environment, collection, causes, repeated=repeated)
        except Exception as error:  # noqa: BLE001  # one collection must not hold up the others; reported as a crash
            return error

    for collection, result in zip(by_collection, environment.parallel_map(commit_events, by_collection), strict=True):
        _record(batch, by_collection[collection], result)
    return batch


def _own_events(
    environment: Environment, batch: BatchResult, message: Message
) -> Iterator[tuple[Collection, ObjectEvent]]:
    """The message's events with their collections; notes the others in ``batch`` as dropped."""
    events = decode_body(message.body)
    batch.received += len(events)
    if not events:
        batch.dropped.append((message.id, "it names no object, like S3's test message"))
    for event in events:
        collection = environment.collections.collection_of(event.bucket, event.key)
        if collection:
            yield collection, event
        else:
            batch.dropped.append((message.id, _drop_reason(environment, event)))


def _drop_reason(environment: Environment, event: ObjectEvent) -> str:
    buckets = environment.collections.buckets
    if event.bucket not in buckets:
        return f"its bucket is {event.bucket}, not {' or '.join(buckets)}"
    place = f"s3://{event.bucket}/{event.key}"
    try:
        environment.collections.check_key(event.bucket, event.key)
    except IdTooLong as error:
        return f"{place}: {error}"
    return f"{place} belongs to no collection"


def _record(batch: BatchResult, deliveries: _Deliveries, result: CommitResult | Exception) -> None:
    """Records the result of one collection's commits for its messages."""
    if isinstance(result, Exception):
        batch.fail({delivery.message.id for group in deliveries.values() for delivery in group}, result)
        return
    batch.commit_results.append(result)
    late = {key: f"{result.collection.place(key)}: time ran out before it was committed" for key in result.timed_out}
    reasons = late | result.unreadable
    for key, reason in reasons.items():
        # The first commit of a collection also observes keys that no message named.
        batch.failed |= dict.fromkeys((delivery.message.id for delivery in deliveries.get(key, ())), reason)
    for key, committed_at in result.committed_at.items():
        for delivery in deliveries[key]:
            with suppress(ValueError, TypeError):  # the event has no valid time
                age = datetime.fromisoformat(committed_at) - datetime.fromisoformat(delivery.event.time)
                batch.freshness_ms[result.collection.bucket].append(age.total_seconds() * 1000)
