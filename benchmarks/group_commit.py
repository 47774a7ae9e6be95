"""``python -m benchmarks.group_commit``: what commits cost with Lambda's real batching.

The local platform hands out at most ten messages at a time and knows no batching window, so this is
a model: the real reconciler, over a bucket in memory, in virtual time. The figures of S3 and Lambda
are the ones below; what is counted is requests.
"""

import argparse
import json
import random
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from urllib.parse import quote_plus

from benchmarks.virtual_time import VirtualTime
from s3_manifest import heads, turns
from s3_manifest.collections import parse_collections
from s3_manifest.facts import Location
from s3_manifest.memory import MemoryStore
from s3_manifest.reconcile import Message, reconcile
from s3_manifest.store import Listing, NotModified, Observation, Stored
from s3_manifest.world import World

# Seconds. S3's first byte, and a compare-and-swap at about 15 a second for one key.
GET, HEAD, PUT, LIST = 0.03, 0.025, 0.06, 0.05
# boto3's own time for a request, on the one CPU that 1,769 MB of memory come with.
CPU = 0.0013
AT_ONCE = 32
# From an event's arrival in SQS to a poller: 16 ms at the median, 105 at the 99th percentile.
SQS = (0.016, 0.105)

COLLECTIONS = parse_collections("style=styles/{style_id}/", "_manifests/")
BUCKET = "images"


class TimedBucket:
    """A ``Store`` over a ``MemoryStore`` whose requests take time and are counted."""

    def __init__(self, truth: MemoryStore, time: VirtualTime, requests: Counter[str]) -> None:
        self._truth = truth
        self._time = time
        self._requests = requests

    def _request(self, name: str, seconds: float) -> None:
        self._requests[name] += 1
        # Three in four get their answer in about that time, the rest wait longer.
        self._time.sleep(seconds * random.choice((0.8, 1, 1, 1.6)))

    def get(self, key: str) -> Stored | None:
        self._request("GET", GET)
        return self._truth.get(key)

    def get_unless(self, key: str, etag: str) -> Stored | NotModified | None:
        self._request("GET", GET)
        return self._truth.get_unless(key, etag)

    def head(self, key: str) -> Observation:
        self._request("HEAD", max(HEAD, CPU * AT_ONCE))
        return self._truth.head(key)

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        self._request("PUT", PUT)
        return self._truth.put(key, body, replaces=replaces, metadata=metadata)

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        self._request("LIST", LIST)
        return self._truth.list(prefix, after=after, limit=limit)

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        self._request("LIST", LIST)
        return self._truth.folders(prefix, after=after, limit=limit)

    def md5(self, key: str, etag: str) -> str:
        self._request("GET", GET)
        return self._truth.md5(key, etag)


