"""The real world, from the settings: S3, SQS and EventBridge through boto3, threads, the clock and chance."""

import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from s3_manifest.aws import messaging
from s3_manifest.aws.clients import events_client, s3_client, sqs_client
from s3_manifest.aws.settings import settings
from s3_manifest.aws.threads import each
from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collections, parse_collections
from s3_manifest.manifest.jobs import Job
from s3_manifest.manifest.model import Head, timestamp
from s3_manifest.query.waiting import Clock
from s3_manifest.reconcile.announcements import announcement, eventbridge_entry
from s3_manifest.reconcile.drain import ChangeQueue
from s3_manifest.reconcile.environment import Environment
from s3_manifest.storage.s3 import S3Store

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_sqs.client import SQSClient

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


def clock() -> Clock:
    """How time passes for whoever waits."""
    return Clock(time.monotonic, time.sleep)


def environment(seconds_left: Callable[[], float]) -> Environment:
    """What reconciling and sweeping need; ``seconds_left`` is what remains of this invocation."""
    return Environment(
        store=store(),
        collections=collections(),
        location=settings().location,
        md5_max_bytes=settings().md5_max_bytes,
        history_days=settings().history_days,
        enqueue=enqueue,
        announce=announce,
        each=each,
        now=lambda: timestamp(datetime.now(UTC)),
        seconds_left=seconds_left,
        sleep=time.sleep,
        random=random.random,
        commit_id=lambda: uuid.uuid4().hex,
    )


def announce(head: Head, alterations: Sequence[FileChange], *, repeated: bool) -> None:
    """See ``environment.Announce``: on the bus of the settings; does nothing where there is none. From any thread."""
    if bus := settings().event_bus:
        messaging.put_event(_events(), eventbridge_entry(announcement(head, alterations, repeated=repeated), bus))


def enqueue(jobs: Iterable[Job], delay_seconds: int = 0) -> None:
    """See ``environment.Enqueue``: in the sweep queue of the settings. From any thread.

    Where it raises, some of the jobs may be in the queue, and all have to be sent again.
    """
    messaging.send_jobs(_sqs(), settings().sweep_queue_url, jobs, delay_seconds)


def queue() -> ChangeQueue | None:
    """The change queue of the settings; None where a function was given none."""
    if url := settings().change_queue_url:
        return ChangeQueue(
            receive=lambda: messaging.receive(_sqs(), url),
            delete=lambda messages: messaging.delete(_sqs(), url, messages),
        )
    return None


@cache
def _events() -> "EventBridgeClient":
    with _MAKING_A_CLIENT:
        return events_client(settings().endpoint)


@cache
def _sqs() -> "SQSClient":
    with _MAKING_A_CLIENT:
        return sqs_client(settings().endpoint)
