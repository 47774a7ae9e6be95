"""Logs commits, and counts them as metrics in CloudWatch's embedded format."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from s3_manifest.aws.settings import settings
from s3_manifest.reconcile.commit import CommitResult

NAMESPACE = "S3Manifest"


@contextmanager
def metrics(service: str) -> Iterator[EphemeralMetrics]:
    """Collects the metrics of one invocation, and writes them as one log line when the block ends.

    CloudWatch reads metrics from that line; no request is sent.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
    """
    collector = EphemeralMetrics(namespace=NAMESPACE, service=service)
    collector.add_dimension("stack", settings().stack_name)
    yield collector
    collector.flush_metrics()


def count_commits(collector: EphemeralMetrics, results: Iterable[CommitResult]) -> None:
    """Counts commits, commits without a change, and conflicts."""
    commits = list(results)
    collector.add_metric("Commits", MetricUnit.Count, sum(result.commits for result in commits))
    collector.add_metric("UnchangedCommits", MetricUnit.Count, sum(result.unchanged for result in commits))
    collector.add_metric("Conflicts", MetricUnit.Count, sum(result.conflicts for result in commits))


def log_commit(logger: Logger, result: CommitResult) -> None:
    """Logs the commits to one collection."""
    logger.info(
        "committed" if result.finished else "time ran out",
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
