"""Lambda: S3 notifications in, manifests up to date."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic_core import to_json

from s3_manifest import runtime
from s3_manifest.reconcile import Message, Report, reconcile

logger = Logger(service="reconcile")


class ReconcileFailed(Exception):
    """A bare event could not be reconciled; S3 or SNS delivers it again."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes a batch from SQS, a bare S3 notification, or an SNS event.

    Answers ``{"batchItemFailures": [{"itemIdentifier": …}]}``: those messages are delivered again.
    Raises ``ReconcileFailed`` for an event that did not come from a queue.
    """
    queued, messages = _messages(event)
    # A backfill gives way at half time, so that it never delays the answer about its batch for long.
    half_time = context.get_remaining_time_in_millis() / 2000
    world = runtime.world(lambda: context.get_remaining_time_in_millis() / 1000)
    report = reconcile(world, messages, pause_with_seconds_left=half_time)
    _log(report)
    if report.failed and not queued:
        raise ReconcileFailed("; ".join(sorted(set(report.failed.values()))))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in report.failed]}


def _messages(event: dict[str, Any]) -> tuple[bool, list[Message]]:
    records = event.get("Records")
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], dict) else {}
    if records and first.get("eventSource") == "aws:sqs":
        return True, [
            Message(
                record["messageId"],
                record["body"],
                runtime.BACKFILL_ATTRIBUTE in (record.get("messageAttributes") or ()),
            )
            for record in records
        ]
    if records and first.get("EventSource") == "aws:sns":
        return False, [Message(record["Sns"]["MessageId"], record["Sns"]["Message"]) for record in records]
    return False, [Message("event", to_json(event).decode())]


def _log(report: Report) -> None:
    for message_id, reason in report.dropped:
        logger.info("dropped", message_id=message_id, reason=reason)
    for message_id, reason in report.failed.items():
        logger.error("failed", message_id=message_id, reason=reason)
    for crash in report.crashes:
        logger.error("crashed", exc_info=crash)
    for outcome in report.outcomes:
        logger.info(
            "committed" if outcome.finished else "time ran out",
            collection=outcome.collection.prefix,
            revision=outcome.head and outcome.head.revision,
            total_files=outcome.head and outcome.head.total_files,
            commits=outcome.commits,
            unchanged=outcome.unchanged,
            conflicts=outcome.conflicts,
            observed=outcome.observed,
        )
    for progress in report.backfills:
        logger.info("backfilled", looked_at=progress.looked_at, finished=progress.finished)
