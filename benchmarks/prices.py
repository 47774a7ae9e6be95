"""What a month costs, from what a model counted. List prices of us-east-1 in 2026, without free tiers.

https://aws.amazon.com/s3/pricing/ https://aws.amazon.com/sqs/pricing/ https://aws.amazon.com/lambda/pricing/
https://aws.amazon.com/eventbridge/pricing/ https://aws.amazon.com/cloudwatch/pricing/
https://aws.amazon.com/api-gateway/pricing/
S3, SQS and Lambda charge nothing for traffic among them in one region. A ReceiveMessage that finds nothing is billed
like any other: https://repost.aws/knowledge-center/sqs-high-charges
"""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.lambda_queue import Usage

S3_READ = 0.40e-6
"""A GET or HEAD, in dollars."""
S3_WRITE = 5.00e-6
"""A PUT or LIST."""
S3_GB_MONTH = 0.023
SQS_REQUEST = 0.40e-6
"""Standard queue; up to 64 KB are one request."""
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = {"x86_64": 16.6667e-6, "arm64": 13.3334e-6}
"""By architecture."""
EVENTBRIDGE_EVENT = 1.00e-6
"""A custom event of up to 64 KB: one for each commit that raises a revision, if they are announced."""

HTTP_REQUEST = 1.00e-6
"""To an HTTP API."""
LOG_GB, LOG_GB_MONTH = 0.50, 0.03
"""Of CloudWatch logs, written and kept."""
CUSTOM_METRIC, ALARM, DASHBOARD = 0.30, 0.10, 3.00
"""A month."""

MONTH_SECONDS = 30 * 86_400
OLD_VERSION_DAYS = 1.5
"""How long a replaced head is kept on average: lifecycle rules count whole days, from midnight."""


class Used(NamedTuple):
    """What was counted in ``seconds`` of steady load."""

    seconds: float
    requests: Mapping[str, int]
    sent: int
    """Bytes written to S3."""
    queue: Usage
    memory_mb: int
    announced: int
    """Revisions."""
    architecture: str = "arm64"


def month(used: Used) -> dict[str, float]:
    """Dollars a month, item by item, if it goes on like that."""
    times = MONTH_SECONDS / used.seconds
    gb_seconds = used.queue.busy_seconds * used.memory_mb / 1024
    gb_kept = used.sent / used.seconds * OLD_VERSION_DAYS * 86_400 / 1e9
    return {
        "S3 HEAD": times * used.requests.get("HEAD", 0) * S3_READ,
        "S3 GET": times * used.requests.get("GET", 0) * S3_READ,
        "S3 PUT": times * used.requests.get("PUT", 0) * S3_WRITE,
        "S3 LIST": times * used.requests.get("LIST", 0) * S3_WRITE,
        "S3 storage of replaced manifests": gb_kept * S3_GB_MONTH,
        "SQS requests": times * used.queue.sqs_requests * SQS_REQUEST,
        "Lambda requests": times * used.queue.invocations * LAMBDA_REQUEST,
        "Lambda GB-seconds": times * gb_seconds * LAMBDA_GB_SECOND[used.architecture],
        "EventBridge events (AnnounceChanges)": times * used.announced * EVENTBRIDGE_EVENT,
    }
