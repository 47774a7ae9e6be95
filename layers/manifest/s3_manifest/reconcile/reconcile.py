"""One batch of messages, made into commits: every message succeeds or fails by itself."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.collections import Collection, IdTooLong
from s3_manifest.manifest.jobs import JobsNotQueued
from s3_manifest.manifest.model import Timestamp, UnreadableManifest
from s3_manifest.reconcile.announcements import AnnouncementFailed
from s3_manifest.reconcile.commit import CommitResult, commit
from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.events import Change, MalformedEvent, decode_body
from s3_manifest.storage.store import StoreError

_FORESEEN = (StoreError, UnreadableManifest, MalformedEvent, AnnouncementFailed, JobsNotQueued)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Message(NamedTuple):
    """A message from the change queue; ``receives``: the deliveries of it, this one included.

    ``receipt`` is what SQS deletes it by; empty where the event source deletes it.
    """

    id: str
    body: str
    receives: int = 1
    receipt: str = ""


class Concern(NamedTuple):
    """A change that a message speaks of."""

    message: Message
    change: Change


Concerns = dict[str, list[Concern]]
"""By key."""


@dataclass
class BatchResult:
    """What came of a batch, for its answer, its logs and its metrics."""

    received: int = 0
    """Changes that the messages spoke of, those that were dropped among them."""
    retries: int = 0
    """Messages that were delivered before."""
    attempts: dict[str, int] = field(default_factory=dict)
    """The deliveries of each message, by its id."""
    drained: int = 0
    """Messages that the function received from the queue itself."""
    queue_errors: list[str] = field(default_factory=list)
    """Requests to the queue that failed; it delivers those messages again."""
    failed: dict[str, str] = field(default_factory=dict)
    """The ids of messages to be delivered again, and why."""
    crashes: list[Exception] = field(default_factory=list)
    """Errors that nobody foresaw; the messages they concern are among the failed."""
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """The ids of messages, and what of them is no concern of ours."""
    commit_results: list[CommitResult] = field(default_factory=list)
    freshness_ms: list[float] = field(default_factory=list)
    """For each change that was committed, the milliseconds since S3 says that it happened."""

    def fail(self, message_ids: Iterable[str], error: Exception) -> None:
        """Notes that these messages are to be delivered again, because of the error."""
        if not isinstance(error, _FORESEEN):
            self.crashes.append(error)
        self.failed |= dict.fromkeys(message_ids, str(error) or type(error).__name__)

    def join(self, other: "BatchResult") -> None:
        """Adds what came of other messages."""
        for one in fields(self):
            mine, its = getattr(self, one.name), getattr(other, one.name)
            setattr(self, one.name, mine | its if isinstance(mine, dict) else mine + its)


def reconcile(environment: Environment, messages: Sequence[Message]) -> BatchResult:
    """Brings every collection that the messages speak of up to date, several collections at once.

    A malformed message, an unreadable object, a broken head fail the messages that they concern
    and no others. A repeat changes nothing.
    """
    report = BatchResult(
        retries=sum(message.receives > 1 for message in messages),
        attempts={message.id: message.receives for message in messages},
    )
    concerned = _sort(environment, report, messages)

    def commit_changes(collection: Collection) -> CommitResult:
        concerns = concerned[collection]
        causes = {key: max(of_key, key=_time).change.event_name for key, of_key in concerns.items()}
        repeated = any(concern.message.receives > 1 for of_key in concerns.values() for concern in of_key)
        return commit(environment, collection, causes, repeated=repeated)

    for collection, result in zip(concerned, environment.each(_isolated(commit_changes), concerned), strict=True):
        _note(report, concerned[collection], result)
    return report


def _sort(environment: Environment, report: BatchResult, messages: Iterable[Message]) -> dict[Collection, Concerns]:
    """What each collection is concerned by; what is no collection's concern is noted in the report."""
    concerned: dict[Collection, Concerns] = defaultdict(lambda: defaultdict(list))
    for message in messages:
        try:
            for collection, change in _route(environment, report, message):
                concerned[collection][change.key].append(Concern(message, change))
        except MalformedEvent as error:
            report.fail([message.id], error)
    return concerned


def _note(report: BatchResult, concerns: Concerns, result: CommitResult | Exception) -> None:
    """What came of one collection's commits, for the messages that it concerns."""
    if isinstance(result, Exception):
        report.fail({concern.message.id for of_key in concerns.values() for concern in of_key}, result)
        return
    report.commit_results.append(result)
    reasons = dict.fromkeys(result.timed_out, "time ran out before it was committed") | result.unreadable
    for key, reason in reasons.items():
        # A first sight also looks at keys that no message named.
        report.failed |= dict.fromkeys((concern.message.id for concern in concerns.get(key, ())), reason)
    for key, at in result.committed_at.items():
        ages = (_milliseconds(concern.change.event_time, at) for concern in concerns[key])
        report.freshness_ms += [age for age in ages if age is not None]


def _route(environment: Environment, report: BatchResult, message: Message) -> Iterator[tuple[Collection, Change]]:
    """The changes to look at, each with its collection; the rest is noted as dropped."""
    changes = decode_body(message.body)
    report.received += len(changes)
    if not changes:
        report.dropped.append((message.id, "it names no object, as S3's test message does not"))
    for change in changes:
        if change.bucket != environment.location.bucket:
            report.dropped.append((message.id, f"its bucket is {change.bucket}, not {environment.location.bucket}"))
        elif collection := environment.collections.of(change.key):
            yield collection, change
        else:
            report.dropped.append((message.id, _why_dropped(environment, change)))


def _why_dropped(environment: Environment, change: Change) -> str:
    try:
        environment.collections.check_key(change.key)
    except IdTooLong as error:
        return f"key {change.key}: {error}"
    return f"key {change.key} belongs to no collection"


def _time(concern: Concern) -> str:
    return concern.change.event_time


def _milliseconds(since: str, until: Timestamp) -> float | None:
    """How long it took; None where the event does not say when it happened."""
    try:
        return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds() * 1000
    except (ValueError, TypeError):
        return None


def _isolated(work: Callable[[Item], Result]) -> Callable[[Item], Result | Exception]:
    """``work``, its errors returned: what breaks one collection must not hold up the others."""

    def isolated(item: Item) -> Result | Exception:
        try:
            return work(item)
        except Exception as error:  # noqa: BLE001  # reported as a crash, and its messages delivered again
            return error

    return isolated
