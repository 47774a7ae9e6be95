"""A model of an SQS event source of Lambda: pollers, batches and execution environments.

The local platform delivers at most ten messages at a time and has no batching window.

Pollers: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html. The wait of up to 20 seconds with a
batching window: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html. Environments:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks import template
from benchmarks.sqs_queue import LONG_POLL_SECONDS, Event, Received, SqsQueue
from benchmarks.virtual_time import VirtualTime, Worker

IDLE_POLLERS = 5
"""An event source starts with five long polls and keeps them while it is idle. It may reduce them to two, but not with
MaximumConcurrency: then the model bills five, however few functions may run."""

INVOKE_SECONDS = 0.02
"""From the poller to a warm function."""

COLD_START_SECONDS = 1.0
"""To create an environment and import the function. Billed since August 2025."""

ENVIRONMENT_SECONDS = 2 * 3600.0
"""AWS ends an environment "every few hours", however busy it is."""

_POLLERS_PER_SECOND = 5
"""Up to 300 per minute are added while messages wait."""

_VISIBILITY_TIMEOUTS = 6
"""The visibility timeout of the queue, in timeouts of the function."""


@dataclass(frozen=True)
class Source:
    """How Lambda receives from the queue; times in seconds."""

    window: float
    batch: int
    concurrency: int
    timeout: float

    @classmethod
    def of_template(cls) -> "Source":
        """The configuration of the template, with its defaults."""
        configured = template.change_source()
        return cls(
            window=template.default("BatchingWindowSeconds"),
            batch=configured["BatchSize"],
            concurrency=configured["ScalingConfig"]["MaximumConcurrency"],
            timeout=template.default("ReconcileTimeout"),
        )

    @property
    def visibility(self) -> float:
        """The visibility timeout of the queue, as AWS recommends."""
        return _VISIBILITY_TIMEOUTS * self.timeout + self.window


WITH_WINDOW = Source(window=1, batch=1000, concurrency=3, timeout=60)
"""Group commit by the event source instead of by the function: cheapest, and slow with little traffic."""


class BatchOutcome(NamedTuple):
    """The ids of the messages that failed, and the seconds from each change until the manifest showed it.

    The delays include those of messages that the function received itself.
    """

    failed: Collection[str]
    delays: Sequence[float]


class Invocation(NamedTuple):
    """The context of one invocation."""

    seconds_left: Callable[[], float]
    queue: SqsQueue


Invoke = Callable[[Sequence[Received], Invocation], BatchOutcome]
"""Handles a batch of the event source."""


@dataclass
class Usage:
    """What is billed."""

    sqs_requests: int = 0
    handled: list[int] = field(default_factory=list)
    """The number of changes that each invocation committed."""
    busy_seconds: float = 0.0
    """Total duration of all invocations, including cold starts."""

    @property
    def invocations(self) -> int:
        """The number of invocations."""
        return len(self.handled)


@dataclass
class _Environment:
    worker: Worker
    ends_at: float


class LambdaQueue:
    """The change queue and its function. After ``close`` it ends when it is empty."""

    def __init__(self, time: VirtualTime, source: Source, invoke: Invoke) -> None:
        self.delays: list[float] = []
        """For each change, the seconds from its event until the manifest shows it."""
        self.done_at = 0.0
        self.queue = SqsQueue(time, source.visibility)
        self._usage = Usage()
        self._time = time
        self._source = source
        self._invoke = invoke
        self._ended_at = 0.0
        self._workers: list[Worker] = []
        # The most recently used environment is taken first. At the start there are some, of any age.
        self._idle = [self._environment(random.random()) for _ in range(min(source.concurrency, IDLE_POLLERS))]
        self._pollers = 0
        self._add_pollers(IDLE_POLLERS)
        if source.concurrency > IDLE_POLLERS:
            time.spawn(self._scale, Worker())

    @property
    def workers(self) -> Sequence[Worker]:
        """One for each environment, including ended ones."""
        return self._workers

    @property
    def usage(self) -> Usage:
        """The usage until everything was done; pollers that wait for another poller are billed too."""
        waiting = max(0, IDLE_POLLERS - self._source.concurrency) * self._ended_at / LONG_POLL_SECONDS
        self._usage.sqs_requests = self.queue.requests + int(waiting)
        return self._usage

    def send(self, event: Event) -> None:
        """Sends the event to the queue."""
        self.queue.send(event)

    def close(self) -> None:
        """Ends the sending."""
        self.queue.close()

    def _add_pollers(self, limit: int) -> None:
        # A poller that may not invoke does not receive, so only as many count as functions may run:
        # https://aws.amazon.com/blogs/compute/introducing-maximum-concurrency-of-aws-lambda-functions-when-using-amazon-sqs-as-an-event-source/
        for _ in range(min(limit, self._source.concurrency - self._pollers)):
            self._pollers += 1
            self._time.spawn(self._poll, Worker())

    def _scale(self) -> None:
        while not self.queue.is_done:
            self._time.sleep(1)
            if self.queue.visible:
                self._add_pollers(_POLLERS_PER_SECOND)

    def _poll(self) -> None:
        while not self.queue.is_done:
            if batch := self._gather():
                self._handle(batch)
        self._ended_at = max(self._ended_at, self.done_at)

    def _gather(self) -> list[Received]:
        """One batch; empty if no message arrived.

        The window is checked after each request, and a request waits up to 20 seconds for a message: with little
        traffic a batch takes that much longer than the window.
        """
        batch = self.queue.receive(self._source.batch, LONG_POLL_SECONDS)
        until = self._time.now + self._source.window
        while batch and len(batch) < self._source.batch and self._time.now < until:
            batch += self.queue.receive(self._source.batch - len(batch), LONG_POLL_SECONDS)
        return batch

    def _handle(self, batch: Sequence[Received]) -> None:
        while self._idle and self._idle[-1].ends_at < self._time.now:
            self._idle.pop()
        environment = self._idle.pop() if self._idle else None
        self._time.sleep(INVOKE_SECONDS)
        start = self._time.now
        if not environment:
            self._time.sleep(COLD_START_SECONDS)
            environment = self._environment(1)
        outcome = self._run(environment.worker, batch)
        self._usage.busy_seconds += self._time.now - start
        self._usage.handled.append(len(outcome.delays))
        self.done_at = self._time.now
        self.delays += outcome.delays
        self._idle.append(environment)
        failed = set(outcome.failed)
        self.queue.delete([message.id for message in batch if message.id not in failed])

    def _run(self, worker: Worker, batch: Sequence[Received]) -> BatchOutcome:
        until = self._time.now + self._source.timeout
        invocation = Invocation(lambda: until - self._time.now, self.queue)
        return self._time.on(worker, lambda: self._invoke(batch, invocation))

    def _environment(self, remaining_share: float) -> _Environment:
        worker = Worker()
        self._workers.append(worker)
        return _Environment(worker, self._time.now + remaining_share * ENVIRONMENT_SECONDS)
