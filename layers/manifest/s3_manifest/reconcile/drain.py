"""Group commit: a function that receives a full batch fetches the rest of the change queue itself.

Lambda's poller delivers at most ten messages without a batching window, and with one it may wait up to 20 seconds while
a queue has little traffic: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html. A full batch means that more
messages are waiting.

Drained messages must be deleted only after their commit. If the function dies before that, the queue delivers them
again.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.reconcile import BatchResult, Message, reconcile

FULL_BATCH = 10
"""The most messages that Lambda's poller delivers without a batching window."""

RECEIVE_MESSAGES, DELETE_MESSAGES = 10, 10
"""The most messages that one ReceiveMessage returns, and that one DeleteMessageBatch accepts:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html"""

MAX_MESSAGES = 1000
MAX_BYTES = 16 << 20
"""A drain stops at this size, to bound the memory and time of an invocation."""

MAX_CALLS = 16
"""ReceiveMessage calls in parallel."""

TIME_SHARE = 0.2
"""The share of the function's time after which a drain stops receiving."""

SUSPECT_RECEIVES = 3
"""A message delivered this often may have crashed earlier invocations.

Its batch is not drained further; if it was drained itself, it is processed after the others.
"""


class QueueFailed(Exception):
    """A request to the change queue failed; the queue delivers the messages again."""


class ChangeQueue(NamedTuple):
    """The queue that the event source polls.

    ``receive`` returns up to ``RECEIVE_MESSAGES`` messages without waiting; they stay invisible for the queue's
    visibility timeout. ``delete`` accepts up to ``DELETE_MESSAGES`` messages and may be repeated. Both must be
    thread-safe and raise ``QueueFailed``.
    """

    receive: Callable[[], Sequence[Message]]
    delete: Callable[[Sequence[Message]], None]


def reconcile_and_drain(environment: Environment, queue: ChangeQueue, messages: Sequence[Message]) -> BatchResult:
    """``reconcile`` for a batch from the event source and, if that is full, for the rest of the queue.

    The event source deletes the messages of its batch; this deletes the drained messages that did not fail, after the
    commits. The result covers all of them.
    """
    batch = BatchResult()
    drained = _drain(environment, queue, messages, batch)
    suspects = [message for message in drained if message.receives >= SUSPECT_RECEIVES]
    drained = [message for message in drained if message.receives < SUSPECT_RECEIVES]
    reconcile(environment, [*messages, *drained], batch)
    _delete_processed(environment, queue, batch, drained)
    if suspects:
        reconcile(environment, suspects, batch)
        _delete_processed(environment, queue, batch, suspects)
    return batch


def _delete_processed(
    environment: Environment, queue: ChangeQueue, batch: BatchResult, drained: Sequence[Message]
) -> None:
    """Deletes the drained messages that did not fail."""
    processed = [message for message in drained if message.id not in batch.failed]
    chunks = [processed[start : start + DELETE_MESSAGES] for start in range(0, len(processed), DELETE_MESSAGES)]

    def delete(chunk: Sequence[Message]) -> None:
        try:
            queue.delete(chunk)
        except QueueFailed as error:
            batch.queue_errors.append(str(error))

    environment.parallel_map(delete, chunks)


def _drain(
    environment: Environment, queue: ChangeQueue, messages: Sequence[Message], batch: BatchResult
) -> list[Message]:
    """More messages, if these are a full batch without suspects; ``batch`` gets their number and failed requests."""
    if len(messages) < FULL_BATCH or any(message.receives >= SUSPECT_RECEIVES for message in messages):
        return []
    drained: list[Message] = []
    calls, stop_at = 1, environment.seconds_left() * (1 - TIME_SHARE)

    def receive(_: int) -> Sequence[Message]:
        try:
            return queue.receive()
        except QueueFailed as error:  # the messages that parallel calls received must be processed
            batch.queue_errors.append(str(error))
            return ()

    while (missing := MAX_MESSAGES - len(drained)) > 0 and sum(len(message.body) for message in drained) < MAX_BYTES:
        # Double the calls each time: a short queue takes few calls, a long one few rounds.
        calls = min(calls * 2, MAX_CALLS, -(-missing // RECEIVE_MESSAGES))
        received = environment.parallel_map(receive, range(calls))
        drained += chain.from_iterable(received)
        is_empty = any(len(part) < RECEIVE_MESSAGES for part in received)
        if is_empty or environment.seconds_left() < stop_at:
            break
    batch.drained = len(drained)
    return drained
