"""A model of a standard SQS queue in virtual time: long and short polls, visibility timeouts, billed requests.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from benchmarks.virtual_time import Signal, VirtualTime, Worker

MESSAGES_PER_REQUEST = 10
LONG_POLL_SECONDS = 20.0
"""The maximum wait of a ReceiveMessage."""

DELIVERY_P50, DELIVERY_P99 = 0.016, 0.105
"""Seconds from sending a message until it can be received."""

REQUEST_SECONDS = 0.008
"""Duration of a ReceiveMessage or DeleteMessageBatch."""

MAX_RECEIVES = 5
"""Deliveries of a message before it moves to the dead-letter queue."""

_SIGMA = math.log(DELIVERY_P99 / DELIVERY_P50) / 2.326
_SERVERS, _SERVERS_SAMPLED = 4, 2
"""A short poll queries only some of the servers that store a queue's messages. Their number is not documented."""


class Event(NamedTuple):
    """An S3 notification and the time it was sent. ``etag`` is None for a removal."""

    sent_at: float
    key: str
    etag: str | None
    size: int = 0


class Received(NamedTuple):
    """A message as returned by one ReceiveMessage. ``receives`` counts its deliveries, including this one."""

    id: str
    event: Event
    receives: int


_Server = deque[tuple[int, Received]]
"""The messages that one server can return now, in order of arrival."""


class SqsQueue:
    """A queue, and the number of requests made to it."""

    def __init__(self, time: VirtualTime, visibility: float) -> None:
        self.requests = 0
        self.dead: list[Received] = []
        self.visibility = visibility
        self._time = time
        self._ids, self._order = count(), count()
        self._servers: list[_Server] = [deque() for _ in range(_SERVERS)]
        self._received: dict[str, tuple[float, Received]] = {}
        """The invisible messages by id, and until when they are invisible."""
        self._deadlines: list[tuple[float, str]] = []
        self._arrived = Signal()
        self._sooner = Signal()
        """Signals a message whose timeout ends before all others."""
        self._expiring = False
        self._under_way = 0
        self._closed = False

    @property
    def is_done(self) -> bool:
        """Whether every sent message was deleted and sending has ended."""
        return self._closed and not (self.visible or self._received or self._under_way)

    @property
    def visible(self) -> int:
        """The number of messages that can be received now."""
        return sum(map(len, self._servers))

    def send(self, event: Event) -> None:
        """Stores the event; it can be received some milliseconds later."""
        self.requests += 1
        self._under_way += 1
        seconds = random.lognormvariate(math.log(DELIVERY_P50), _SIGMA)

        def arrive() -> None:
            self._time.sleep(seconds)
            self._under_way -= 1
            self._show(Received(str(next(self._ids)), event, 0))

        self._time.spawn(arrive, Worker())

    def close(self) -> None:
        """Ends the sending. Long polls return, as they would under a steady load."""
        self._closed = True
        while self._arrived.waiting:
            self._time.wake_one(self._arrived)

    def receive(self, limit: int, wait: float = 0.0, visibility: float | None = None) -> list[Received]:
        """The messages that one request returns, at most ten.

        With ``wait`` it is a long poll, which queries every server and returns as soon as there is a message; a short
        poll may return fewer messages than there are.
        """
        self.requests += 1
        if wait:
            until = self._time.now + wait
            while not self.visible and self._time.now < until and not self._closed:
                self._time.wait(self._arrived, until - self._time.now)
            servers = self._servers
        else:
            servers = random.sample(self._servers, _SERVERS_SAMPLED)
        batch = self._take(servers, min(limit, MESSAGES_PER_REQUEST), visibility)
        if self.visible:
            self._time.wake_one(self._arrived)
        self._time.sleep(REQUEST_SECONDS)
        return batch

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes messages, ten with each request."""
        for first in range(0, len(ids), MESSAGES_PER_REQUEST):
            self.requests += 1
            self._time.sleep(REQUEST_SECONDS)
            for message_id in ids[first : first + MESSAGES_PER_REQUEST]:
                self._received.pop(message_id, None)

    def _take(
        self, servers: Sequence[deque[tuple[int, Received]]], limit: int, visibility: float | None
    ) -> list[Received]:
        until = self._time.now + (self.visibility if visibility is None else visibility)
        batch: list[Received] = []
        while len(batch) < limit and (holding := [server for server in servers if server]):
            # Standard queues keep the order of arrival on a best-effort basis.
            _, message = min(holding, key=lambda server: server[0][0]).popleft()
            message = message._replace(receives=message.receives + 1)
            batch.append(message)
            self._received[message.id] = (until, message)
            heapq.heappush(self._deadlines, (until, message.id))
        if batch and not self._expiring:
            self._expiring = True
            self._time.spawn(self._expire, Worker())
        elif batch and self._deadlines[0] == (until, batch[0].id):
            self._time.wake_one(self._sooner)
        return batch

    def _expire(self) -> None:
        """Makes messages visible again whose visibility timeout ends before they are deleted."""
        while self._deadlines:
            deadline, message_id = self._deadlines[0]
            seconds = deadline - self._time.now
            if self._is_due(deadline, message_id) and seconds > 0:
                self._time.wait(self._sooner, seconds)
                continue
            heapq.heappop(self._deadlines)
            if self._is_due(deadline, message_id):
                message = self._received.pop(message_id)[1]
                if message.receives < MAX_RECEIVES:
                    self._show(message)
                else:
                    self.dead.append(message)
        self._expiring = False

    def _is_due(self, deadline: float, message_id: str) -> bool:
        return self._received.get(message_id, (None,))[0] == deadline

    def _show(self, message: Received) -> None:
        random.choice(self._servers).append((next(self._order), message))
        self._time.wake_one(self._arrived)
