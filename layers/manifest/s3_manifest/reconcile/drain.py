"""Group commit: a function that receives a full batch fetches the rest of the change queue itself.

Lambda's poller hands out at most ten messages without a batching window, and with one it may wait up
to 20 seconds while a queue has little traffic, so the window is not an option:
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html. A full batch means that more is waiting.

The rule: what was drained is deleted only after its commit. A function that dies in between leaves
the messages to the queue, which delivers them again.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.reconcile import BatchResult, Message, reconcile

FULL_BATCH = 10
"""Lambda's poller hands out at most so many messages without a batching window."""

RECEIVE_MESSAGES = 10
"""The most that one ReceiveMessage returns:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html"""

MAX_MESSAGES = 1000
MAX_BYTES = 16 << 20
"""A drain stops at so many messages, or bytes of them: an invocation's memory and time are bounded."""

MAX_CALLS = 16
"""ReceiveMessage calls in parallel."""

TIME_SHARE = 0.2
"""The share of an invocation's time after which a drain stops receiving."""

SUSPECT_RECEIVES = 3
"""A message delivered this often may be what ended earlier invocations.

Its batch is not made larger, and where it was drained it is worked on when the others are done with.
"""


class QueueFailed(Exception):
    """A request to the change queue failed. Nothing is lost: the queue delivers the messages again."""


class ChangeQueue(NamedTuple):
    """What a drain asks of the queue that the event source polls.

    ``receive`` returns up to ``RECEIVE_MESSAGES`` messages, without waiting for any; they stay
    invisible for the queue's visibility timeout. ``delete`` takes up to ``DELETE_MESSAGES`` of them;
    a repeat does nothing. Both are called from several threads and raise ``QueueFailed``.
    """

    receive: Callable[[], Sequence[Message]]
    delete: Callable[[Sequence[Message]], None]


DELETE_MESSAGES = 10
"""The most that one DeleteMessageBatch takes."""


def reconcile_and_drain(environment: Environment, queue: ChangeQueue, messages: Sequence[Message]) -> BatchResult:
    """``reconcile`` for a batch from the event source and, if that is full, for what else the queue holds.

    The report is about all of them. The messages of the batch are the event source's to delete; the
    drained ones that did not fail are deleted here, after the commits.
    """
    errors: list[str] = []
    drained = _drain(environment, queue, messages, errors)
    suspects = [message for message in drained if message.receives >= SUSPECT_RECEIVES]
    drained = [message for message in drained if message.receives < SUSPECT_RECEIVES]
    report = reconcile(environment, [*messages, *drained])
    _delete_done(environment, queue, report, drained)
    if suspects:
        of_suspects = reconcile(environment, suspects)
        _delete_done(environment, queue, of_suspects, suspects)
        report.join(of_suspects)
    report.queue_errors += errors
    return report


def _delete_done(environment: Environment, queue: ChangeQueue, report: BatchResult, drained: Sequence[Message]) -> None:
    """Deletes those of the drained messages that did not fail, and notes them in the report of their commits."""
    report.drained = len(drained)
    done = [message for message in drained if message.id not in report.failed]
    chunks = [done[start : start + DELETE_MESSAGES] for start in range(0, len(done), DELETE_MESSAGES)]
    report.queue_errors += filter(None, environment.each(lambda chunk: _error_of(lambda: queue.delete(chunk)), chunks))


def _drain(environment: Environment, queue: ChangeQueue, batch: Sequence[Message], errors: list[str]) -> list[Message]:
    if len(batch) < FULL_BATCH or any(message.receives >= SUSPECT_RECEIVES for message in batch):
        return []
    drained: list[Message] = []
    calls, stop_at = 1, environment.seconds_left() * (1 - TIME_SHARE)

    def receive(_: int) -> Sequence[Message]:
        # Not raised: what the calls beside it received has to be worked on.
        received: Sequence[Message] = ()

        def call() -> None:
            nonlocal received
            received = queue.receive()

        if error := _error_of(call):
            errors.append(error)
        return received

    while (missing := MAX_MESSAGES - len(drained)) > 0 and _bytes(drained) < MAX_BYTES:
        # Twice as many each time: a short queue costs few calls, a long one few rounds.
        calls = min(calls * 2, MAX_CALLS, -(-missing // RECEIVE_MESSAGES))
        answers = environment.each(receive, range(calls))
        drained += (message for answer in answers for message in answer)
        is_empty = any(len(answer) < RECEIVE_MESSAGES for answer in answers)
        if is_empty or environment.seconds_left() < stop_at:
            break
    return drained


def _bytes(messages: Iterable[Message]) -> int:
    return sum(len(message.body) for message in messages)


def _error_of(request: Callable[[], None]) -> str | None:
    try:
        request()
    except QueueFailed as error:
        return str(error)
    return None
