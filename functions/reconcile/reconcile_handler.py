"""Lambda: S3 notifications in, manifests up to date."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic_core import to_json

from s3_manifest.aws import runtime
from s3_manifest.aws.telemetry import count_commits, log_commit, metrics
from s3_manifest.reconcile.drain import reconcile_and_drain
from s3_manifest.reconcile.reconcile import BatchResult, Message, reconcile

logger = Logger(service="reconcile")


class ReconcileFailed(Exception):
    """A bare event could not be reconciled; S3 or SNS delivers it again."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes a batch from SQS, a bare S3 notification, an SNS event, or an EventBridge event.

    A full batch from SQS is only the beginning: the function drains the queue, and deletes what it
    received itself after the commit.
    Answers ``{"batchItemFailures": [{"itemIdentifier": …}]}``: those messages are delivered again.
    Raises ``ReconcileFailed`` for an event that did not come from a queue.
    """
    queued, messages = _messages(event)
    environment = runtime.environment(lambda: context.get_remaining_time_in_millis() / 1000)
    queue = runtime.queue() if queued else None
    report = reconcile_and_drain(environment, queue, messages) if queue else reconcile(environment, messages)
    _log(report)
    _measure(report)
    if report.failed and not queued:
        raise ReconcileFailed("; ".join(sorted(set(report.failed.values()))))
    # Of its own messages only: an id that the event source does not know fails the whole batch.
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    failed = [message.id for message in messages if message.id in report.failed]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _messages(event: dict[str, Any]) -> tuple[bool, list[Message]]:
    records = event.get("Records")
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], dict) else {}
    if records and first.get("eventSource") == "aws:sqs":
        return True, [Message(record["messageId"], record["body"], _receives(record)) for record in records]
    # What is not from a queue comes without a count of its deliveries, so it may be any of them.
    if records and first.get("EventSource") == "aws:sns":
        return False, [Message(record["Sns"]["MessageId"], record["Sns"]["Message"], 2) for record in records]
    return False, [Message("event", to_json(event).decode(), 2)]


def _receives(record: dict[str, Any]) -> int:
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 2))


def _log(report: BatchResult) -> None:
    for message_id, reason in report.dropped:
        logger.info("dropped", message_id=message_id, reason=reason)
    for message_id, reason in report.failed.items():
        logger.error("failed", message_id=message_id, reason=reason, attempt=report.attempts.get(message_id))
    if report.drained:
        logger.info("drained", messages=report.drained)
    for error in report.queue_errors:
        logger.warning("queue request failed", reason=error)
    for crash in report.crashes:
        logger.error("crashed", exc_info=crash)
    for outcome in report.results:
        log_commit(logger, outcome)


def _measure(report: BatchResult) -> None:
    with metrics("reconcile") as told:
        # First: every hundredth value of one metric ends a line, and a line must not be empty at the end.
        for milliseconds in report.freshness_ms:
            told.add_metric("Freshness", MetricUnit.Milliseconds, milliseconds)
        told.add_metric("EventsReceived", MetricUnit.Count, report.received)
        told.add_metric("EventsDropped", MetricUnit.Count, len(report.dropped))
        told.add_metric("EventsFailed", MetricUnit.Count, len(report.failed))
        told.add_metric("Retries", MetricUnit.Count, report.retries)
        count_commits(told, report.results)
