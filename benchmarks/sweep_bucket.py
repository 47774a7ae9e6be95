"""Makes the manifest of a bucket on any S3 server, in this process, with the package's own sweep.

It processes one message after the other through boto3, as the sweep function does, so it also works on a server
without events or conditional writes.
"""

import random
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import boto3

from benchmarks.yardsticks import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest.aws.clients import s3_client
from s3_manifest.aws.threads import parallel_map
from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import DEFAULT_COLLECTIONS, DEFAULT_ROOT, Collection, Location, parse_collections
from s3_manifest.manifest.jobs import Job, Sweep
from s3_manifest.manifest.model import Head, timestamp
from s3_manifest.reconcile.environment import Environment
from s3_manifest.storage import heads
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Store, iter_objects
from s3_manifest.sweep.jobs import run_job

BUCKET = "bench"
COLLECTIONS = parse_collections(DEFAULT_COLLECTIONS, DEFAULT_ROOT, BUCKET)
_SECONDS = 900.0


def sweep_bucket(endpoint: str, collection: Collection) -> Head:
    """Sweeps the collection until its manifest is complete, and checks its totals with a listing."""
    (head,) = sweep_collections(endpoint, [collection])
    return head


def sweep_collections(endpoint: str, collections: Iterable[Collection]) -> list[Head]:
    """As ``sweep_bucket``, for several: a connection to the server takes longer than the sweep of a small one."""
    session = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)
    reads = s3_client(endpoint, session=session)
    store = S3Store(BUCKET, reads, s3_client(endpoint, retries=False, session=session))
    swept = list(collections)
    jobs: deque[Job] = deque(Sweep(kind=collection.kind, id=collection.id) for collection in swept)
    environment = Environment(
        stores={BUCKET: store},
        subscribed_at=lambda _collection: None,
        collections=COLLECTIONS,
        location=Location(REGION),
        md5_max_bytes=0,
        history_days=30,
        enqueue=lambda more, delay_seconds=0: jobs.extend(more),  # noqa: ARG005  # no event is under way
        announce=_ignore,
        parallel_map=parallel_map,
        now=lambda: timestamp(datetime.now(UTC)),
        seconds_left=lambda: _SECONDS,
        sleep=time.sleep,
        random=random.random,
        commit_id=lambda: uuid.uuid4().hex,
    )
    while jobs:
        run_job(environment, jobs.popleft(), _SECONDS / 2)
    return [_complete_head(store, collection) for collection in swept]


def _complete_head(store: Store, collection: Collection) -> Head:
    head = heads.load(store, collection).head
    assert head
    assert head.complete
    sizes = [item.size for item in iter_objects(store, collection.prefix)]
    assert (head.total_files, head.total_size_bytes) == (len(sizes), sum(sizes))
    return head


def _ignore(_head: Head, _changes: Sequence[FileChange], *, repeated: bool) -> None:
    del repeated
