"""Log lines, and metrics in CloudWatch's embedded format, of the reconcile and sweep functions.

Each metric has the dimensions ``service`` and ``stack``. In a deployment with several buckets, what was done in each is
reported once more with the dimension ``bucket``; with one bucket that would only double the cost.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from s3_manifest.aws import runtime
from s3_manifest.aws.settings import settings
from s3_manifest.reconcile.reconcile import BatchResult
from s3_manifest.reconcile.result import CommitResult
from s3_manifest.sweep.result import SweepResult

NAMESPACE = "S3Manifest"

_MAX_LOGGED_KEYS = 100


def report_batch(logger: Logger, batch: BatchResult) -> None:
    """Logs and measures a batch of messages: what was dropped, what failed, and each collection's commits."""
    for message_id, reason in batch.dropped:
        logger.info("dropped", message_id=message_id, reason=reason)
    for message_id, reason in batch.failed.items():
        logger.error("failed", message_id=message_id, reason=reason, attempt=batch.attempts.get(message_id))
    if batch.drained:
        logger.info("drained", messages=batch.drained)
    for error in batch.queue_errors:
        logger.warning("queue request failed", reason=error)
    for crash in batch.crashes:
        logger.error("crashed", exc_info=crash)
    with _metrics("reconcile") as metrics:
        _add_freshness(metrics, chain.from_iterable(batch.freshness_ms.values()))
        _add_counts(
            metrics,
            EventsReceived=batch.received,
            EventsDropped=len(batch.dropped),
            EventsFailed=len(batch.failed),
            Retries=batch.retries,
        )
        _add_commits(metrics, batch.commit_results)
    for bucket in _measured_buckets():
        if results := [result for result in batch.commit_results if result.collection.bucket == bucket]:
            with _metrics("reconcile", bucket) as metrics:
                _add_freshness(metrics, batch.freshness_ms.get(bucket, ()))
                _add_commits(metrics, results)
    _log_commits(logger, batch.commit_results)


def report_sweep(logger: Logger, sweep: SweepResult) -> None:
    """Logs and measures one message of the sweep queue: its commits, drift, repairs, and how far the sweep came."""
    collection, bucket = (sweep.collection.prefix, sweep.collection.bucket) if sweep.collection else (None, None)
    for measured in (None, *({bucket} & set(_measured_buckets()))):
        with _metrics("sweep", measured) as metrics:
            _add_commits(metrics, sweep.commit_results)
            _add_counts(
                metrics,
                Drift=sweep.drift,
                DriftMissing=sweep.missing,
                DriftUnexpected=sweep.unexpected,
                DriftAltered=sweep.modified,
                Sweeps=int(sweep.finished and sweep.collection is not None),
            )
    _log_commits(logger, sweep.commit_results)
    if sweep.drift:
        logger.warning(
            "drift",
            bucket=bucket,
            collection=collection,
            missing=sweep.missing,
            unexpected=sweep.unexpected,
            altered=sweep.modified,
            keys=sweep.drifted[:_MAX_LOGGED_KEYS],
        )
    if sweep.repaired:
        logger.warning("repaired", bucket=bucket, collection=collection, objects=sweep.repaired[:_MAX_LOGGED_KEYS])
    if sweep.skipped:
        logger.warning("skipped", reason=sweep.skipped)
    if sweep.garbage_error:
        logger.warning("no garbage was collected", bucket=bucket, collection=collection, reason=sweep.garbage_error)
    if sweep.finished or sweep.enqueued:
        logger.info(
            "swept" if sweep.finished else "sweep continues",
            bucket=bucket,
            collection=collection,
            progress=sweep.progress and sweep.progress.model_dump(exclude={"looks", "unreadable"}),
            enqueued=sweep.enqueued,
            collected=sweep.collected,
        )


def _measured_buckets() -> Sequence[str]:
    """The buckets with metrics of their own: none in a deployment with one bucket."""
    buckets = runtime.collections().buckets
    return buckets if len(buckets) > 1 else ()


@contextmanager
def _metrics(service: str, bucket: str | None = None) -> Iterator[EphemeralMetrics]:
    """The metrics of one invocation, printed when the block ends as a line of the log that CloudWatch reads.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
    """
    metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
    metrics.add_dimension("stack", settings().stack_name)
    if bucket:
        metrics.add_dimension("bucket", bucket)
    yield metrics
    metrics.flush_metrics()


def _add_counts(metrics: EphemeralMetrics, **counts: int) -> None:
    for name, count in counts.items():
        metrics.add_metric(name, MetricUnit.Count, count)


def _add_freshness(metrics: EphemeralMetrics, freshness_ms: Iterable[float]) -> None:
    """Call it first: every hundredth value of one metric ends a line, and the last line must not be empty."""
    for milliseconds in freshness_ms:
        metrics.add_metric("Freshness", MetricUnit.Milliseconds, milliseconds)


def _add_commits(metrics: EphemeralMetrics, results: Sequence[CommitResult]) -> None:
    _add_counts(
        metrics,
        Commits=sum(result.commits for result in results),
        UnchangedCommits=sum(result.unchanged for result in results),
        Conflicts=sum(result.conflicts for result in results),
    )


def _log_commits(logger: Logger, results: Sequence[CommitResult]) -> None:
    for result in results:
        logger.info(
            "committed" if result.finished else "time ran out",
            bucket=result.collection.bucket,
            collection=result.collection.prefix,
            revision=result.head and result.head.revision,
            total_files=result.head and result.head.total_files,
            attempts=result.commits + result.conflicts,
            commits=result.commits,
            unchanged=result.unchanged,
            conflicts=result.conflicts,
            observed=result.observed,
            added=result.added,
            altered=result.modified,
            removed=result.removed,
        )
