"""The real world, from the settings: S3 and SQS through boto3, threads, the clock and chance."""

import random
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

from s3_manifest.aws import s3_client, sqs_client
from s3_manifest.collections import Collections, parse_collections
from s3_manifest.model import timestamp
from s3_manifest.s3 import S3Store
from s3_manifest.settings import settings
from s3_manifest.threads import each
from s3_manifest.world import Backfill, World

BACKFILL_ATTRIBUTE = "s3-manifest"
"""The SQS message attribute that tells our own requests from what S3 and SNS send."""

# The head that a backfill is for is written just after it is asked for.
_BACKFILL_DELAY_SECONDS = 5


@cache
def store() -> S3Store:
    """The bucket of the settings. Its connections are kept for the life of the process."""
    endpoint = settings().endpoint
    return S3Store(settings().bucket, s3_client(endpoint), s3_client(endpoint, retries=False))


@cache
def collections() -> Collections:
    """The collections of the settings. Raises ``InvalidCollections``."""
    return parse_collections(settings().collections, settings().manifest_root)


def world(seconds_left: Callable[[], float]) -> World:
    """What reconciling needs; ``seconds_left`` is what remains of this invocation."""
    return World(
        store=store(),
        collections=collections(),
        location=settings().location,
        md5_max_bytes=settings().md5_max_bytes,
        ask=_ask,
        each=each,
        now=lambda: timestamp(datetime.now(UTC)),
        seconds_left=seconds_left,
        sleep=time.sleep,
        random=random.random,
        commit_id=lambda: uuid.uuid4().hex,
    )


def _ask(request: Backfill) -> None:
    sqs_client(settings().endpoint).send_message(
        QueueUrl=settings().change_queue_url,
        MessageBody=request.model_dump_json(),
        DelaySeconds=_BACKFILL_DELAY_SECONDS,
        MessageAttributes={BACKFILL_ATTRIBUTE: {"DataType": "String", "StringValue": "backfill"}},
    )