class Model:
    """Uploads at a steady rate into one collection, and Lambda's pollers over the change queue."""

    def __init__(self, events: int, rate: float, window: float, batch: int, concurrency: int) -> None:
        self.events, self.rate, self.window, self.batch = events, rate, window, batch
        self.concurrency = concurrency
        self.time = VirtualTime()
        self.truth = MemoryStore()
        self.requests: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()
        self.queue: deque[tuple[float, str]] = deque()
        self.batches: list[int] = []
        self.freshness: list[float] = []
        self.last_commit = 0.0
        self.uploaded = 0

    def run(self) -> None:
        self.time.spawn(self._first_sight)
        self.time.run()
        self.requests.clear()
        self.sums.clear()
        self.time.spawn(self._users)
        for _ in range(self.concurrency):
            self.time.spawn(self._poller)
        self.time.run()
        collection = COLLECTIONS.named("style", "16")
        assert collection
        loaded = heads.load(self.truth, collection)
        assert loaded
        objects = {k: p.etag for k, (p, _) in self.truth.objects.items() if k.startswith(collection.prefix)}
        assert {entry.s3_key: entry.etag for entry in loaded.head.files} == objects, "an update was lost"

    def _first_sight(self) -> None:
        """Makes the manifest, so that what is counted is the commits of changes."""
        self.truth.upload("styles/16/000000.png", b"")
        reconcile(self._world(), [Message("0", _notification("styles/16/000000.png"))], pause_with_seconds_left=30)

    def _users(self) -> None:
        for _ in range(self.events):
            self.time.sleep(1 / self.rate)
            key = f"styles/16/{random.randrange(self.events * 3 // 4):06d}.png"
            if random.random() < 0.1:
                self.truth.remove(key)
            else:
                self.truth.upload(key, random.randbytes(8))
            self.uploaded += 1
            self.time.spawn(lambda key=key, made=self.time.now: self._deliver(key, made))

    def _deliver(self, key: str, made: float) -> None:
        self.time.sleep(SQS[0] if random.random() < 0.98 else SQS[1])
        self.queue.append((made, key))

    def _poller(self) -> None:
        self.time.sleep(random.random() * self.window)
        while self.uploaded < self.events or self.queue:
            self.time.sleep(0.02)
            if not self.queue:
                continue
            batch: list[tuple[float, str]] = []
            until = self.time.now + self.window
            while self.time.now < until and len(batch) < self.batch:
                received = min(10, len(self.queue), self.batch - len(batch))
                batch += [self.queue.popleft() for _ in range(received)]
                self.time.sleep(0.002 if self.queue else 0.02)
            self._invoke(batch)

    def _invoke(self, batch: list[tuple[float, str]]) -> None:
        self.batches.append(len(batch))
        messages = [Message(str(n), _notification(key)) for n, (_, key) in enumerate(batch)]
        report = reconcile(self._world(), messages, pause_with_seconds_left=30)
        assert not report.failed, report
        for outcome in report.outcomes:
            self.sums.update(commits=outcome.commits, conflicts=outcome.conflicts, observed=outcome.observed)
        self.last_commit = self.time.now
        self.freshness += [self.time.now - made for made, _ in batch]

    def _world(self) -> World:
        return World(
            store=TimedBucket(self.truth, self.time, self.requests),
            collections=COLLECTIONS,
            location=Location(BUCKET, "us-east-1"),
            md5_max_bytes=0,
            ask=lambda _request: None,
            each=lambda work, items: self.time.each(work, items, AT_ONCE),
            now=lambda: "2026-01-01T00:00:00.000Z",
            seconds_left=lambda: 60,
            sleep=self.time.sleep,
            random=random.random,
            commit_id=lambda: uuid.UUID(int=random.getrandbits(128)).hex,
        )


def _notification(key: str) -> str:
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key)}},
    }
    return json.dumps({"Records": [record]})


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.group_commit")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rates", type=float, nargs="+", default=[10, 100, 320, 1000])
    parser.add_argument("--window", type=float, default=2, help="seconds")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=5)
    parser.add_argument("--without-turns", action="store_true", help="what it would be if workers took no turns")
    arguments = parser.parse_args()
    if arguments.without_turns:
        turns.MIN_KEYS = arguments.batch + 1
    print(
        f"{arguments.events} changes of one collection; batches of at most {arguments.batch}, "
        f"window {arguments.window:g} s, {arguments.concurrency} at once"
    )
    print(
        "| changes/s | mean batch | commits | conflicts | S3 requests per change | of these HEAD "
        "| fresh p50 | p99 | all done after |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for rate in arguments.rates:
        random.seed(16)
        model = Model(arguments.events, rate, arguments.window, arguments.batch, arguments.concurrency)
        model.run()
        fresh = sorted(model.freshness)
        print(
            f"| {rate:g} | {sum(model.batches) / len(model.batches):.0f} | {model.sums['commits']} "
            f"| {model.sums['conflicts']} | {model.requests.total() / arguments.events:.3f} "
            f"| {model.requests['HEAD'] / arguments.events:.3f} "
            f"| {fresh[len(fresh) // 2]:.1f} s | {fresh[int(len(fresh) * 0.99)]:.1f} s | {model.last_commit:.0f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
