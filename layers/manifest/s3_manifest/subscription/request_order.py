"""The order of CloudFormation's requests, in tags of the change queue.

CloudFormation does not wait for the function: when another resource fails or the user cancels, it sends Delete, or the
Update back, while a Create or Update may still be retrying. Each request therefore stores its name where all of them
see it, in one tag per bucket of the change queue, which belongs to the stack and leaves nothing behind in the buckets.
A request that finds another name there has been superseded. It also checks after its last write: a later request has
either read that write, or is found by this check. Without the queue, or permission to tag it, requests are not
ordered; they warn and carry on.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

T = TypeVar("T")

_TAG = "s3-manifest:request:"


class RequestOrder(NamedTuple):
    """The requests that use one change queue; without ``queue_arn`` they are not ordered."""

    sqs: "SQSClient"
    queue_arn: str
    warn: Callable[[str], None]

    def register(self, request: str, buckets: Iterable[str]) -> None:
        """Makes this request the latest one about these buckets."""
        tags = {_TAG + bucket: request for bucket in buckets}
        if tags:
            self._send(lambda url: self.sqs.tag_queue(QueueUrl=url, Tags=tags))

    def latest(self, bucket: str) -> str | None:
        """Returns the name of the latest request about a bucket; None: unknown."""
        response = self._send(lambda url: self.sqs.list_queue_tags(QueueUrl=url))
        return response.get("Tags", {}).get(_TAG + bucket) if response else None

    def _send(self, send: Callable[[str], T]) -> T | None:
        if not self.queue_arn:
            return None
        *_, account, name = self.queue_arn.split(":")
        try:
            return send(self.sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"])
        except (ClientError, BotoCoreError) as error:
            self.warn(f"requests are not ordered: {error}")
            return None
