"""*Growth*: the cost of one batch of changes in a collection of a thousand files, and of a million.

The real reconciler over S3 behind boto3 (``wire``), starting with a manifest of that size (``manifests``). Memory is
the peak of Python's allocations during the batch, including boto3's, in a separate run; the bucket is not included.
"""

import random
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import handlers
from benchmarks.manifests import SyntheticCollection
from benchmarks.sqs_queue import Event
from benchmarks.table import Aim, Section, table
from benchmarks.traffic import TimedTraffic
from benchmarks.virtual_time import VirtualTime, Worker
from benchmarks.wire import wired_store
from s3_manifest.reconcile.reconcile import BatchResult, reconcile

SIZES = (1_000, 10_000, 100_000, 1_000_000)
MAX_RATIO = 2.0
MAX_PEAK_MB = 512


@dataclass(frozen=True)
class Shape:
    """A kind of batch, and a function that applies its changes to a bucket and returns the events."""

    name: str
    changes: Callable[[SyntheticCollection], list[Event]]
    repeats: int = 5


@dataclass(frozen=True)
class Cost:
    """The cost of one batch, per event where that makes sense."""

    events: int
    requests: float
    bytes: float
    cpu: float
    """Real seconds; comparable only within one run."""
    seconds: float
    """Modelled time of the whole batch."""


def _added(count: int) -> Callable[[SyntheticCollection], list[Event]]:
    def add(bucket: SyntheticCollection) -> list[Event]:
        middle = bucket.key(bucket.count // 2)
        return [_upload(bucket, f"{middle.removesuffix('.png')}-{number:04d}.png") for number in range(count)]

    return add


def _overwritten(count: int) -> Callable[[SyntheticCollection], list[Event]]:
    def overwrite(bucket: SyntheticCollection) -> list[Event]:
        return [_upload(bucket, bucket.key(number)) for number in random.sample(range(bucket.count), count)]

    return overwrite


SHAPES = (
    Shape("1 new file", _added(1)),
    Shape("100 new files, names in a row", _added(100)),
    Shape("100 overwritten, scattered", _overwritten(100), repeats=3),
    Shape("1,000 overwritten, scattered", _overwritten(1000), repeats=1),
)


def cost(count: int, shape: Shape) -> Cost:
    """The cost of the batch in a collection of ``count`` files."""
    batch = _Batch(count, shape)
    batch.run()
    events, traffic = len(batch.events), batch.traffic
    return Cost(
        events=events,
        requests=traffic.requests.total() / events,
        bytes=(traffic.sent + traffic.received) / events,
        cpu=batch.worker.cpu_seconds / events,
        seconds=batch.time.now,
    )


def peak_mb(count: int, shape: Shape) -> float:
    """The peak memory of handling the batch."""
    batch = _Batch(count, shape)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        batch.run()
        return (tracemalloc.get_traced_memory()[1] - before) / 1e6
    finally:
        tracemalloc.stop()


def section(sizes: Sequence[int] = SIZES) -> Section:
    """Every shape at every size, alternating the sizes."""
    rows: list[tuple[str, ...]] = []
    aims: list[Aim] = []
    peaks: list[float] = []
    for shape in SHAPES:
        rounds = [{count: cost(count, shape) for count in sizes} for _ in range(shape.repeats)]
        first, least, most = rounds[0], min(sizes), max(sizes)
        cpu = {count: median(costs[count].cpu / costs[least].cpu for costs in rounds) for count in sizes}
        for count in sizes:
            peaks.append(peak_mb(count, shape))
            measured = first[count]
            rows.append(
                (
                    shape.name if count == sizes[0] else "",
                    f"{count:,}",
                    f"{measured.requests:.2f}",
                    f"{measured.requests / first[least].requests:.2f}",
                    f"{measured.bytes:,.0f}",
                    f"{measured.bytes / first[least].bytes:.2f}",
                    f"{cpu[count]:.2f}",
                    f"{peaks[-1]:.0f} MB",
                    f"{measured.seconds:.1f} s",
                )
            )
        ratios = (first[most].requests / first[least].requests, first[most].bytes / first[least].bytes, cpu[most])
        text = "requests {:.2f}, bytes {:.2f}, CPU {:.2f}".format(*ratios)
        name = f"{shape.name}: at {most:,} files at most {MAX_RATIO:g} times what it costs at {least:,}"
        aims.append(Aim(name, text, max(ratios) <= MAX_RATIO))
    aims.append(Aim(f"peak memory below {MAX_PEAK_MB} MB", f"{max(peaks):.0f} MB at most", max(peaks) < MAX_PEAK_MB))
    counted = ("S3 requests per event", "times", "bytes per event", "times", "CPU, times")
    head = ("", "files", *counted, "peak memory", "modelled")
    return Section(
        "Growth",
        aims,
        "One batch of changes of one collection, per event, and as a multiple of the cost at the smallest size. "
        "Scattered changes have no such bound: in a small collection they share one object or two pages, in a large "
        "one each is on a page of its own, which is read and written. The cost of a page is bounded.\n\n"
        + table(head, rows),
    )


class _Batch:
    """A changed collection of ``count`` files, and the messages that report the changes."""

    def __init__(self, count: int, shape: Shape) -> None:
        random.seed(16)
        self.time = VirtualTime()
        self.traffic = TimedTraffic(self.time)
        self.worker = Worker()
        bucket = SyntheticCollection(count)
        self.events = shape.changes(bucket)
        self._messages = handlers.messages(self.events)
        store = wired_store(bucket, self.traffic, self.time.uncounted)
        self._environment = handlers.environment(store, self.time, handlers.Outbox())
        # boto3 does additional work at the first request of a client.
        self.time.spawn(lambda: self._warm_up(store))
        self.time.run()
        self.traffic.clear()
        self.time.now = 0.0

    def run(self) -> None:
        reports: list[BatchResult] = []
        self.time.spawn(lambda: reports.append(reconcile(self._environment, self._messages)), self.worker)
        self.time.run()
        (report,) = reports
        assert not report.failed, report.failed
        assert sum(o.added + o.modified for o in report.commit_results) == len(self.events)

    @staticmethod
    def _warm_up(store: object) -> None:
        for method in ("head", "get"):
            getattr(store, method)("nothing")


def _upload(bucket: SyntheticCollection, key: str) -> Event:
    present = bucket.upload(key, random.randbytes(8), checksum={"crc64nvme": "kCr8f5rOVps=", "type": "FULL_OBJECT"})
    return Event(0.0, key, present.etag, present.size)
