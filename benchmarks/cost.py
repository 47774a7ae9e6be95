"""*Cost*: the monthly bill of two deployments, item by item.

Their changes and a daily sweep of all collections run in the models of ``freshness`` and ``sweep_queue``. Log lines and
custom metrics are counted from the functions' code, alarms from the template. Changes arrive one by one, at random
moments and in random collections, which is the most expensive case: simultaneous changes share a commit.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks import freshness, prices, template
from benchmarks.lambda_queue import IDLE_POLLERS, Source
from benchmarks.sqs_queue import LONG_POLL_SECONDS
from benchmarks.sweep_queue import SweepQueue
from benchmarks.table import Section, table
from benchmarks.timed_bucket import TimedBucket
from benchmarks.traffic import TimedTraffic
from benchmarks.virtual_time import VirtualTime
from s3_manifest.manifest.jobs import SweepAll
from s3_manifest.storage.memory import MemoryStore
from s3_manifest_cli.local_stack.stack import PROJECT

READS = 10_000
"""Requests to the HTTP API per month."""
_READ_SECONDS = 0.1
"""Duration of the query function for one request."""
_PLATFORM_LOG_BYTES = 700
"""Lambda's own log lines of an invocation, as JSON: its start and its report.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html"""
_SWEEPS = 30
_LATER_RECORD = re.compile(r"/changes/(?!0+1-)")

# Prints the size of an invocation's log: for one change; for a hundred more in its collection; for ten collections.
_LOG_PROGRAM = """
import contextlib, io, sys
import reconcile_handler as handler
from s3_manifest.aws import runtime
from s3_manifest.reconcile.result import CommitResult
from s3_manifest.reconcile.reconcile import BatchResult
def size(collections, changes):
    output = io.StringIO()
    handler.logger.handlers[0].setStream(output)
    collection = runtime.collections().collection_of(runtime.collections().buckets[0], "styles/16/image.png")
    batch = BatchResult(received=changes, freshness_ms={collection.bucket: [1234.0] * changes},
                        commit_results=[CommitResult(collection, commits=1, finished=True) for _ in range(collections)])
    with contextlib.redirect_stdout(output):
        handler.report_batch(handler.logger, batch)
    return len(output.getvalue())
print(size(1, 1), size(1, 101), size(10, 1))
"""


@dataclass(frozen=True)
class Deployment:
    """The stored files and their rate of change."""

    name: str
    files: int
    collections: int
    changes_a_month: float


DEPLOYMENTS = (
    Deployment("20,000 images, 30,000 changes a month", 20_000, 100, 30_000),
    Deployment("100 changes a second in 10 collections", 20_000, 10, 100 * prices.MONTH_SECONDS),
    Deployment("100 changes a second in 1,000 collections", 20_000, 1000, 100 * prices.MONTH_SECONDS),
)


class Bill(NamedTuple):
    """Dollars per month, item by item: with the defaults, and for options."""

    default: dict[str, float]
    options: dict[str, float]


def bill(deployment: Deployment, source: Source) -> Bill:
    """The monthly bill of a deployment."""
    truth = MemoryStore()
    rate = deployment.changes_a_month / prices.MONTH_SECONDS
    cell = freshness.run(rate, deployment.collections, source, truth, deployment.files)
    changes, times = cell.dollars, prices.MONTH_SECONDS / cell.usage.seconds
    stored = times * _stored(truth, is_history=True) + _stored(truth, is_history=False)
    idle_polls = IDLE_POLLERS * prices.MONTH_SECONDS / LONG_POLL_SECONDS
    gb_second = prices.LAMBDA_GB_SECOND[template.text("Architecture")]
    reads = READS * (
        prices.HTTP_REQUEST
        + prices.LAMBDA_REQUEST
        + prices.S3_READ
        + _READ_SECONDS * template.memory_mb("QueryFunction") / 1024 * gb_second
    )
    logged = times * _logged(cell)
    return Bill(
        {
            "S3 requests of changes": sum(changes[f"S3 {method}"] for method in ("HEAD", "GET", "PUT", "LIST")),
            "S3 storage of manifests": changes["S3 storage of replaced manifests"] + stored / 1e9 * prices.S3_GB_MONTH,
            "Lambda, changes": changes["Lambda requests"] + changes["Lambda GB-seconds"],
            "SQS, changes, with polls that find nothing": changes["SQS requests"],
            "SQS, polls of the sweep queue": idle_polls * prices.SQS_REQUEST,
            "daily sweeps: S3, Lambda, SQS": _sweeps(truth, gb_second),
            f"HTTP API, {READS:,} reads": reads,
            "CloudWatch logs": logged / 1e9 * (prices.LOG_GB + prices.LOG_GB_MONTH),
            f"CloudWatch, {custom_metrics()} custom metrics": custom_metrics() * prices.CUSTOM_METRIC,
            f"CloudWatch, {_alarms()} alarms": _alarms() * prices.ALARM,
        },
        {
            "dashboard (`CreateDashboard`)": prices.DASHBOARD,
            "announcements (`AnnounceChanges`)": changes["EventBridge events (AnnounceChanges)"],
        },
    )


