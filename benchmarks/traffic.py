"""Requests to S3: their number by kind, the bytes of their bodies, and their duration in a model.

The simulated servers (``timed_bucket``, ``wire``) report each request to a ``Traffic``: before it takes effect, and
when its response arrives.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from benchmarks.virtual_time import VirtualTime

LATENCY: Mapping[str, float] = {"GET": 0.03, "HEAD": 0.025, "PUT": 0.06, "LIST": 0.05, "DELETE": 0.06}
"""Seconds to S3's first byte; a compare-and-swap takes about 60 ms."""

SWAPS_PER_SECOND = 15
"""Conditional writes of one key that S3 accepts per second; further ones wait."""

BYTES_PER_SECOND = 90e6
"""Of one connection: https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html"""

CPU_PER_REQUEST = 0.0013
"""CPU seconds of boto3 on the one CPU that comes with 1,769 MB of memory."""

CPU_PER_BYTE = 25e-9
"""CPU seconds for a byte of a manifest's JSON, read or written."""

CPU_PER_LISTED_BYTE = 170e-9
"""CPU seconds for a byte of a listing's XML, which boto3 parses in Python."""


class Request(NamedTuple):
    """A request as it reaches S3; ``sent`` is the size of its body. The key of a listing is its prefix."""

    method: str
    key: str
    sent: int = 0
    conditional: bool = False


class Traffic:
    """Counts requests and bytes."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.sent = 0
        self.received = 0

    def begin(self, request: Request) -> None:
        """Counts a request; it takes effect when this returns."""
        self.requests[request.method] += 1
        self.sent += request.sent

    def end(self, received: int, *, is_listing: bool = False) -> None:
        """Counts the bytes of its response."""
        del is_listing
        self.received += received

    def clear(self) -> None:
        """Resets all counts."""
        self.requests.clear()
        self.sent = self.received = 0


class TimedTraffic(Traffic):
    """Counts, and suspends the calling task for the time on the network and on its worker's CPU.

    ``cpu_times`` multiplies the CPU time of the requests to include that of the code around them.
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
        # Three of four responses take about this long, the rest longer.
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
    """The value that this share of ``values`` does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
