"""*Sweep*: comparing a collection without drift with S3, beside listing it and doing nothing more.

Their CPU is compared over the same bucket behind the same boto3 (``wire``). How long they take is
modelled: S3's latencies and, on one CPU, boto3's requests; the sweep's own CPU is added to that at
the ratio that was measured.
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
from s3_manifest.storage.store import Store, listings

KEYS = 1_000_000
MAX_CPU, MAX_MORE_REQUESTS = 1.2, 0.01
_ROUNDS, _ROUND_KEYS = 3, 100_000


class Took(NamedTuple):
    """What going through a whole collection took."""

    requests: Counter[str]
    cpu: float
    """Real seconds; only to be compared with another one of the same run."""
    seconds: float
    """Modelled."""
    messages: int = 1

    @property
    def total(self) -> int:
        return self.requests.total()


_Over = Callable[[SyntheticCollection, Traffic, VirtualTime], Store]


def sweep(bucket: SyntheticCollection, over: _Over, cpu_times: float = 1.0) -> Took:
    """One sweep, from its first message to its last."""
    time = VirtualTime()
    traffic = TimedTraffic(time, cpu_times)
    queue = SweepQueue(time, over(bucket, traffic, time))
    done = queue.drain(Sweep(kind=COLLECTION.kind, id=COLLECTION.id))
    last = done[-1]
    assert last.finished, last
    assert last.progress, last
    assert (last.progress.listed >= bucket.count, sum(swept.drift for swept in done)) == (True, 0)
    return Took(traffic.requests, queue.cpu_seconds, time.now, len(done))


def listing(bucket: SyntheticCollection) -> Took:
    """ListObjectsV2 until there is no more."""
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
    return Took(traffic.requests, worker.cpu_seconds, time.now)


def bare(bucket: SyntheticCollection) -> Took:
    """The same, modelled."""
    time = VirtualTime()
    traffic, worker = TimedTraffic(time), Worker()
    store = TimedBucket(bucket, traffic)
    time.spawn(lambda: deque(listings(store, bucket.prefix), 0), worker)
    time.run()
    return Took(traffic.requests, worker.cpu_seconds, time.now)


def section(keys: int = KEYS) -> Section:
    """Both, over so many keys."""
    small = SyntheticCollection(min(keys, _ROUND_KEYS))
    rounds = [(sweep(small, _over_boto3), listing(small)) for _ in range(_ROUNDS)]
    cpu = median(ours.cpu / theirs.cpu for ours, theirs in rounds)
    bucket = SyntheticCollection(keys)
    ours, theirs = sweep(bucket, _modelled, cpu), bare(bucket)
    more = ours.total - theirs.total

    def row(name: str, of: Callable[[Took], object]) -> tuple[object, ...]:
        return name, of(ours), of(theirs)

    methods = ("LIST", "GET", "HEAD", "PUT")
    return Section(
        "Sweep",
        [
            Aim(
                "sooner done than listing alone",
                f"{ours.seconds:.0f} s against {theirs.seconds:.0f} s (modelled)",
                ours.seconds < theirs.seconds,
            ),
            Aim(f"at most {MAX_CPU} times its CPU", f"{cpu:.2f}", cpu <= MAX_CPU),
            Aim(
                f"at most {MAX_MORE_REQUESTS:.0%} more requests",
                f"{more / theirs.total:.1%}",
                more <= MAX_MORE_REQUESTS * theirs.total,
            ),
        ],
        f"A collection of {keys:,} files that is as its manifest says, and a loop of ListObjectsV2 over it. The ratio "
        f"of their CPU is the median of {_ROUNDS} rounds over {small.count:,} files.\n\n"
        + table(
            ("", "sweep", "ListObjectsV2 loop"),
            [
                *(row(method, lambda took, method=method: f"{took.requests[method]:,}") for method in methods),
                row("messages", lambda took: took.messages),
                row("modelled", lambda took: f"{took.seconds:.0f} s"),
                ("CPU", f"{cpu:.2f}", 1),
            ],
        ),
    )


def _over_boto3(bucket: SyntheticCollection, traffic: Traffic, time: VirtualTime) -> Store:
    return wired_store(bucket, traffic, time.uncounted)


def _modelled(bucket: SyntheticCollection, traffic: Traffic, _time: VirtualTime) -> Store:
    return TimedBucket(bucket, traffic)
