"""Sends events to EventBridge and jobs to SQS; receives and deletes the messages of the change queue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from s3_manifest.manifest.jobs import Job, JobsNotQueued, encode_job
from s3_manifest.reconcile.drain import RECEIVE_MESSAGES, QueueFailed
from s3_manifest.reconcile.environment import AnnouncementFailed
from s3_manifest.reconcile.reconcile import Message
from s3_manifest.storage.aws_errors import AWS_ERRORS

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef
    from types_boto3_sqs.client import SQSClient

# The limits of one SendMessageBatch. SQS accepts a mebibyte, SQS-compatible servers a quarter of it:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
_MAX_MESSAGES, _MAX_BYTES = 10, 262_144


def put_event(client: "EventBridgeClient", event: "PutEventsRequestEntryTypeDef") -> None:
    """Puts the event on its bus. Raises ``AnnouncementFailed``."""
    bus = event.get("EventBusName")
    try:
        response = client.put_events(Entries=[event])
    except AWS_ERRORS as fault:
        raise AnnouncementFailed(f"not announced on event bus {bus}: {fault}") from fault
    # EventBridge answers 200 to events that it rejects.
    if response["FailedEntryCount"]:
        (entry,) = response["Entries"]
        reason = f"{entry.get('ErrorCode')}: {entry.get('ErrorMessage')}"
        raise AnnouncementFailed(f"not announced on event bus {bus}: {reason}")


def send_jobs(client: "SQSClient", queue_url: str, jobs: Iterable[Job], delay_seconds: int) -> None:
    """Sends jobs in as few requests as SQS allows. Raises ``JobsNotQueued``; some may be queued then."""
    for bodies in _batches(map(encode_job, jobs)):
        try:
            response = client.send_message_batch(
                QueueUrl=queue_url,
                Entries=[
                    {"Id": str(n), "MessageBody": body, "DelaySeconds": delay_seconds} for n, body in enumerate(bodies)
                ],
            )
        except AWS_ERRORS as fault:
            raise JobsNotQueued(f"not queued in {queue_url}: {fault}") from fault
        # SQS answers 200 to a batch that it accepts in part.
        for failed in response.get("Failed", ()):
            raise JobsNotQueued(f"not queued in {queue_url}: {failed['Code']}: {failed.get('Message', '')}")


def _batches(bodies: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == _MAX_MESSAGES or size + len(body) > _MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield batch


def receives(attributes: Mapping[Any, str]) -> int:
    """How often a message was delivered, by its attributes; without a count it may have been before."""
    return int(attributes.get("ApproximateReceiveCount", 2))


def receive(client: "SQSClient", queue_url: str) -> list[Message]:
    """Returns up to ten messages, without waiting. Raises ``QueueFailed``."""
    try:
        response = client.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=RECEIVE_MESSAGES,
            WaitTimeSeconds=0,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
    except AWS_ERRORS as fault:
        raise QueueFailed(f"{queue_url}: no messages received: {fault}") from fault
    return [
        Message(item["MessageId"], item["Body"], receives(item.get("Attributes", {})), item["ReceiptHandle"])
        for item in response.get("Messages", ())
    ]


def delete(client: "SQSClient", queue_url: str, messages: Sequence[Message]) -> None:
    """Deletes up to ten messages; a repeat has no effect. Raises ``QueueFailed``; some may be deleted then."""
    try:
        response = client.delete_message_batch(
            QueueUrl=queue_url,
            Entries=[{"Id": str(n), "ReceiptHandle": message.receipt} for n, message in enumerate(messages)],
        )
    except AWS_ERRORS as fault:
        raise QueueFailed(f"{queue_url}: {len(messages)} messages not deleted: {fault}") from fault
    # SQS answers 200 to a batch that it deletes in part.
    if failed := response.get("Failed", ()):
        reason = f"{failed[0]['Code']}: {failed[0].get('Message', '')}"
        raise QueueFailed(f"{queue_url}: {len(failed)} messages not deleted: {reason}")
