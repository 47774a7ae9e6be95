"""Which request about a bucket's subscription is the latest: an earlier one that still runs must not win.

CloudFormation does not wait for the function. When another resource fails or the user cancels, it sends Delete, or
the Update back, while a Create or Update may still be retrying. Each request therefore leaves its name at a place
that all of them see, a tag of the change queue: it belongs to the stack, and nothing stays behind in the bucket. A
request that finds another's name there has been superseded. It asks after its last write too: whoever came later
either read that write, or is found by that question.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

_TAG = "s3-manifest:request:"


def enter(client: "SQSClient", queue_arn: str, bucket: str, request: str, warn: Callable[[str], None]) -> None:
    """Leaves the name of a request about the bucket, which thereby is the latest.

    Where that cannot be done (the queue is gone, or the role may not), requests are not ordered: none waits for it.
    """
    try:
        client.tag_queue(QueueUrl=_url(client, queue_arn), Tags={_TAG + bucket: request})
    except (ClientError, BotoCoreError) as error:
        warn(f"requests are not ordered: {error}")


def latest(client: "SQSClient", queue_arn: str, bucket: str, warn: Callable[[str], None]) -> str | None:
    """The name of the latest request about the bucket; None if it is not known."""
    try:
        return client.list_queue_tags(QueueUrl=_url(client, queue_arn)).get("Tags", {}).get(_TAG + bucket)
    except (ClientError, BotoCoreError) as error:
        warn(f"requests are not ordered: {error}")
        return None


def _url(client: "SQSClient", queue_arn: str) -> str:
    *_, account, name = queue_arn.split(":")
    return client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
