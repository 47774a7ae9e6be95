"""A model of SQS and of Lambda's pollers over it, in virtual time.

The local platform hands out at most ten messages at a time and knows no batching window, hence this.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""

import math
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks import template
from benchmarks.virtual_time import VirtualTime, Worker

DELIVERY_P50, DELIVERY_P99 = 0.016, 0.105
"""Seconds from a message's arrival in SQS until a poller has it."""

_SIGMA = math.log(DELIVERY_P99 / DELIVERY_P50) / 2.326
_POLL_SECONDS = 0.02
_MESSAGES_PER_REQUEST = 10
_VISIBILITY_TIMEOUTS = 6
"""A message whose function failed comes again after so many of its time-outs."""


class Event(NamedTuple):
    """A notification: what S3 says of a key, and when it was sent. ``etag`` is None for a removal."""

    sent_at: float
    key: str
    etag: str | None
    size: int = 0


@dataclass(frozen=True)
class Source:
    """How Lambda takes from the queue; seconds."""

    window: float
    batch: int
    concurrency: int
    timeout: float

    @classmethod
    def of_template(cls) -> "Source":
        """As the template configures it by default."""
        configured = template.change_source()
        return cls(
            window=template.default("BatchingWindowSeconds"),
            batch=configured["BatchSize"],
            concurrency=configured["ScalingConfig"]["MaximumConcurrency"],
            timeout=template.default("ReconcileTimeout"),
        )


Invoke = Callable[[Sequence[Event], Callable[[], float]], Collection[int]]
"""Handles a batch, given what tells the seconds that are left; the indices of what failed."""


@dataclass
class Usage:
    """What was used, to be paid for."""

    sqs_requests: int = 0
    batches: list[int] = field(default_factory=list)
    busy_seconds: float = 0.0
    """Of the function, all its invocations together."""
    idle_seconds: float = 0.0
    """Of pollers that wait for messages."""


class LambdaQueue:
    """The change queue, and the function that is fed from it. ``close`` lets it end when it is empty."""

    def __init__(self, time: VirtualTime, source: Source, invoke: Invoke) -> None:
        self.usage = Usage()
        self.delays: list[float] = []
        """Of each event, the seconds from its sending until the batch that it was in was done."""
        self.done_at = 0.0
        self.workers = [Worker() for _ in range(source.concurrency)]
        self._time = time
        self._source = source
        self._invoke = invoke
        self._waiting: deque[Event] = deque()
        self._under_way = 0
        self._closed = False
        for worker in self.workers:
            time.spawn(self._poll, worker)

    def send(self, event: Event) -> None:
        """Puts the event into the queue; a poller can have it some milliseconds later."""
        self.usage.sqs_requests += 1
        self._deliver_after(random.lognormvariate(math.log(DELIVERY_P50), _SIGMA), event)

    def close(self) -> None:
        """Nothing more is sent."""
        self._closed = True

    def _deliver_after(self, seconds: float, event: Event) -> None:
        self._under_way += 1

        def deliver() -> None:
            self._time.sleep(seconds)
            self._waiting.append(event)
            self._under_way -= 1

        self._time.spawn(deliver, Worker())

    def _poll(self) -> None:
        self._time.sleep(random.random() * _POLL_SECONDS)
        while not self._closed or self._waiting or self._under_way:
            if self._waiting:
                self._handle(self._gather())
            else:
                self._time.sleep(_POLL_SECONDS)
                self.usage.idle_seconds += _POLL_SECONDS

    def _gather(self) -> list[Event]:
        batch: list[Event] = []
        until = self._time.now + self._source.window
        while True:
            room = min(_MESSAGES_PER_REQUEST, len(self._waiting), self._source.batch - len(batch))
            batch += [self._waiting.popleft() for _ in range(room)]
            self.usage.sqs_requests += bool(room)
            if len(batch) == self._source.batch or self._time.now >= until:
                return batch
            self._time.sleep(0.002 if self._waiting else _POLL_SECONDS)

    def _handle(self, batch: Sequence[Event]) -> None:
        begun, source = self._time.now, self._source
        failed = set(self._invoke(batch, lambda: begun + source.timeout - self._time.now))
        self.usage.batches.append(len(batch))
        self.usage.busy_seconds += self._time.now - begun
        self.usage.sqs_requests += math.ceil((len(batch) - len(failed)) / _MESSAGES_PER_REQUEST)
        self.done_at = self._time.now
        self.delays += [self._time.now - event.sent_at for n, event in enumerate(batch) if n not in failed]
        for index in failed:
            self._deliver_after(_VISIBILITY_TIMEOUTS * source.timeout, batch[index])
