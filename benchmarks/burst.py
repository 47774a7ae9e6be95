"""*Burst*: many simultaneous changes of one collection, compared with the handler that people write first.

Both run over the same S3 behind the same boto3 (``wire``), with the same latencies and concurrency. Ours receives
batches as the template configures them, the other one the ten messages that Lambda delivers by default. CPU is the real
CPU time of the code, including boto3.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import process_time
from typing import Any

from benchmarks import handlers
from benchmarks.lambda_queue import Invoke, LambdaQueue, Source
from benchmarks.sqs_queue import Event
from benchmarks.table import Aim, Section, table
from benchmarks.traffic import TimedTraffic, Traffic
from benchmarks.virtual_time import VirtualTime
from benchmarks.wire import wired_store
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Store

EVENTS, RATE = 10_000, 1000.0
MAX_REQUESTS_PER_EVENT = 1.2
PREFIX = "styles/16/"
_REMOVED = 0.1
"""The share of removals among the changes; about one in three others overwrites."""


@dataclass(frozen=True)
class Result:
    """The cost of the burst, per event where that makes sense."""

    requests: float
    bytes: float
    cpu: float
    """Real seconds; comparable only within one run."""
    wrong: int
    """Keys for which the manifest differs from the bucket in the end."""
    by_method: dict[str, float]
    batch: float
    done_after: float


def run(events: int, rate: float, source: Source, handler: Callable[[Store, VirtualTime], Invoke]) -> Result:
    """One burst for one handler, starting with an empty collection."""
    random.seed(16)
    time, truth = VirtualTime(), MemoryStore()
    traffic = TimedTraffic(time)
    store = wired_store(truth, traffic, time.uncounted)
    queue = LambdaQueue(time, source, handler(store, time))

    def upload() -> None:
        for _ in range(events):
            time.sleep(1 / rate)
            queue.send(_change(truth, events, time.now))
        queue.close()

    time.spawn(upload)
    time.run()
    return Result(
        requests=traffic.requests.total() / events,
        bytes=(traffic.sent + traffic.received) / events,
        cpu=sum(worker.cpu_seconds for worker in queue.workers) / events,
        wrong=_wrong(truth),
        by_method={method: count / events for method, count in traffic.requests.items()},
        batch=events / queue.usage.invocations,
        done_after=queue.done_at,
    )


def section(events: int, rate: float, source: Source, *, min_keys: int | None = None) -> Section:
    """A burst for each handler, and a table of both."""
    with handlers.leases_from(min_keys):
        ours = run(events, rate, source, lambda store, time: handlers.ours(store, time, handlers.Outbox()))
    baseline = run(events, rate, replace(source, window=0, batch=10), handlers.naive)
    head = _cpu_of_a_head()
    rows = [
        ("S3 requests per event", f"{ours.requests:.2f}", f"{baseline.requests:.2f}"),
        *(
            (f"of these {method}", f"{ours.by_method.get(method, 0):.3f}", f"{baseline.by_method.get(method, 0):.3f}")
            for method in ("HEAD", "GET", "PUT", "LIST")
        ),
        ("bytes per event, to and from S3", f"{ours.bytes:,.0f}", f"{baseline.bytes:,.0f}"),
        ("CPU per event, in boto3 HEADs", f"{ours.cpu / head:.1f}", f"{baseline.cpu / head:.1f}"),
        ("lost updates", ours.wrong, f"{baseline.wrong:,}"),
        ("events per batch", f"{ours.batch:.0f}", f"{baseline.batch:.0f}"),
        ("all done after (modelled)", f"{ours.done_after:.0f} s", f"{baseline.done_after:.0f} s"),
    ]
    return Section(
        "Burst",
        [
            Aim("no update is lost", f"{ours.wrong} of {events:,}", ours.wrong == 0),
            Aim(
                f"at most {MAX_REQUESTS_PER_EVENT} S3 requests per event",
                f"{ours.requests:.2f}",
                ours.requests <= MAX_REQUESTS_PER_EVENT,
            ),
            Aim(
                "less CPU per event than read, replace, write",
                f"{ours.cpu / baseline.cpu:.2f} of it",
                ours.cpu < baseline.cpu,
            ),
        ],
        f"{events:,} changes of one collection, {rate:g} a second; {source.concurrency} concurrent functions; ours in "
        f"batches of at most {source.batch}, gathered for {source.window:g} s. Compared with: read the manifest, apply "
        "the event, write it back, event by event, in batches of 10. A lost update is a key for which the manifest "
        "differs from the bucket in the end.\n\n" + table(("", "S3 Manifest", "read, replace, write"), rows),
    )


def _change(truth: MemoryStore, events: int, now: float) -> Event:
    key = f"{PREFIX}{random.randrange(events * 3 // 4):06d}.png"
    if random.random() < _REMOVED:
        truth.remove(key)
        return Event(now, key, None)
    present = truth.upload(key, random.randbytes(8), checksum={"crc64nvme": "kCr8f5rOVps=", "type": "FULL_OBJECT"})
    return Event(now, key, present.etag, present.size)


def _wrong(truth: MemoryStore) -> int:
    """The number of keys for which manifest and bucket differ, by the MD5s of either kind of manifest."""
    files = _files(truth)
    bucket = {key: truth.objects[key][0].etag for key in truth.objects if key.startswith(PREFIX)}
    return sum(bucket.get(key) != files.get(key) for key in bucket.keys() | files.keys())


def _files(truth: MemoryStore) -> dict[str, str]:
    head = _json_of(truth, f"_manifests/{PREFIX}manifest.json")
    parts = [_json_of(truth, page["key"]) for page in head["pages"]] if "pages" in head else [head]
    lists = (part["files"].values() if isinstance(part["files"], dict) else part["files"] for part in parts)
    return {file["s3_key"]: file["md5_hash"] for files in lists for file in files}


def _json_of(truth: MemoryStore, key: str) -> dict[str, Any]:
    stored = truth.get(key)
    assert stored
    document: dict[str, Any] = json.loads(stored.body)
    return document


def _cpu_of_a_head(times: int = 500) -> float:
    truth = MemoryStore()
    truth.upload("key", b"")
    store = wired_store(truth, Traffic())
    store.head("key")
    start = process_time()
    for _ in range(times):
        store.head("key")
    return (process_time() - start) / times
