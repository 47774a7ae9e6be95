"""What the functions tell operators of commits: log lines, and metrics in CloudWatch's embedded format."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from s3_manifest.aws.settings import settings
from s3_manifest.reconcile.commit import CommitResult

NAMESPACE = "S3Manifest"


@contextmanager
def metrics(service: str) -> Iterator[EphemeralMetrics]:
    """Metrics of one invocation, told of this function of this stack when the block ends.

    They are a line of the log, which CloudWatch reads: no request is made for them.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
    """
    told = EphemeralMetrics(namespace=NAMESPACE, service=service)
    told.add_dimension("stack", settings().stack_name)
    yield told
    told.flush_metrics()


def count_commits(told: EphemeralMetrics, results: Iterable[CommitResult]) -> None:
    """The commits, those that changed nothing, and the attempts that were lost."""
    made = list(results)
    told.add_metric("Commits", MetricUnit.Count, sum(outcome.commits for outcome in made))
    told.add_metric("UnchangedCommits", MetricUnit.Count, sum(outcome.unchanged for outcome in made))
    told.add_metric("Conflicts", MetricUnit.Count, sum(outcome.conflicts for outcome in made))


def log_commit(logger: Logger, outcome: CommitResult) -> None:
    """One line for each collection that was committed to."""
    logger.info(
        "committed" if outcome.finished else "time ran out",
        collection=outcome.collection.prefix,
        revision=outcome.head and outcome.head.revision,
        total_files=outcome.head and outcome.head.total_files,
        attempts=outcome.commits + outcome.conflicts,
        commits=outcome.commits,
        unchanged=outcome.unchanged,
        conflicts=outcome.conflicts,
        observed=outcome.observed,
        added=outcome.added,
        altered=outcome.modified,
        removed=outcome.removed,
    )
