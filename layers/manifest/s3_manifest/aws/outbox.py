"""What is sent, through boto3: events to EventBridge, jobs to SQS."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from s3_manifest.manifest.jobs import Job, JobsNotQueued, encode_job
from s3_manifest.reconcile.announcements import AnnouncementFailed
from s3_manifest.storage.aws_faults import AWS_FAULTS

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef
    from types_boto3_sqs.client import SQSClient

# Of one SendMessageBatch; SQS itself takes a mebibyte, SQS-compatible servers a quarter of it:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
_MAX_MESSAGES, _MAX_BYTES = 10, 262_144


def put_event(client: "EventBridgeClient", event: "PutEventsRequestEntryTypeDef") -> None:
    """Puts it on its bus. Raises ``AnnouncementFailed``."""
    bus = event.get("EventBusName")
    try:
        answer = client.put_events(Entries=[event])
    except AWS_FAULTS as fault:
        raise AnnouncementFailed(f"not announced on event bus {bus}: {fault}") from fault
    # EventBridge answers 200 to what it did not take.
    if answer["FailedEntryCount"]:
        (refused,) = answer["Entries"]
        reason = f"{refused.get('ErrorCode')}: {refused.get('ErrorMessage')}"
        raise AnnouncementFailed(f"not announced on event bus {bus}: {reason}")


def send_job(client: "SQSClient", queue_url: str, job: Job, delay_seconds: int = 0) -> None:
    """Sends one. Raises ``ClientError`` and ``BotoCoreError``: its caller knows which are worth another attempt."""
    client.send_message(QueueUrl=queue_url, MessageBody=encode_job(job), DelaySeconds=delay_seconds)


def send_jobs(client: "SQSClient", queue_url: str, jobs: Iterable[Job], delay_seconds: int) -> None:
    """Sends them all, in as few requests as SQS lets us; no jobs, no request. Raises ``JobsNotQueued``."""
    for bodies in _batches(map(encode_job, jobs)):
        try:
            answer = client.send_message_batch(
                QueueUrl=queue_url,
                Entries=[
                    {"Id": str(number), "MessageBody": body, "DelaySeconds": delay_seconds}
                    for number, body in enumerate(bodies)
                ],
            )
        except AWS_FAULTS as fault:
            raise JobsNotQueued(f"not queued in {queue_url}: {fault}") from fault
        # SQS answers 200 to a batch of which it took a part.
        for failed in answer.get("Failed", ()):
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
