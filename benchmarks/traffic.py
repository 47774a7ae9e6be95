"""Requests to S3: how many of each kind, the bytes of their bodies, and the time they take in a model.

Whatever plays S3 (``timed_bucket``, ``wire``) tells a ``Traffic`` of each request: before it has its
effect, and when its answer is there.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from benchmarks.virtual_time import VirtualTime

LATENCY: Mapping[str, float] = {"GET": 0.03, "HEAD": 0.025, "PUT": 0.06, "LIST": 0.05, "DELETE": 0.06}
"""Seconds to S3's first byte; a compare-and-swap takes about 60 ms."""

SWAPS_PER_SECOND = 15
"""Conditional writes of one key that S3 takes in a second; what is more waits its turn."""

BYTES_PER_SECOND = 90e6
"""One connection: https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html"""

CPU_PER_REQUEST = 0.0013
"""boto3's own, in seconds on the one CPU that 1,769 MB of memory come with."""

CPU_PER_BYTE = 25e-9
"""Of a manifest's JSON, read or written."""

CPU_PER_LISTED_BYTE = 170e-9
"""Of a listing's XML, which boto3 reads in Python."""


class Request(NamedTuple):
    """What reaches S3; ``sent`` are the bytes of its body. A listing's key is its prefix."""

    method: str
    key: str
    sent: int = 0
    conditional: bool = False


class Traffic:
    """Counts."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.sent = 0
        self.received = 0

    def begin(self, request: Request) -> None:
        """The request is on its way; when this returns, it has its effect."""
        self.requests[request.method] += 1
        self.sent += request.sent

    def end(self, received: int, *, is_listing: bool = False) -> None:
        """Its answer, of so many bytes, has arrived."""
        del is_listing
        self.received += received

    def clear(self) -> None:
        """Counts from zero again."""
        self.requests.clear()
        self.sent = self.received = 0


class TimedTraffic(Traffic):
    """Counts, and lets the calling task's time pass, on the network and on its worker's CPU.

    ``cpu_times``: how many times the CPU of the requests alone is what the code around them takes too.
    """

    def __init__(self, time: VirtualTime, cpu_times: float = 1.0) -> None:
        super().__init__()
        self._time = time
        self._cpu_times = cpu_times
        self._next_swap: dict[str, float] = {}

    def begin(self, request: Request) -> None:
        super().begin(request)
        self._time.compute((CPU_PER_REQUEST + request.sent * CPU_PER_BYTE) * self._cpu_times)
        if request.method == "PUT" and request.conditional:
            self._wait_for_swap(request.key)
        # Three in four get their answer in about that time, the rest wait longer.
        latency = LATENCY[request.method] * random.choice((0.8, 1, 1, 1.6))
        self._time.sleep(latency + request.sent / BYTES_PER_SECOND)

    def end(self, received: int, *, is_listing: bool = False) -> None:
        super().end(received)
        if received:
            self._time.sleep(received / BYTES_PER_SECOND)
            per_byte = CPU_PER_LISTED_BYTE if is_listing else CPU_PER_BYTE
            self._time.compute(received * per_byte * self._cpu_times)

    def _wait_for_swap(self, key: str) -> None:
        at = max(self._time.now, self._next_swap.get(key, 0.0))
        self._next_swap[key] = at + 1 / SWAPS_PER_SECOND
        self._time.sleep(at - self._time.now)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
