"""Puts a function together from its settings: clients, queues, threads, the clock and random numbers."""

import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from s3_manifest.aws import messaging
from s3_manifest.aws.announcements import announcement_event
from s3_manifest.aws.clients import events_client, s3_client, sqs_client
from s3_manifest.aws.settings import settings
from s3_manifest.aws.threads import parallel_map
from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collection, Collections, parse_collections
from s3_manifest.manifest.jobs import Job
from s3_manifest.manifest.model import Head, Timestamp, timestamp
from s3_manifest.query.waiting import Clock
from s3_manifest.reconcile.drain import ChangeQueue
from s3_manifest.reconcile.environment import Environment
from s3_manifest.storage import subscription_record
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.subscription_record import SubscriptionRecord

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_sqs.client import SQSClient

# A boto3 session is not thread-safe: https://docs.aws.amazon.com/boto3/latest/guide/clients.html#caveats
_CLIENT_LOCK = Lock()


@cache
def stores() -> Mapping[str, S3Store]:
    """Returns the store of each bucket. Their connections are shared, and live as long as the process."""
    endpoint = settings().endpoint
    reads, writes = s3_client(endpoint), s3_client(endpoint, retries=False)
    return {bucket: S3Store(bucket, reads, writes) for bucket in collections().buckets}


def store(collection: Collection) -> S3Store:
    """Returns the store of the collection's bucket."""
    return stores()[collection.bucket]


@cache
def collections() -> Collections:
    """Returns the kinds of collections. Raises ``InvalidCollections``."""
    return parse_collections(settings().collections, settings().manifest_root, settings().bucket)


def subscribed_at(collection: Collection) -> Timestamp | None:
    """Returns since when the collection's changes are announced, if its bucket's record has its prefix.

    See ``storage.subscription_record``. Raises ``UnreadableRecord``, ``StoreError``.
    """
    return subscription_record.subscribed_at(store(collection), collection, _subscriptions())


@cache
def _subscriptions() -> dict[str, SubscriptionRecord]:
    """The records read last, by bucket."""
    return {}


def clock() -> Clock:
    """Returns the clock for requests that wait."""
    return Clock(time.monotonic, time.sleep)


def environment(seconds_left: Callable[[], float]) -> Environment:
    """Returns what reconciling and sweeping depend on. ``seconds_left``: of this invocation."""
    return Environment(
        stores=stores(),
        subscribed_at=subscribed_at,
        collections=collections(),
        location=settings().location,
        md5_max_bytes=settings().md5_max_bytes,
        history_days=settings().history_days,
        enqueue=enqueue,
        announce=announce,
        parallel_map=parallel_map,
        now=lambda: timestamp(datetime.now(UTC)),
        seconds_left=seconds_left,
        sleep=time.sleep,
        random=random.random,
        commit_id=lambda: uuid.uuid4().hex,
    )


def announce(head: Head, changes: Sequence[FileChange], *, repeated: bool) -> None:
    """Announces a revision on the event bus, if there is one; thread-safe. See ``environment.Announce``."""
    if bus := settings().event_bus:
        messaging.put_event(_events(), announcement_event(head, changes, bus, repeated=repeated))


def enqueue(jobs: Iterable[Job], delay_seconds: int = 0) -> None:
    """Sends jobs to the sweep queue; thread-safe. See ``environment.Enqueue``.

    If it raises, some jobs may be queued; the caller sends all of them again.
    """
    messaging.send_jobs(_sqs(), settings().sweep_queue_url, jobs, delay_seconds)


def queue() -> ChangeQueue | None:
    """Returns the change queue; None: this function does not drain it."""
    if url := settings().change_queue_url:
        return ChangeQueue(
            receive=lambda: messaging.receive(_sqs(), url),
            delete=lambda messages: messaging.delete(_sqs(), url, messages),
        )
    return None


@cache
def _events() -> "EventBridgeClient":
    with _CLIENT_LOCK:
        return events_client(settings().endpoint)


@cache
def _sqs() -> "SQSClient":
    with _CLIENT_LOCK:
        return sqs_client(settings().endpoint)
