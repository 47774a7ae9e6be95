"""Clients of AWS: the only module of the package that imports boto3."""

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

# The read timeout is far above S3's tail latencies and far below a function's timeout.
_TIMEOUTS: dict[str, Any] = {"connect_timeout": 3, "read_timeout": 10, "max_pool_connections": 64}


def s3_client(endpoint: str | None = None, *, retries: bool = True, session: boto3.Session | None = None) -> "S3Client":
    """A boto3 client for S3; the region and the credentials are the session's, or boto3's own defaults.

    ``retries=False`` is for conditional writes: a retry by the client after a lost answer would be
    told of a conflict with its own success.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5 if retries else 1},
        # Said, and not left to botocore: presigned URLs then name the region's endpoint instead of the global one, that
        # redirects requests for a new bucket to where their signature does not hold, and are signed with SigV4.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
        s3={"addressing_style": "path" if endpoint else "virtual"},
        signature_version="s3v4",
        **_TIMEOUTS,
    )
    client = (session or boto3).client("s3", endpoint_url=endpoint, config=config)
    client.meta.events.register("before-parse.s3.GetObject", _without_body)
    return client


def _without_body(response_dict: dict[str, Any], **_: object) -> None:
    # botocore takes the checksum that some servers send with a 304 for that of a body, and fails at parsing it:
    # https://github.com/boto/boto3/issues/4765
    if response_dict["status_code"] == 304:
        response_dict["body"] = b""


def sqs_client(endpoint: str | None = None, *, session: boto3.Session | None = None) -> "SQSClient":
    """A boto3 client for SQS, as ``s3_client``."""
    config = Config(retries={"mode": "standard"}, **_TIMEOUTS)
    return (session or boto3).client("sqs", endpoint_url=endpoint, config=config)


def events_client(endpoint: str | None = None) -> "EventBridgeClient":
    """A boto3 client for EventBridge, as ``s3_client``."""
    return boto3.client("events", endpoint_url=endpoint, config=Config(retries={"mode": "standard"}, **_TIMEOUTS))
