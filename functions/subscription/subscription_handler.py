"""CloudFormation custom resource: subscribes the change queue to the changes of the collections in all buckets.

A bucket has one notification configuration, which is written as a whole, so this stack's part is merged into it.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import time
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.request import Request, urlopen

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic_core import to_json

from s3_manifest.aws.clients import events_client, s3_client, sqs_client
from s3_manifest.aws.settings import settings
from s3_manifest.aws.threads import parallel_map
from s3_manifest.manifest.model import timestamp
from s3_manifest.storage.s3 import S3Store
from s3_manifest.subscription import custom_resource
from s3_manifest.subscription.retrying import RetryPolicy
from s3_manifest.subscription.services import Services

logger = Logger(service="subscription")

# The whole response may have 4096 bytes, and a character up to four.
_MAX_REASON = 700
_RESPONSE_ATTEMPTS = 3


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Carries out the request and always responds to CloudFormation."""
    response = {
        "Status": "SUCCESS",
        "PhysicalResourceId": custom_resource.physical_id(event),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    try:
        custom_resource.handle(event, _services(context))
    except Exception as error:
        # Without a response CloudFormation waits until ServiceTimeout.
        logger.exception("failed")
        response |= {
            "Status": "FAILED",
            "Reason": f"{str(error)[:_MAX_REASON]} (see log stream {context.log_stream_name})",
        }
    _deliver(event["ResponseURL"], to_json(response))


def _services(context: LambdaContext) -> Services:
    endpoint = settings().endpoint
    # Without retries: a failed request is retried together with its read, change and write.
    s3 = s3_client(endpoint, retries=False)
    return Services(
        s3=s3,
        sqs=sqs_client(endpoint),
        events=cache(lambda: events_client(endpoint)),
        store=lambda bucket: S3Store(bucket, s3, s3),
        sweep_queue_url=settings().sweep_queue_url,
        retry_policy=RetryPolicy(time.sleep, lambda: context.get_remaining_time_in_millis() / 1000),
        parallel_map=parallel_map,
        now=lambda: timestamp(datetime.now(UTC)),
        warn=logger.warning,
    )


def _deliver(url: str, body: bytes) -> None:
    """Sends the response, with retries: CloudFormation waits for a lost one until its timeout."""
    for attempt in range(1, _RESPONSE_ATTEMPTS + 1):
        try:
            # The URL is signed for a request without a content type.
            urlopen(Request(url, data=body, method="PUT", headers={"Content-Type": ""}), timeout=10).close()
        except OSError:
            if attempt == _RESPONSE_ATTEMPTS:
                raise
            logger.exception("response not delivered")
            time.sleep(attempt)
        else:
            return
