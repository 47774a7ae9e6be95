"""Monthly cost from the counts of a model. List prices of us-east-1 in 2026, without free tiers.

https://aws.amazon.com/s3/pricing/ https://aws.amazon.com/sqs/pricing/ https://aws.amazon.com/lambda/pricing/
https://aws.amazon.com/eventbridge/pricing/ https://aws.amazon.com/cloudwatch/pricing/
https://aws.amazon.com/api-gateway/pricing/
S3, SQS and Lambda charge nothing for traffic between them in one region. A ReceiveMessage that returns no message is
billed like any other: https://repost.aws/knowledge-center/sqs-high-charges
"""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.lambda_queue import Usage as QueueUsage

S3_READ = 0.40e-6
"""A GET or HEAD, in dollars."""
S3_WRITE = 5.00e-6
"""A PUT or LIST."""
S3_GB_MONTH = 0.023
SQS_REQUEST = 0.40e-6
"""Standard queue; one request per 64 KB."""
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = {"x86_64": 16.6667e-6, "arm64": 13.3334e-6}
"""By architecture."""
EVENTBRIDGE_EVENT = 1.00e-6
"""A custom event of up to 64 KB: one per commit that raises the revision, with AnnounceChanges."""

HTTP_REQUEST = 1.00e-6
"""One request to an HTTP API."""
LOG_GB, LOG_GB_MONTH = 0.50, 0.03
"""CloudWatch logs, ingested and stored."""
CUSTOM_METRIC, ALARM, DASHBOARD = 0.30, 0.10, 3.00
"""Per month."""

MONTH_SECONDS = 30 * 86_400
OLD_VERSION_DAYS = 1.5
"""How long a replaced head stays on average: lifecycle rules count whole days, from midnight."""


class Usage(NamedTuple):
    """Counts of ``seconds`` of steady load."""

    seconds: float
    requests: Mapping[str, int]
    sent: int
    """Bytes written to S3."""
    queue: QueueUsage
    memory_mb: int
    announced: int
    """Announced revisions."""
    architecture: str = "arm64"


def month(usage: Usage) -> dict[str, float]:
    """Dollars per month of this load, item by item."""
    times = MONTH_SECONDS / usage.seconds
    gb_seconds = usage.queue.busy_seconds * usage.memory_mb / 1024
    gb_stored = usage.sent / usage.seconds * OLD_VERSION_DAYS * 86_400 / 1e9
    return {
        "S3 HEAD": times * usage.requests.get("HEAD", 0) * S3_READ,
        "S3 GET": times * usage.requests.get("GET", 0) * S3_READ,
        "S3 PUT": times * usage.requests.get("PUT", 0) * S3_WRITE,
        "S3 LIST": times * usage.requests.get("LIST", 0) * S3_WRITE,
        "S3 storage of replaced manifests": gb_stored * S3_GB_MONTH,
        "SQS requests": times * usage.queue.sqs_requests * SQS_REQUEST,
        "Lambda requests": times * usage.queue.invocations * LAMBDA_REQUEST,
        "Lambda GB-seconds": times * gb_seconds * LAMBDA_GB_SECOND[usage.architecture],
        "EventBridge events (AnnounceChanges)": times * usage.announced * EVENTBRIDGE_EVENT,
    }
