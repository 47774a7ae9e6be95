"""One batch of messages, made into commits: every message succeeds or fails by itself."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from s3_manifest.backfill import BackfillFailed, Progress, backfill
from s3_manifest.collections import Collection
from s3_manifest.commit import Outcome, commit
from s3_manifest.events import MalformedEvent, decode_body
from s3_manifest.model import UnreadableHead
from s3_manifest.store import StoreError
from s3_manifest.world import Backfill, World

Item = TypeVar("Item")
Result = TypeVar("Result")

MessagesByKey = dict[str, set[str]]


class Message(NamedTuple):
    """A message from the change queue; ``is_backfill`` marks a request of our own."""

    id: str
    body: str
    is_backfill: bool = False


@dataclass
class Report:
    """What came of a batch, for its answer and its logs."""

    failed: dict[str, str] = field(default_factory=dict)
    """The ids of messages to be delivered again, and why."""
    crashes: list[Exception] = field(default_factory=list)
    """Errors that nobody foresaw; the messages they concern are among the failed."""
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """The ids of messages, and what of them is no concern of ours."""
    outcomes: list[Outcome] = field(default_factory=list)
    backfills: list[Progress] = field(default_factory=list)

    def fail(self, message_ids: Iterable[str], error: Exception) -> None:
        """Notes that these messages are to be delivered again, because of the error."""
        if not isinstance(error, StoreError | UnreadableHead | BackfillFailed | MalformedEvent):
            self.crashes.append(error)
        self.failed |= dict.fromkeys(message_ids, str(error) or type(error).__name__)


def reconcile(world: World, messages: Sequence[Message], pause_with_seconds_left: float) -> Report:
    """Brings every collection that the messages speak of up to date, several collections at once.

    A malformed message, an unreadable object, a broken head fail the messages that they concern
    and no others. A repeat changes nothing. Backfills pause, asking for their continuation, when
    less than ``pause_with_seconds_left`` remain.
    """
    report = Report()
    concerned, requests = _sort(world, report, messages)

    def commit_events(collection: Collection) -> Outcome:
        return commit(world, collection, concerned[collection], "s3_event")

    for collection, result in zip(concerned, world.each(_isolated(commit_events), concerned), strict=True):
        _note(report, concerned[collection], result)

    # After the live changes: a backfill takes what time they leave.
    def fill(request: Backfill) -> Progress:
        return backfill(world, request, pause_with_seconds_left)

    for message_id, request in requests.items():
        progress = _isolated(fill)(request)
        if isinstance(progress, Exception):
            report.fail([message_id], progress)
        else:
            report.backfills.append(progress)
    return report


def _sort(
    world: World, report: Report, messages: Iterable[Message]
) -> tuple[dict[Collection, MessagesByKey], dict[str, Backfill]]:
    """What each collection is concerned by, and the requests; what is neither is noted in the report."""
    concerned: dict[Collection, MessagesByKey] = defaultdict(lambda: defaultdict(set))
    requests: dict[str, Backfill] = {}
    for message in messages:
        try:
            if message.is_backfill:
                requests[message.id] = _decode_backfill(message.body)
            else:
                for collection, key in _route(world, report, message):
                    concerned[collection][key].add(message.id)
        except MalformedEvent as error:
            report.fail([message.id], error)
    return concerned, requests


def _note(report: Report, messages: MessagesByKey, result: Outcome | Exception) -> None:
    """What came of one collection's commits, for the messages that it concerns."""
    if isinstance(result, Exception):
        report.fail(set().union(*messages.values()), result)
        return
    report.outcomes.append(result)
    reasons = dict.fromkeys(result.not_done, "time ran out before it was committed") | result.unreadable
    for key, reason in reasons.items():
        # A first sight also looks at keys that no message named.
        report.failed |= dict.fromkeys(messages.get(key, ()), reason)


def _route(world: World, report: Report, message: Message) -> Iterator[tuple[Collection, str]]:
    """The keys to look at, each with its collection; the rest is noted as dropped."""
    changes = decode_body(message.body)
    if not changes:
        report.dropped.append((message.id, "it names no object, as S3's test message does not"))
    for change in changes:
        if change.bucket != world.location.bucket:
            report.dropped.append((message.id, f"its bucket is {change.bucket}, not {world.location.bucket}"))
        elif collection := world.collections.of(change.key):
            yield collection, change.key
        else:
            report.dropped.append((message.id, f"key {change.key} belongs to no collection"))


def _decode_backfill(body: str) -> Backfill:
    try:
        return Backfill.model_validate_json(body)
    except ValidationError as error:
        raise MalformedEvent(f"not a backfill request: {error.errors()[0]['msg']}") from error


def _isolated(work: Callable[[Item], Result]) -> Callable[[Item], Result | Exception]:
    """``work``, its errors returned: what breaks one collection must not hold up the others."""

    def isolated(item: Item) -> Result | Exception:
        try:
            return work(item)
        except Exception as error:  # noqa: BLE001  # reported as a crash, and its messages delivered again
            return error

    return isolated
