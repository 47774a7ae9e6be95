"""*Freshness*: how long after an event the manifest shows it, and what a month at that rate costs.

A simulation: the real reconciler in virtual time, over S3's published figures (``traffic``) and
SQS's and Lambda's (``lambda_queue``). It counts from S3's sending of the event: how long S3 takes to
send one (typically seconds) is in nobody's hands. An event is taken as shown when its batch is done.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import handlers, prices, template
from benchmarks.lambda_queue import LambdaQueue, Source
from benchmarks.prices import Used
from benchmarks.sqs_queue import Event
from benchmarks.table import Aim, Section, table
from benchmarks.timed_bucket import TimedBucket
from benchmarks.traffic import TimedTraffic, percentile
from benchmarks.virtual_time import VirtualTime
from s3_manifest.memory import MemoryStore
from s3_manifest.reconcile import reconcile

MAX_P99_SECONDS = 5.0
RATES = (1.0, 10.0, 100.0, 320.0, 1000.0)
COLLECTIONS = (1, 1000)
FILES = 2000
"""There from the beginning, in all the collections together; every event overwrites one of them."""
MIN_EVENTS, MAX_EVENTS, SECONDS = 600, 20_000, 60


@dataclass(frozen=True)
class Cell:
    """One rate over so many collections."""

    rate: float
    collections: int
    batch: float
    requests: float
    p50: float
    p99: float
    slowest: float
    behind: float
    """Seconds from the last event until all was done."""
    dollars: dict[str, float]


def run(rate: float, collections: int, source: Source) -> Cell:
    """Events at a steady rate, into random collections."""
    random.seed(16)
    events = min(MAX_EVENTS, max(MIN_EVENTS, int(rate * SECONDS)))
    time, truth = VirtualTime(), MemoryStore()
    traffic = TimedTraffic(time)
    bucket = TimedBucket(truth, traffic)
    keys = [f"styles/{number % collections}/{number:06d}.png" for number in range(FILES)]
    for key in keys:
        truth.upload(key, b"")
    time.spawn(lambda: _first_sight(bucket, time, keys))
    time.run()
    traffic.clear()
    outbox = handlers.Outbox()
    queue = LambdaQueue(time, source, handlers.ours(bucket, time, outbox))

    def upload() -> None:
        for _ in range(events):
            time.sleep(random.expovariate(rate))
            present = truth.upload(random.choice(keys), random.randbytes(8))
            queue.send(Event(time.now, present.key, present.etag, present.size))
        queue.close()
        ended.append(time.now)

    ended: list[float] = []
    time.spawn(upload)
    time.run()
    assert len(queue.delays) == events
    memory = template.memory_mb("ReconcileFunction")
    used = Used(events / rate, traffic.requests, traffic.sent, queue.usage, memory, outbox.announced)
    return Cell(
        rate=rate,
        collections=collections,
        batch=events / queue.usage.invocations,
        requests=traffic.requests.total() / events,
        p50=percentile(queue.delays, 0.5),
        p99=percentile(queue.delays, 0.99),
        slowest=max(queue.delays),
        behind=queue.done_at - ended[0],
        dollars=prices.month(used),
    )


def section(
    rates: Sequence[float], source: Source, collections: Sequence[int], *, min_keys: int | None = None
) -> Section:
    """Every rate on one hot collection and over many, and tables of them."""
    with handlers.turns_from(min_keys):
        cells = [run(rate, many, source) for many in collections for rate in rates]
    worst = max(cells, key=lambda cell: cell.p99)
    fresh = table(
        (
            "collections",
            "events/s",
            "p50",
            "p99",
            "all done after the last",
            "events per batch",
            "S3 requests per event",
        ),
        [
            (
                f"{c.collections:,}",
                f"{c.rate:g}",
                f"{c.p50:.1f} s",
                f"{c.p99:.1f} s",
                f"{c.behind:.1f} s",
                f"{c.batch:.1f}",
                f"{c.requests:.2f}",
            )
            for c in cells
        ],
    )
    cost = table(
        ("dollars a month", *(f"{c.rate:g}/s over {c.collections:,}" for c in cells)),
        [
            *((item, *(f"{c.dollars[item]:,.2f}" for c in cells)) for item in cells[0].dollars),
            ("all", *(f"{sum(c.dollars.values()):,.2f}" for c in cells)),
            ("per million events", *(f"{_per_million(c):,.2f}" for c in cells)),
        ],
    )
    return Section(
        "Freshness",
        [
            Aim(
                f"99 of 100 events shown within {MAX_P99_SECONDS:g} s, from {min(rates):g} to {max(rates):g} a second",
                f"{worst.p99:.1f} s at {worst.rate:g}/s over {worst.collections:,}",
                worst.p99 <= MAX_P99_SECONDS,
            )
        ],
        f"Virtual time from S3's sending of an event until the manifest shows it; batches of at most {source.batch}, "
        f"gathered for {source.window:g} s, {source.concurrency} functions at once; {FILES:,} files.\n\n{fresh}\n\n"
        f"What that costs in us-east-1, at list prices as of 2025 (`benchmarks/prices.py`):\n\n{cost}",
    )


def _first_sight(bucket: TimedBucket, time: VirtualTime, keys: Sequence[str]) -> None:
    """Makes every collection's manifest, so that what is counted is changes."""
    messages = handlers.messages([Event(0, key, "0" * 32) for key in keys])
    report = reconcile(handlers.world(bucket, time, handlers.Outbox()), messages)
    assert not report.failed, report.failed


def _per_million(cell: Cell) -> float:
    return sum(cell.dollars.values()) / (cell.rate * prices.MONTH_SECONDS) * 1e6
