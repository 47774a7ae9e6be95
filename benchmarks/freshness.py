"""*Freshness*: the time from an event until the manifest shows it, and the monthly cost at that rate.

A simulation: the real reconciler in virtual time, with published figures of S3 (``traffic``), SQS and Lambda
(``lambda_queue``). The time starts when S3 sends the event (nobody can influence how long S3 takes to send it,
typically seconds) and ends with the commit that shows the change.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import handlers, prices, template
from benchmarks.lambda_queue import WITH_WINDOW, LambdaQueue, Source
from benchmarks.prices import Usage
from benchmarks.sqs_queue import Event
from benchmarks.table import Aim, Section, table
from benchmarks.timed_bucket import TimedBucket
from benchmarks.traffic import TimedTraffic, percentile
from benchmarks.virtual_time import VirtualTime
from s3_manifest.reconcile.reconcile import reconcile
from s3_manifest.storage.memory import MemoryStore

LOW_RATE, MAX_LOW_P99 = 10.0, 1.5
HIGH_RATE, MAX_HIGH_P99 = 320.0, 5.0
GROUPED_RATE, MAX_REQUESTS = 100.0, 1.2
ONCE_A_MINUTE = 1 / 60
RATES = (ONCE_A_MINUTE, 1.0, 10.0, 100.0, 320.0, 1000.0)
COLLECTIONS = (1, 1000)
FILES = 2000
"""Existing files in all collections together; every event overwrites an existing file."""
MIN_EVENTS, MAX_EVENTS, SECONDS = 500, 20_000, 60


@dataclass(frozen=True)
class Cell:
    """The result for one rate and number of collections."""

    source: Source
    rate: float
    collections: int
    batch: float
    requests: float
    p50: float
    p99: float
    slowest: float
    behind: float
    """Seconds from the last event until everything was done."""
    usage: Usage

    @property
    def dollars(self) -> dict[str, float]:
        """The monthly cost, item by item."""
        return prices.month(self.usage)


def run(rate: float, collections: int, source: Source, store: MemoryStore | None = None, files: int = FILES) -> Cell:
    """Events at a steady rate in random collections with ``files`` files altogether; they are stored in ``store``."""
    random.seed(16)
    events = min(MAX_EVENTS, max(MIN_EVENTS, int(rate * SECONDS)))
    time, truth = VirtualTime(), store or MemoryStore()
    traffic = TimedTraffic(time)
    bucket = TimedBucket(truth, traffic)
    keys = [f"styles/{number % collections}/{number:06d}.png" for number in range(files)]
    for key in keys:
        truth.upload(key, b"")
    time.spawn(lambda: _make_manifests(bucket, time, keys))
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
    usage = Usage(
        events / rate,
        traffic.requests,
        traffic.sent,
        queue.usage,
        memory,
        outbox.announced,
        template.text("Architecture"),
    )
    return Cell(
        source=source,
        rate=rate,
        collections=collections,
        batch=events / queue.usage.invocations,
        requests=traffic.requests.total() / events,
        p50=percentile(queue.delays, 0.5),
        p99=percentile(queue.delays, 0.99),
        slowest=max(queue.delays),
        behind=queue.done_at - ended[0],
        usage=usage,
    )


def section(
    rates: Sequence[float], source: Source, collections: Sequence[int], *, min_keys: int | None = None
) -> Section:
    """Every rate on one hot collection and over many, also with a batching window; and tables of all."""
    with handlers.leases_from(min_keys):
        cells = [run(rate, many, source) for many in collections for rate in rates]
        with_window = [run(rate, collections[0], WITH_WINDOW) for rate in rates]
    head = ("collections", "changes", "p50", "p99", "slowest", "changes per call", "S3 requests per change")
    cost = table(
        ("dollars a month", *(f"{_rate(c.rate)}, {c.collections:,}" for c in cells)),
        [
            *((item, *(f"{c.dollars[item]:,.2f}" for c in cells)) for item in cells[0].dollars),
            ("all", *(f"{sum(c.dollars.values()):,.2f}" for c in cells)),
            ("per million changes", *(f"{_per_million(c):,.2f}" for c in cells)),
        ],
    )
    return Section(
        "Freshness",
        list(_aims(cells)),
        f"Virtual time from S3's event until the manifest shows it; {FILES:,} files.\n\n"
        f"{_described(source)}:\n\n{table(head, map(_row, cells))}\n\n"
        f"{_described(WITH_WINDOW)}:\n\n{table(head, map(_row, with_window))}\n\n"
        f"Cost of the first in us-east-1, at list prices (`benchmarks/prices.py`), with announcements, by rate "
        f"and number of collections:\n\n{cost}",
    )


def _aims(cells: Sequence[Cell]) -> Iterator[Aim]:
    if low := [cell for cell in cells if cell.rate <= LOW_RATE]:
        worst = max(low, key=lambda cell: cell.p99)
        text = f"99 of 100 changes shown within {MAX_LOW_P99:g} s, up to {LOW_RATE:g} a second"
        yield Aim(text, f"{worst.p99:.1f} s", worst.p99 <= MAX_LOW_P99)
    for cell in cells:
        if (cell.rate, cell.collections) == (HIGH_RATE, 1):
            text = f"within {MAX_HIGH_P99:g} s, at {HIGH_RATE:g} a second in one collection"
            yield Aim(text, f"{cell.p99:.1f} s", cell.p99 <= MAX_HIGH_P99)
    if grouped := [cell for cell in cells if cell.rate >= GROUPED_RATE and cell.collections == 1]:
        most = max(cell.requests for cell in grouped)
        text = f"at most {MAX_REQUESTS} S3 requests per change, from {GROUPED_RATE:g} a second in one collection on"
        yield Aim(text, f"{most:.2f}", most <= MAX_REQUESTS)


def _described(source: Source) -> str:
    window = f"gathered for {source.window:g} s" if source.window else "without a window"
    return f"Batches of at most {source.batch:,} {window}, {source.concurrency} concurrent functions"


def _row(cell: Cell) -> tuple[str, ...]:
    seconds = (f"{value:.1f} s" for value in (cell.p50, cell.p99, cell.slowest))
    return (f"{cell.collections:,}", _rate(cell.rate), *seconds, f"{cell.batch:.1f}", f"{cell.requests:.2f}")


def _rate(rate: float) -> str:
    return "1/min" if rate == ONCE_A_MINUTE else f"{rate:g}/s"


def _make_manifests(bucket: TimedBucket, time: VirtualTime, keys: Sequence[str]) -> None:
    """Makes the manifest of every collection first, so that only changes are counted."""
    messages = handlers.messages([Event(0, key, "0" * 32) for key in keys])
    report = reconcile(handlers.environment(bucket, time, handlers.Outbox()), messages)
    assert not report.failed, report.failed


def _per_million(cell: Cell) -> float:
    return sum(cell.dollars.values()) / (cell.rate * prices.MONTH_SECONDS) * 1e6
