"""*Sweep*: a sweep of a collection without drift, compared with only listing it.

Their CPU is compared over the same bucket behind the same boto3 (``wire``). Their duration is modelled: S3's latencies
and, on one CPU, boto3's requests; the CPU time of the sweep itself is added at the measured ratio.
"""

from collections import Counter, deque
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from benchmarks.manifests import COLLECTION, SyntheticCollection
from benchmarks.sweep_queue import SweepQueue
from benchmarks.table import Aim, Section, table
from benchmarks.timed_bucket import TimedBucket
from benchmarks.traffic import TimedTraffic, Traffic
from benchmarks.virtual_time import VirtualTime, Worker
from benchmarks.wire import BUCKET, wired_client, wired_store
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.storage.store import Store, iter_listings

KEYS = 1_000_000
MAX_CPU, MAX_MORE_REQUESTS = 1.2, 0.01
_ROUNDS, _ROUND_KEYS = 3, 100_000


class Cost(NamedTuple):
    """The cost of reading a whole collection."""

    requests: Counter[str]
    cpu: float
    """Real seconds; comparable only within one run."""
    seconds: float
    """Modelled duration."""
    messages: int = 1

    @property
    def total(self) -> int:
        return self.requests.total()


_Over = Callable[[SyntheticCollection, Traffic, VirtualTime], Store]


def sweep(bucket: SyntheticCollection, over: _Over, cpu_times: float = 1.0) -> Cost:
    """One sweep, from its first message to its last."""
    time = VirtualTime()
    traffic = TimedTraffic(time, cpu_times)
    queue = SweepQueue(time, over(bucket, traffic, time))
    results = queue.drain(Sweep(kind=COLLECTION.kind, id=COLLECTION.id))
    last = results[-1]
    assert last.finished, last
    assert last.progress, last
    assert (last.progress.listed >= bucket.count, sum(swept.drift for swept in results)) == (True, 0)
    return Cost(traffic.requests, queue.cpu_seconds, time.now, len(results))


def listing(bucket: SyntheticCollection) -> Cost:
    """ListObjectsV2 until the end."""
    time = VirtualTime()
    traffic, worker = TimedTraffic(time), Worker()
    client = wired_client(bucket, traffic, time.uncounted)
    listed = 0

    def loop() -> None:
        nonlocal listed
        more: dict[str, str] = {}
        while True:
            answer = client.list_objects_v2(Bucket=BUCKET, Prefix=bucket.prefix, **more)
            listed += len(answer.get("Contents", ()))
            if not answer["IsTruncated"]:
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    time.spawn(loop, worker)
    time.run()
    assert listed == bucket.count
    return Cost(traffic.requests, worker.cpu_seconds, time.now)


def bare(bucket: SyntheticCollection) -> Cost:
    """The same listing, modelled."""
    time = VirtualTime()
    traffic, worker = TimedTraffic(time), Worker()
    store = TimedBucket(bucket, traffic)
    time.spawn(lambda: deque(iter_listings(store, bucket.prefix), 0), worker)
    time.run()
    return Cost(traffic.requests, worker.cpu_seconds, time.now)


def section(keys: int = KEYS) -> Section:
    """Both, over ``keys`` keys."""
    small = SyntheticCollection(min(keys, _ROUND_KEYS))
    rounds = [(sweep(small, _over_boto3), listing(small)) for _ in range(_ROUNDS)]
    cpu = median(ours.cpu / bare_cost.cpu for ours, bare_cost in rounds)
    bucket = SyntheticCollection(keys)
    ours, bare_cost = sweep(bucket, _modelled, cpu), bare(bucket)
    more = ours.total - bare_cost.total

    def row(name: str, figure: Callable[[Cost], object]) -> tuple[object, ...]:
        return name, figure(ours), figure(bare_cost)

    methods = ("LIST", "GET", "HEAD", "PUT")
    return Section(
        "Sweep",
        [
            Aim(
                "sooner done than listing alone",
                f"{ours.seconds:.0f} s against {bare_cost.seconds:.0f} s (modelled)",
                ours.seconds < bare_cost.seconds,
            ),
            Aim(f"at most {MAX_CPU} times its CPU", f"{cpu:.2f}", cpu <= MAX_CPU),
            Aim(
                f"at most {MAX_MORE_REQUESTS:.0%} more requests",
                f"{more / bare_cost.total:.1%}",
                more <= MAX_MORE_REQUESTS * bare_cost.total,
            ),
        ],
        f"A collection of {keys:,} files without drift, and a loop of ListObjectsV2 over it. The ratio "
        f"of their CPU is the median of {_ROUNDS} rounds over {small.count:,} files.\n\n"
        + table(
            ("", "sweep", "ListObjectsV2 loop"),
            [
                *(row(method, lambda cost, method=method: f"{cost.requests[method]:,}") for method in methods),
                row("messages", lambda cost: cost.messages),
                row("modelled", lambda cost: f"{cost.seconds:.0f} s"),
                ("CPU", f"{cpu:.2f}", 1),
            ],
        ),
    )


def _over_boto3(bucket: SyntheticCollection, traffic: Traffic, time: VirtualTime) -> Store:
    return wired_store(bucket, traffic, time.uncounted)


def _modelled(bucket: SyntheticCollection, traffic: Traffic, _time: VirtualTime) -> Store:
    return TimedBucket(bucket, traffic)