def section(source: Source, deployments: Sequence[Deployment] = DEPLOYMENTS) -> Section:
    """A table of the bills."""
    bills = [bill(deployment, source) for deployment in deployments]
    totals = [sum(item.default.values()) for item in bills]
    with_options = [total + sum(item.options.values()) for total, item in zip(totals, bills, strict=True)]
    rows = [
        *((item, *(f"{amounts.default[item]:,.2f}" for amounts in bills)) for item in bills[0].default),
        ("**all, by default**", *(f"**{total:,.2f}**" for total in totals)),
        *((item, *(f"{amounts.options[item]:,.2f}" for amounts in bills)) for item in bills[0].options),
        ("all, with those", *(f"{total:,.2f}" for total in with_options)),
    ]
    head = ("dollars a month", *(deployment.name for deployment in deployments))
    return Section(
        "Cost",
        [],
        f"List prices of us-east-1 without free tiers; `Architecture={template.text('Architecture')}`; 20,000 images, "
        f"not stored for that price; the first in {deployments[0].collections:,} collections.\n\n{table(head, rows)}",
    )


def _stored(truth: MemoryStore, *, is_history: bool) -> int:
    """Bytes of change records, which are kept for a month, or of the manifests."""
    below = ((key, body) for key, (_, body) in truth.objects.items() if key.startswith("_manifests/"))
    return sum(len(body) for key, body in below if bool(_LATER_RECORD.search(key)) == is_history)


def custom_metrics() -> int:
    """The number of metrics that the functions write: each name counts once per service and stack.

    Those of several buckets come on top: a stack with one bucket has none.
    """
    module = ast.parse((PROJECT / "layers/manifest/s3_manifest/aws/telemetry.py").read_text())
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    return sum(len(_metric_names(functions, name)) for name in functions if name.startswith("report_"))


def _metric_names(functions: Mapping[str, ast.FunctionDef], name: str) -> set[str]:
    names: set[str] = set()
    for call in (node for node in ast.walk(functions[name]) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_metric":
            names.add(ast.literal_eval(call.args[0]))
        elif isinstance(call.func, ast.Name) and call.func.id == "_add_counts":
            names |= {keyword.arg for keyword in call.keywords if keyword.arg}
        elif isinstance(call.func, ast.Name) and call.func.id in {"_add_commits", "_add_freshness"}:
            names |= _metric_names(functions, call.func.id)
    return names


def _alarms() -> int:
    return template.count("AWS::CloudWatch::Alarm")


def _sweeps(truth: MemoryStore, gb_second: float) -> float:
    """The cost of daily sweeps without drift for a month."""
    time = VirtualTime()
    traffic = TimedTraffic(time)
    results = SweepQueue(time, TimedBucket(truth, traffic)).drain(SweepAll())
    writes = traffic.requests["PUT"] + traffic.requests["LIST"]
    reads = traffic.requests["GET"] + traffic.requests["HEAD"]
    messages = len(results)
    return _SWEEPS * (
        writes * prices.S3_WRITE
        + reads * prices.S3_READ
        # Sent, received and deleted.
        + messages * 3 * prices.SQS_REQUEST
        + messages * prices.LAMBDA_REQUEST
        + time.now * template.memory_mb("SweepFunction") / 1024 * gb_second
    )


def _logged(cell: freshness.Cell) -> float:
    """Bytes of the reconcile function's log in the modelled time."""
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, (PROJECT / "functions/reconcile", PROJECT / "layers/manifest"))),
        "BUCKET": "images",
        "COLLECTIONS": template.text("Collections"),
        "MANIFEST_ROOT": template.text("ManifestRoot"),
        "AWS_REGION": "us-east-1",
    }
    command = [sys.executable, "-c", _LOG_PROGRAM]
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    single, hundred_more, ten_collections = map(int, process.stdout.split())
    per_change, per_commit = (hundred_more - single) / 100, (ten_collections - single) / 9
    usage = cell.usage.queue
    return (
        usage.invocations * (_PLATFORM_LOG_BYTES + single - per_change - per_commit)
        + cell.usage.announced * per_commit
        + sum(usage.handled) * per_change
    )
