"""``python -m benchmarks.million``: fills in a collection of a million files and keeps its manifest correct.

In memory: the package's own sweeps, commits and reads, in virtual time, over a model of S3. The objects are computed
from their numbers and writes go to a temporary file, so the memory of this process is that of the package and its
messages, without boto3. ``--local`` does the same with fewer objects on the whole local stack.
"""

import argparse
import random
import resource
import sys
import time as real_time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from pydantic_core import from_json

from benchmarks import handlers, million_local, template
from benchmarks.manifests import COLLECTION
from benchmarks.sqs_queue import Event
from benchmarks.sweep_queue import SweepQueue
from benchmarks.synthetic import SyntheticObjects
from benchmarks.timed_bucket import TimedBucket
from benchmarks.traffic import TimedTraffic
from benchmarks.virtual_time import VirtualTime
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.query import reads
from s3_manifest.query.reads import PageQuery
from s3_manifest.reconcile.reconcile import reconcile
from s3_manifest.storage import heads
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import iter_objects
from s3_manifest.sweep.result import SweepResult

BATCHES = (10, 30, 100, 260, 600)
"""The number of changes in each batch of the change queue, a thousand altogether."""
LOST = 20
_KILLED = 0.2
"""The share of invocations that die."""
_SWEEP = Sweep(kind=COLLECTION.kind, id=COLLECTION.id)
_DAY = 86_400.0


class Million:
    """A bucket of ``count`` objects, its traffic, and the sweep queue."""

    def __init__(self, count: int) -> None:
        random.seed(16)
        self.time = VirtualTime()
        self.traffic = TimedTraffic(self.time)
        self.truth = SyntheticObjects(COLLECTION.prefix, count, lambda: handlers.clock(self.time))
        self.store = TimedBucket(self.truth, self.traffic)
        self.queue = SweepQueue(self.time, self.store, _lifetime)

    def sweep(self) -> list[SweepResult]:
        """One sweep of the collection, from its first message to its last."""
        return self.queue.drain(_SWEEP)

    def change(self, number: int) -> Event:
        """Overwrites or deletes the object with that number, or adds one beside it."""
        key = self.truth.key(number)
        match random.choice(("put", "overwrite", "delete")):
            case "delete":
                self.truth.remove(key)
                return Event(self.time.now, key, None)
            case "put":
                key = f"{key}.new"
        present = self.truth.upload(key, random.randbytes(8))
        return Event(self.time.now, key, present.etag, present.size)

    def reconcile(self, events: Sequence[Event]) -> None:
        """Handles one batch of the change queue."""
        results: list[int] = []

        def work() -> None:
            report = reconcile(self.queue.environment(lambda: 900.0), handlers.messages(events))
            assert not report.failed, report.failed
            results.append(sum(o.added + o.modified + o.removed for o in report.commit_results))

        self.time.spawn(work)
        self.time.run()
        assert results == [len(events)]

    def manifest(self) -> Iterator[dict[str, Any]]:
        """Every file of the manifest, page by page, as the query function returns them."""
        snapshot = Snapshot.load(self.truth, _sequentially, COLLECTION)
        cursor = None
        while True:
            answer = reads.page(snapshot, PageQuery(limit=1000, cursor=cursor))
            page = from_json(answer.json)
            assert page["complete"]
            yield from page["files"]
            cursor = page["cursor"]
            if cursor is None:
                return

    def differences(self) -> int:
        """The number of objects and files that differ between bucket and manifest."""
        files = ((f["s3_key"], f["size_bytes"], f["etag"], f["last_modified"]) for f in self.manifest())
        objects = ((o.key, o.size, o.etag, o.last_modified) for o in iter_objects(self.truth, COLLECTION.prefix))
        return sum(file != object_ for file, object_ in zip_longest(files, objects))


