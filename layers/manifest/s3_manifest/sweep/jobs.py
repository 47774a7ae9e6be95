"""Runs the jobs of the sweep queue."""

import heapq
from collections.abc import Callable, Iterator
from itertools import chain, groupby, islice

from s3_manifest.manifest.collections import IdTooLong, Pattern
from s3_manifest.manifest.jobs import Job, Sweep, SweepAll
from s3_manifest.reconcile.environment import Environment
from s3_manifest.storage.store import Store, iter_folders
from s3_manifest.sweep.result import SweepResult
from s3_manifest.sweep.sweep import CollectionSweep

_JOBS_PER_REQUEST = 100


def run_job(
    environment: Environment,
    job: Job,
    pause_with_seconds_left: float,
    *,
    repeated: bool = False,
    result: SweepResult | None = None,
) -> SweepResult:
    """Runs a job, or as much of it as time allows, and enqueues the remainder.

    ``repeated``: the message was delivered before. ``result``, if given, is filled in as the work proceeds, so that it
    shows what was done even if this raises. Raises ``SweepFailed``, ``UnreadableManifest``, ``StoreError``: the message
    must then be delivered again.
    """
    result = SweepResult() if result is None else result

    def is_time_short() -> bool:
        return environment.seconds_left() < pause_with_seconds_left

    if isinstance(job, SweepAll):
        _enqueue_sweeps(environment, job, result, is_time_short)
        return result
    collection = result.collection = environment.collections.lookup(job.kind, job.id)
    if collection:
        CollectionSweep(environment, collection, result, is_time_short).run(job, repeated=repeated)
        return result
    result.finished = True  # no longer configured, or its id is too long
    try:
        environment.collections.check_id(job.kind, job.id)
    except IdTooLong as error:
        result.skipped = f"{job.kind}/{job.id}: {error}"
    return result


def _enqueue_sweeps(
    environment: Environment, job: SweepAll, result: SweepResult, is_time_short: Callable[[], bool]
) -> None:
    """Enqueues a sweep of each collection from where ``job`` begins, and a job for the remainder if time runs short.

    Each of several buckets gets a job of its own, so that one that cannot be read does not hold up the others.
    """
    buckets = environment.collections.buckets
    if not job.bucket and len(buckets) > 1:
        environment.enqueue([SweepAll(bucket=bucket) for bucket in buckets])
        result.enqueued, result.finished = len(buckets), True
        return
    for pattern in sorted(environment.collections.patterns):
        if pattern.kind < job.kind or pattern.bucket != (job.bucket or pattern.bucket):
            continue
        after = job.after if pattern.kind == job.kind else ""
        ids = collection_ids(environment.stores[pattern.bucket], environment.collections.root, pattern, after)
        while jobs := [Sweep(kind=pattern.kind, id=id_) for id_ in islice(ids, _JOBS_PER_REQUEST)]:
            environment.enqueue(jobs)
            result.enqueued += len(jobs)
            if is_time_short():
                environment.enqueue([SweepAll(bucket=job.bucket, kind=pattern.kind, after=jobs[-1].id)])
                return
    result.finished = True


def collection_ids(store: Store, root: str, pattern: Pattern, after: str = "") -> Iterator[str]:
    """The ids of one kind in order: those with objects in S3 and those with a manifest."""
    places = (pattern.before, root + pattern.before)
    folders = heapq.merge(*(chain.from_iterable(iter_folders(store, prefix, after)) for prefix in places))
    return (folder.removesuffix("/") for folder, _ in groupby(folders) if folder != "/")
