"""AWS clients; the only module of the layer that imports boto3."""

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
    """Returns an S3 client with the session's region and credentials, or boto3's defaults.

    ``retries=False`` is for conditional writes: a retry after a lost response would conflict with its own success.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5 if retries else 1},
        # Explicit, so that presigned URLs use SigV4 and the region's endpoint. The global endpoint redirects requests
        # for a new bucket to another host, for which the signature is invalid.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
        s3={"addressing_style": "path" if endpoint else "virtual"},
        signature_version="s3v4",
        **_TIMEOUTS,
    )
    client = (session or boto3).client("s3", endpoint_url=endpoint, config=config)
    client.meta.events.register("before-parse.s3.GetObject", _without_body)
    return client


def _without_body(response_dict: dict[str, Any], **_: object) -> None:
    # Some servers send a checksum with a 304, which makes botocore parse the missing body and fail:
    # https://github.com/boto/boto3/issues/4765
    if response_dict["status_code"] == 304:
        response_dict["body"] = b""


def sqs_client(endpoint: str | None = None, *, session: boto3.Session | None = None) -> "SQSClient":
    """Returns an SQS client; see ``s3_client``."""
    config = Config(retries={"mode": "standard"}, **_TIMEOUTS)
    return (session or boto3).client("sqs", endpoint_url=endpoint, config=config)


def events_client(endpoint: str | None = None) -> "EventBridgeClient":
    """Returns an EventBridge client; see ``s3_client``."""
    return boto3.client("events", endpoint_url=endpoint, config=Config(retries={"mode": "standard"}, **_TIMEOUTS))
