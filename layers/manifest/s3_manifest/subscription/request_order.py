"""Orders the requests about a bucket's subscription, so that an earlier one that still runs does not win.

CloudFormation does not wait for the function: when another resource fails or the user cancels, it sends Delete, or the
Update back, while a Create or Update may still be retrying. Each request therefore stores its name where all of them
see it, in a tag of the change queue, which belongs to the stack and leaves nothing behind in the bucket. A request
that finds another name there has been superseded. It also checks after its last write: a later request has either
read that write, or is found by this check.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

_TAG = "s3-manifest:request:"


class RequestOrder(NamedTuple):
    """The order of the requests about one bucket.

    Without the queue, or permission to tag it, requests are not ordered; they warn and carry on.
    """

    client: "SQSClient"
    queue_arn: str
    bucket: str
    warn: Callable[[str], None]

    def register(self, request: str) -> None:
        """Makes a request the latest one."""
        try:
            self.client.tag_queue(QueueUrl=self._url(), Tags={_TAG + self.bucket: request})
        except (ClientError, BotoCoreError) as error:
            self.warn(f"requests are not ordered: {error}")

    def latest(self) -> str | None:
        """Returns the name of the latest request; None: unknown."""
        try:
            tags = self.client.list_queue_tags(QueueUrl=self._url()).get("Tags", {})
        except (ClientError, BotoCoreError) as error:
            self.warn(f"requests are not ordered: {error}")
            return None
        return tags.get(_TAG + self.bucket)

    def _url(self) -> str:
        *_, account, name = self.queue_arn.split(":")
        return self.client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
