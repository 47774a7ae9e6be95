"""The change queue, through boto3: messages received and deleted by the function itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from s3_manifest.reconcile.drain import RECEIVE_MESSAGES, QueueFailed
from s3_manifest.reconcile.reconcile import Message
from s3_manifest.storage.aws_faults import AWS_FAULTS

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef


def receive(client: "SQSClient", queue_url: str) -> list[Message]:
    """Up to ten messages, without waiting for any. Raises ``QueueFailed``."""
    try:
        answer = client.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=RECEIVE_MESSAGES,
            WaitTimeSeconds=0,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
    except AWS_FAULTS as fault:
        raise QueueFailed(f"{queue_url}: no messages received: {fault}") from fault
    return [_message(received) for received in answer.get("Messages", ())]


def delete(client: "SQSClient", queue_url: str, messages: Sequence[Message]) -> None:
    """Deletes up to ten messages; a repeat does nothing. Raises ``QueueFailed``; some may be deleted then."""
    try:
        answer = client.delete_message_batch(
            QueueUrl=queue_url,
            Entries=[{"Id": str(n), "ReceiptHandle": message.receipt} for n, message in enumerate(messages)],
        )
    except AWS_FAULTS as fault:
        raise QueueFailed(f"{queue_url}: {len(messages)} messages not deleted: {fault}") from fault
    # SQS answers 200 to a batch of which it deleted a part.
    if failed := answer.get("Failed", ()):
        reason = f"{failed[0]['Code']}: {failed[0].get('Message', '')}"
        raise QueueFailed(f"{queue_url}: {len(failed)} messages not deleted: {reason}")


def _message(received: "MessageTypeDef") -> Message:
    # Without a count it may be any delivery.
    receives = int(received.get("Attributes", {}).get("ApproximateReceiveCount", 2))
    return Message(received["MessageId"], received["Body"], receives, received["ReceiptHandle"])
