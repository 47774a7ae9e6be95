"""``python -m benchmarks.million``: a collection of a million files, from nothing, and kept true.

In memory: the package's own sweeps, commits and reads, in virtual time, over a model of S3. What its
objects are follows from their number, and what is written is in a temporary file; so the memory of
this process is that of the package, and of its messages. boto3 is not in it. ``--local`` does the same
on the local stack, with all that is in it, and with fewer objects.
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
from s3_manifest.query.views import Filter
from s3_manifest.reconcile.reconcile import reconcile
from s3_manifest.storage import heads
from s3_manifest.storage.store import listed
from s3_manifest.sweep.result import SweepResult

BATCHES = (10, 30, 100, 260, 600)
"""Changes in each batch of the change queue, a thousand in all."""
LOST = 20
_KILLED = 0.2
"""The share of the functions that die."""
_SWEEP = Sweep(kind=COLLECTION.kind, id=COLLECTION.id)
_DAY = 86_400.0


class Million:
    """A bucket with so many objects, what is asked of it, and the sweep queue."""

    def __init__(self, count: int) -> None:
        random.seed(16)
        self.time = VirtualTime()
        self.traffic = TimedTraffic(self.time)
        self.truth = SyntheticObjects(COLLECTION.prefix, count, lambda: handlers.clock(self.time))
        self.store = TimedBucket(self.truth, self.traffic)
        self.queue = SweepQueue(self.time, self.store, _lives)

    def sweep(self) -> list[SweepResult]:
        """One of the collection, from its first message to its last."""
        return self.queue.drain(_SWEEP)

    def change(self, number: int) -> Event:
        """Overwrites the object with that number, or deletes it, or puts one beside it."""
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
        """One batch of the change queue."""
        results: list[int] = []

        def work() -> None:
            report = reconcile(self.queue.environment(lambda: 900.0), handlers.messages(events))
            assert not report.failed, report.failed
            results.append(sum(o.added + o.modified + o.removed for o in report.commit_results))

        self.time.spawn(work)
        self.time.run()
        assert results == [len(events)]

    def manifest(self) -> Iterator[dict[str, Any]]:
        """Every file that the manifest names, page by page as the query function answers."""
        loaded = heads.load(self.truth, COLLECTION)
        cursor = None
        while True:
            answer = reads.page(self.truth, _one_by_one, COLLECTION, loaded, Filter(), 1000, cursor=cursor)
            found = from_json(answer.json)
            assert found["complete"]
            yield from found["files"]
            cursor = found["cursor"]
            if cursor is None:
                return

    def differences(self) -> int:
        """How many of the bucket's objects, and of the manifest's files, the other one does not have just so."""
        named = ((f["s3_key"], f["size_bytes"], f["etag"], f["last_modified"]) for f in self.manifest())
        there = ((o.key, o.size, o.etag, o.last_modified) for o in listed(self.truth, COLLECTION.prefix))
        return sum(one != other for one, other in zip_longest(named, there))


def run(count: int) -> bool:
    """All of it, told as it goes; whether all was as it should be."""
    million = Million(count)
    told = _Telling(million)
    _say(f"{count:,} objects in {COLLECTION.prefix}, no manifest; a model of S3 in this process's memory")

    swept = million.sweep()
    killed = million.queue.killed
    told.phase(f"backfilled by {len(swept) + killed} messages, of which {killed} were killed and came again", count)
    _say(f"  {_pages(million)}")

    changes = sum(BATCHES)
    numbers = random.sample(range(count), changes + LOST)
    events = deque(million.change(number) for number in numbers[:changes])
    for size in BATCHES:
        million.reconcile([events.popleft() for _ in range(size)])
    told.phase(f"{changes:,} random changes, in batches of {', '.join(map(str, BATCHES))}", changes)

    lost = {million.change(number).key for number in numbers[changes:]}
    swept = million.sweep()
    mended = {key for one in swept for key in one.drifted}
    told.phase(f"{LOST} changes more, without events; a sweep found {_drift(swept)} files drifted", count)

    told.wait(2 * _DAY)
    again = million.sweep()
    collected = sum(one.collected for one in again)
    told.phase(f"two days later, a sweep found {_drift(again)}, and collected {collected:,} objects of garbage", count)

    differences = million.differences()
    _say(f"the manifest, read in pages of 1,000 files, differs from the bucket in {differences} objects")
    _say(f"  {_pages(million)}")
    told.end()
    return (mended, _drift(swept), _drift(again), differences) == (lost, LOST, 0, 0)


class _Telling:
    def __init__(self, million: Million) -> None:
        self._million = million
        self._requests: Counter[str] = Counter()
        self._seconds = million.time.now
        self._killed = 0
        self._started = real_time.monotonic()
        self._first_mb = _peak_mb()

    def phase(self, what: str, objects: int) -> None:
        """What was done since the last one, to so many objects."""
        million = self._million
        traffic, time = million.traffic, million.time
        requests = traffic.requests - self._requests
        self._requests = Counter(traffic.requests)
        killed, self._killed = million.queue.killed - self._killed, million.queue.killed
        waited = f" (of which each killed message waited {template.sweep_visibility():,.0f} s)" if killed else ""
        kinds = ", ".join(f"{count:,} {method}" for method, count in sorted(requests.items()))
        _say(f"{what}")
        _say(f"  S3 requests: {requests.total() / objects:.4f} for each of {objects:,}: {kinds}")
        here = real_time.monotonic() - self._started
        _say(f"  {time.now - self._seconds:,.0f} s modelled{waited}; {here:.0f} s here so far")
        self._seconds = time.now

    def wait(self, seconds: float) -> None:
        """Lets time pass in which nothing happens."""
        self._million.time.now += seconds
        self._seconds += seconds

    def end(self) -> None:
        """What memory it took."""
        peak = _peak_mb()
        _say(f"peak memory of this process: {peak:.0f} MB, of which {self._first_mb:.0f} MB before it began")


def _lives() -> float:
    return random.uniform(0, 150) if random.random() < _KILLED else sys.maxsize


def _drift(swept: Sequence[SweepResult]) -> int:
    return sum(one.drift for one in swept)


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


def _one_by_one(work: Any, items: Any) -> list[Any]:  # noqa: ANN401  # see world.Each
    return [work(item) for item in items]


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.million", description=__doc__)
    parser.add_argument("--local", action="store_true", help="on the local stack")
    parser.add_argument("--objects", type=int, help="by default 1,000,000, or with --local 100,000")
    arguments = parser.parse_args()
    if arguments.local:
        return 0 if million_local.run(arguments.objects or 100_000) else 1
    return 0 if run(arguments.objects or 1_000_000) else 1


if __name__ == "__main__":
    sys.exit(main())
