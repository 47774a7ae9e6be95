"""Turns one batch of messages into commits; every message succeeds or fails by itself."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection, IdTooLong
from s3_manifest.manifest.jobs import JobsNotQueued
from s3_manifest.manifest.model import Timestamp, UnreadableManifest
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
    freshness_ms: list[float] = field(default_factory=list)
    """For each committed event, the milliseconds since its time."""

    def fail(self, message_ids: Iterable[str], error: Exception) -> None:
        """Marks these messages as failed."""
        if not isinstance(error, _EXPECTED):
            self.crashes.append(error)
        self.failed |= dict.fromkeys(message_ids, str(error) or type(error).__name__)

    def add(self, other: "BatchResult") -> None:
        """Adds the result of other messages."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            setattr(self, item.name, mine | theirs if isinstance(mine, dict) else mine + theirs)


def reconcile(environment: Environment, messages: Sequence[Message]) -> BatchResult:
    """Brings every collection that the messages name up to date, in parallel.

    A malformed message, an unreadable object or an unreadable head fails its own messages only. A repeat is harmless.
    """
    batch = BatchResult(
        retries=sum(message.receives > 1 for message in messages),
        attempts={message.id: message.receives for message in messages},
    )
    by_collection = _group(environment, batch, messages)

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


def _group(environment: Environment, batch: BatchResult, messages: Iterable[Message]) -> dict[Collection, _Deliveries]:
    """The events by collection and key; records dropped and malformed ones in ``batch``."""
    groups: dict[Collection, _Deliveries] = defaultdict(lambda: defaultdict(list))
    for message in messages:
        try:
            for collection, event in _own_events(environment, batch, message):
                groups[collection][event.key].append(_Delivery(message, event))
        except MalformedEvent as error:
            batch.fail([message.id], error)
    return groups


def _own_events(
    environment: Environment, batch: BatchResult, message: Message
) -> Iterator[tuple[Collection, ObjectEvent]]:
    events = decode_body(message.body)
    batch.received += len(events)
    if not events:
        batch.dropped.append((message.id, "it names no object, like S3's test message"))
    for event in events:
        if event.bucket != environment.location.bucket:
            batch.dropped.append((message.id, f"its bucket is {event.bucket}, not {environment.location.bucket}"))
        elif collection := environment.collections.collection_of(event.key):
            yield collection, event
        else:
            batch.dropped.append((message.id, _drop_reason(environment, event.key)))


def _drop_reason(environment: Environment, key: str) -> str:
    try:
        environment.collections.check_key(key)
    except IdTooLong as error:
        return f"key {key}: {error}"
    return f"key {key} belongs to no collection"


def _record(batch: BatchResult, deliveries: _Deliveries, result: CommitResult | Exception) -> None:
    """Records the result of one collection's commits for its messages."""
    if isinstance(result, Exception):
        batch.fail({delivery.message.id for group in deliveries.values() for delivery in group}, result)
        return
    batch.commit_results.append(result)
    reasons = dict.fromkeys(result.timed_out, "time ran out before it was committed") | result.unreadable
    for key, reason in reasons.items():
        # The first commit of a collection also observes keys that no message named.
        batch.failed |= dict.fromkeys((delivery.message.id for delivery in deliveries.get(key, ())), reason)
    for key, committed_at in result.committed_at.items():
        ages = (_milliseconds(delivery.event.time, committed_at) for delivery in deliveries[key])
        batch.freshness_ms += [age for age in ages if age is not None]


def _milliseconds(since: str, until: Timestamp) -> float | None:
    """The milliseconds between two times; None if the event has no valid time."""
    try:
        return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds() * 1000
    except (ValueError, TypeError):
        return None
