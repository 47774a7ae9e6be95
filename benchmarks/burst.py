"""*Burst*: many changes of one collection at once, beside the handler that people write first.

Both run over the same S3 behind the same boto3 (``wire``), with the same latencies and the same
number of functions at once; ours takes its batches as the template configures it, the other one the
ten messages that Lambda hands out by default. CPU is what the code really took, boto3 included.
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
"""The share of changes that are removals; of the rest, about one in three overwrites."""


@dataclass(frozen=True)
class Result:
    """What handling the burst took, per event where that makes sense."""

    requests: float
    bytes: float
    cpu: float
    """Real seconds; only to be compared with another one of the same run."""
    wrong: int
    """Keys that the manifest says something else of than the bucket, when all is handled."""
    by_method: dict[str, float]
    batch: float
    done_after: float


def run(events: int, rate: float, source: Source, handler: Callable[[Store, VirtualTime], Invoke]) -> Result:
    """One burst, by one handler, from an empty collection on."""
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
    """Both handlers' bursts, and a table of them."""
    with handlers.turns_from(min_keys):
        ours = run(events, rate, source, lambda store, time: handlers.ours(store, time, handlers.Outbox()))
    theirs = run(events, rate, replace(source, window=0, batch=10), handlers.naive)
    head = _cpu_of_a_head()
    rows = [
        ("S3 requests per event", f"{ours.requests:.2f}", f"{theirs.requests:.2f}"),
        *(
            (f"of these {method}", f"{ours.by_method.get(method, 0):.3f}", f"{theirs.by_method.get(method, 0):.3f}")
            for method in ("HEAD", "GET", "PUT", "LIST")
        ),
        ("bytes per event, to and from S3", f"{ours.bytes:,.0f}", f"{theirs.bytes:,.0f}"),
        ("CPU per event, in boto3 HEADs", f"{ours.cpu / head:.1f}", f"{theirs.cpu / head:.1f}"),
        ("lost updates", ours.wrong, f"{theirs.wrong:,}"),
        ("events per batch", f"{ours.batch:.0f}", f"{theirs.batch:.0f}"),
        ("all done after (modelled)", f"{ours.done_after:.0f} s", f"{theirs.done_after:.0f} s"),
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
                f"{ours.cpu / theirs.cpu:.2f} of it",
                ours.cpu < theirs.cpu,
            ),
        ],
        f"{events:,} changes of one collection, {rate:g} a second; {source.concurrency} functions at once; ours in "
        f"batches of at most {source.batch}, gathered for {source.window:g} s. Beside it: read the manifest, change "
        "it by the event, write it back, event by event, in batches of 10. A lost update is a key of which the "
        "manifest, when all is done, says something else than the bucket.\n\n"
        + table(("", "S3 Manifest", "read, replace, write"), rows),
    )


def _change(truth: MemoryStore, events: int, now: float) -> Event:
    key = f"{PREFIX}{random.randrange(events * 3 // 4):06d}.png"
    if random.random() < _REMOVED:
        truth.remove(key)
        return Event(now, key, None)
    present = truth.upload(key, random.randbytes(8), checksum={"crc64nvme": "kCr8f5rOVps=", "type": "FULL_OBJECT"})
    return Event(now, key, present.etag, present.size)


def _wrong(truth: MemoryStore) -> int:
    """However the manifest was written, it names each file with its key and MD5."""
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
    found: dict[str, Any] = json.loads(stored.body)
    return found


def _cpu_of_a_head(times: int = 500) -> float:
    truth = MemoryStore()
    truth.upload("key", b"")
    store = wired_store(truth, Traffic())
    store.head("key")
    begun = process_time()
    for _ in range(times):
        store.head("key")
    return (process_time() - begun) / times