def run(count: int) -> bool:
    """Runs the benchmark and prints its progress; whether manifest and bucket agree."""
    million = Million(count)
    progress = _Progress(million)
    _print(f"{count:,} objects in {COLLECTION.prefix}, no manifest; a model of S3 in this process's memory")

    swept = million.sweep()
    killed = million.queue.killed
    progress.phase(f"backfilled by {len(swept) + killed} messages; {killed} were killed and delivered again", count)
    _print(f"  {_pages(million)}")

    changes = sum(BATCHES)
    numbers = random.sample(range(count), changes + LOST)
    events = deque(million.change(number) for number in numbers[:changes])
    for size in BATCHES:
        million.reconcile([events.popleft() for _ in range(size)])
    progress.phase(f"{changes:,} random changes, in batches of {', '.join(map(str, BATCHES))}", changes)

    lost = {million.change(number).key for number in numbers[changes:]}
    swept = million.sweep()
    repaired = {key for result in swept for key in result.drifted}
    progress.phase(f"{LOST} more changes, without events; a sweep found a drift of {_drift(swept)} files", count)

    progress.wait(2 * _DAY)
    again = million.sweep()
    collected = sum(result.collected for result in again)
    progress.phase(
        f"two days later, a sweep found {_drift(again)} and deleted {collected:,} unreferenced objects", count
    )

    differences = million.differences()
    _print(f"the manifest, read in pages of 1,000 files, differs from the bucket in {differences} objects")
    _print(f"  {_pages(million)}")
    progress.end()
    return (repaired, _drift(swept), _drift(again), differences) == (lost, LOST, 0, 0)


class _Progress:
    def __init__(self, million: Million) -> None:
        self._million = million
        self._requests: Counter[str] = Counter()
        self._seconds = million.time.now
        self._killed = 0
        self._started = real_time.monotonic()
        self._first_mb = _peak_mb()

    def phase(self, title: str, objects: int) -> None:
        """Reports the work since the last phase, on ``objects`` objects."""
        million = self._million
        traffic, time = million.traffic, million.time
        requests = traffic.requests - self._requests
        self._requests = Counter(traffic.requests)
        killed, self._killed = million.queue.killed - self._killed, million.queue.killed
        waited = f" (each killed message waited {template.sweep_visibility():,.0f} s)" if killed else ""
        kinds = ", ".join(f"{count:,} {method}" for method, count in sorted(requests.items()))
        _print(f"{title}")
        _print(f"  S3 requests: {requests.total() / objects:.4f} for each of {objects:,}: {kinds}")
        elapsed = real_time.monotonic() - self._started
        _print(f"  {time.now - self._seconds:,.0f} s modelled{waited}; {elapsed:.0f} s of real time so far")
        self._seconds = time.now

    def wait(self, seconds: float) -> None:
        """Lets idle time pass."""
        self._million.time.now += seconds
        self._seconds += seconds

    def end(self) -> None:
        """Reports the peak memory."""
        peak = _peak_mb()
        _print(f"peak memory of this process: {peak:.0f} MB, {self._first_mb:.0f} MB of it before the start")


def _lifetime() -> float:
    return random.uniform(0, 150) if random.random() < _KILLED else sys.maxsize


def _drift(swept: Sequence[SweepResult]) -> int:
    return sum(result.drift for result in swept)


def _pages(million: Million) -> str:
    loaded = heads.load(million.truth, COLLECTION)
    assert loaded.head
    size = len(million.truth.get(COLLECTION.head_key).body)  # type: ignore[union-attr]
    head = loaded.head
    return (
        f"manifest: revision {head.revision:,}, {head.total_files:,} files in {len(head.pages):,} pages, a head of "
        f"{size:,} bytes, complete: {head.complete}, verified: {head.last_verified_at}"
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _sequentially(work: Any, items: Any) -> list[Any]:  # noqa: ANN401  # see environment.Each
    return [work(item) for item in items]


def _print(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.million", description=__doc__)
    parser.add_argument("--local", action="store_true", help="run on the local stack")
    parser.add_argument("--objects", type=int, help="number of objects (default: 1,000,000; with --local 100,000)")
    arguments = parser.parse_args()
    if arguments.local:
        return 0 if million_local.run(arguments.objects or 100_000) else 1
    return 0 if run(arguments.objects or 1_000_000) else 1


if __name__ == "__main__":
    sys.exit(main())
