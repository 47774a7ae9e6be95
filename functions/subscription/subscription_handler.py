"""CloudFormation custom resource: has the changes of the bucket's collections sent to the change queue.

S3 knows one notification configuration per bucket, written as a whole, so ours is merged into
whatever is there. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import time
from functools import cache
from typing import Any
from urllib.request import Request, urlopen

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic_core import to_json

from s3_manifest.aws.clients import events_client, s3_client, sqs_client
from s3_manifest.aws.settings import settings
from s3_manifest.subscription import custom_resource
from s3_manifest.subscription.retrying import RetryPolicy

logger = Logger(service="subscription")

# The whole answer must not be larger than 4096 bytes, and a character may be four of them.
_MAX_REASON = 700
_ANSWER_ATTEMPTS = 3


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Applies the request and answers CloudFormation, whatever happens in between.

    The bucket is the physical id: a stack that moves to another one is unsubscribed from the first.
    """
    answer = {
        "Status": "SUCCESS",
        "PhysicalResourceId": custom_resource.physical_id(event),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    try:
        answer["PhysicalResourceId"] = custom_resource.carry_out(event, _environment(context))
    except Exception as error:
        # Whatever it was: CloudFormation waits until ServiceTimeout for an answer that does not come.
        logger.exception("failed")
        answer |= {
            "Status": "FAILED",
            "Reason": f"{str(error)[:_MAX_REASON]} (see log stream {context.log_stream_name})",
        }
    _deliver(event["ResponseURL"], to_json(answer))


def _environment(context: LambdaContext) -> custom_resource.Environment:
    endpoint = settings().endpoint
    return custom_resource.Environment(
        # One attempt a request: what fails is repeated with the whole of its read, change and write.
        s3=s3_client(endpoint, retries=False),
        sqs=sqs_client(endpoint),
        events=cache(lambda: events_client(endpoint)),
        sweep_queue_url=settings().sweep_queue_url,
        retry_policy=RetryPolicy(time.sleep, lambda: context.get_remaining_time_in_millis() / 1000),
        warn=logger.warning,
    )


def _deliver(url: str, body: bytes) -> None:
    """Sends the answer; a lost one would have CloudFormation wait until its timeout."""
    for attempt in range(1, _ANSWER_ATTEMPTS + 1):
        try:
            # The URL is signed for a request without a content type.
            urlopen(Request(url, data=body, method="PUT", headers={"Content-Type": ""}), timeout=10).close()
        except OSError:
            if attempt == _ANSWER_ATTEMPTS:
                raise
            logger.exception("the answer was not delivered")
            time.sleep(attempt)
        else:
            return
