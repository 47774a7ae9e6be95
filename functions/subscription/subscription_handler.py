"""CloudFormation custom resource: subscribes the change queue to the bucket's collections.

S3 knows one notification configuration per bucket, written as a whole, so ours is merged into
whatever is there. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import time
from functools import partial
from typing import Any
from urllib.request import Request, urlopen

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic_core import to_json

from s3_manifest import subscription
from s3_manifest.aws import s3_client
from s3_manifest.collections import parse_collections
from s3_manifest.settings import settings

logger = Logger(service="subscription")

# The whole answer must not be larger than 4096 bytes, and a character may be four of them.
_MAX_REASON = 500


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Applies the request and tells CloudFormation how that went, whatever happens in between.

    Its properties are ``Bucket``, ``QueueArn``, ``Collections``, ``ManifestRoot`` and ``Name``. The
    bucket is the physical id: a stack that moves to another one is unsubscribed from the first.
    """
    properties = event["ResourceProperties"]
    answer = {
        "Status": "SUCCESS",
        "PhysicalResourceId": event.get("PhysicalResourceId", properties.get("Bucket", "none")),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    try:
        if event["RequestType"] == "Delete":
            _unsubscribe(event["PhysicalResourceId"], properties)
        else:
            _subscribe(properties)
            answer["PhysicalResourceId"] = properties["Bucket"]
    except Exception as error:
        # Whatever it was: CloudFormation waits an hour for an answer that does not come.
        logger.exception("failed")
        answer |= {
            "Status": "FAILED",
            "Reason": f"{str(error)[:_MAX_REASON]} (see log stream {context.log_stream_name})",
        }
    # The URL is signed for a request without a content type.
    request = Request(event["ResponseURL"], data=to_json(answer), method="PUT", headers={"Content-Type": ""})
    urlopen(request, timeout=30).close()


def _subscribe(properties: dict[str, str]) -> None:
    prefixes = parse_collections(properties["Collections"], properties["ManifestRoot"]).subscriptions()
    change = partial(
        subscription.subscribed, name=properties["Name"], queue_arn=properties["QueueArn"], prefixes=prefixes
    )
    subscription.apply(s3_client(settings().endpoint), properties["Bucket"], change, time.sleep)


def _unsubscribe(bucket: str, properties: dict[str, str]) -> None:
    client = s3_client(settings().endpoint)
    change = partial(subscription.unsubscribed, name=properties["Name"])
    try:
        subscription.apply(client, bucket, change, time.sleep)
    except client.exceptions.NoSuchBucket:
        logger.info("the bucket is gone, and its notifications with it", bucket=bucket)
