"""Lambda: brings manifests up to date with S3 event notifications."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic_core import to_json

from s3_manifest.aws import runtime
from s3_manifest.aws.messaging import receives
from s3_manifest.aws.telemetry import report_batch
from s3_manifest.reconcile.drain import reconcile_and_drain
from s3_manifest.reconcile.reconcile import Message, reconcile

logger = Logger(service="reconcile")


class ReconcileFailed(Exception):
    """An event that came from no queue failed; S3 or SNS delivers it again."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Processes a batch from SQS, or a bare S3 notification, SNS event or EventBridge event.

    After a full batch from SQS the function drains the queue and deletes the drained messages after the commit.
    Returns ``{"batchItemFailures": [{"itemIdentifier": …}]}``: SQS delivers those messages again. Raises
    ``ReconcileFailed`` for an event that came from no queue.
    """
    is_queued, messages = _messages(event)
    environment = runtime.environment(lambda: context.get_remaining_time_in_millis() / 1000)
    queue = runtime.queue() if is_queued else None
    batch = reconcile_and_drain(environment, queue, messages) if queue else reconcile(environment, messages)
    report_batch(logger, batch)
    if batch.failed and not is_queued:
        raise ReconcileFailed("; ".join(sorted(set(batch.failed.values()))))
    # Report only messages of this event: an id that the event source does not know fails the whole batch.
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    failed = [message.id for message in messages if message.id in batch.failed]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _messages(event: dict[str, Any]) -> tuple[bool, list[Message]]:
    """Whether the event came from SQS, and its messages."""
    records = event.get("Records")
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], dict) else {}
    if records and first.get("eventSource") == "aws:sqs":
        return True, [
            Message(record["messageId"], record["body"], receives(record.get("attributes", {}))) for record in records
        ]
    # Other sources do not count deliveries, so each may be a repeat.
    if records and first.get("EventSource") == "aws:sns":
        return False, [Message(record["Sns"]["MessageId"], record["Sns"]["Message"], 2) for record in records]
    return False, [Message("event", to_json(event).decode(), 2)]
