"""The real world, from the settings: S3, SQS and EventBridge through boto3, threads, the clock and chance."""

import random
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from s3_manifest import outbox
from s3_manifest.announcements import Announcement, event
from s3_manifest.aws import events_client, s3_client, sqs_client
from s3_manifest.collections import Collections, parse_collections
from s3_manifest.jobs import Job
from s3_manifest.model import timestamp
from s3_manifest.s3 import S3Store
from s3_manifest.settings import settings
from s3_manifest.threads import each
from s3_manifest.world import Backfill, World

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_sqs.client import SQSClient

BACKFILL_ATTRIBUTE = "s3-manifest"
"""The SQS message attribute that tells our own requests from what S3 and SNS send."""

# The head that a backfill is for is written just after it is asked for.
_BACKFILL_DELAY_SECONDS = 5

# boto3 makes one client at a time: https://docs.aws.amazon.com/boto3/latest/guide/clients.html#caveats
_MAKING_A_CLIENT = Lock()


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


def announce(announcement: Announcement) -> None:
    """Puts it on the bus of the settings; does nothing where there is none. From any thread.

    Raises ``AnnouncementFailed``: then it is not sure that it was put there, and has to be again.
    """
    if bus := settings().event_bus:
        outbox.put_event(_events(), event(announcement, bus))


def enqueue(jobs: Iterable[Job], *, delay_seconds: int = 0) -> None:
    """Sends the jobs to the sweep queue, which hands them out after the delay (at most 900). From any thread.

    Raises ``JobsNotQueued``: then some of them may be in the queue, and all have to be sent again.
    """
    outbox.send_jobs(_sqs(), settings().sweep_queue_url, jobs, delay_seconds)


@cache
def _events() -> "EventBridgeClient":
    with _MAKING_A_CLIENT:
        return events_client(settings().endpoint)


@cache
def _sqs() -> "SQSClient":
    with _MAKING_A_CLIENT:
        return sqs_client(settings().endpoint)


def _ask(request: Backfill) -> None:
    sqs_client(settings().endpoint).send_message(
        QueueUrl=settings().change_queue_url,
        MessageBody=request.model_dump_json(),
        DelaySeconds=_BACKFILL_DELAY_SECONDS,
        MessageAttributes={BACKFILL_ATTRIBUTE: {"DataType": "String", "StringValue": "backfill"}},
    )
