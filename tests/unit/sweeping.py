"""Sweeps from the first message to the last, through a queue in memory."""

from collections.abc import Callable
from typing import Any

from unit.environments import Harness
from unit.values import PREFIX, STYLE

from s3_manifest.manifest.jobs import Job, Sweep, decode_job, encode_job
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepResult

PAUSE = 30.0
SWEEP_STYLE = Sweep(kind=STYLE.kind, id=STYLE.id)


def names(*numbers: int) -> list[str]:
    return [f"{n:04}.jpg" for n in numbers]


def complete_harness(count: int, **more: Any) -> Harness:
    """A harness with a complete manifest of ``count`` files."""
    harness = Harness(**more)
    harness.commit(harness.upload(*names(*range(count))))
    clear_records(harness)
    return harness


def clear_records(harness: Harness) -> None:
    """Clears the recorded requests, jobs, announcements and heads."""
    for noted in (
        harness.queued_jobs,
        harness.queue_delays,
        harness.announcements,
        harness.store.requests,
        harness.store.head_keys,
        harness.store.written_heads,
    ):
        noted.clear()


def run_sweep(
    harness: Harness,
    job: Job = SWEEP_STYLE,
    left: Callable[[], Callable[[], float]] | None = None,
    *,
    repeated: bool = False,
) -> list[SweepResult]:
    """Runs a job and all jobs that follow from it; ``left`` gives the time of each message."""
    queue, done = [encode_job(job)], list[SweepResult]()
    while queue:
        if left:
            harness.seconds_left = left()
        done.append(run_job(harness.environment, decode_job(queue.pop(0)), PAUSE, repeated=repeated))
        queue += map(encode_job, harness.queued_jobs)
        harness.queued_jobs.clear()
        assert len(done) < 300, "the sweep has no end"
    return done


def drift(done: list[SweepResult]) -> tuple[int, int, int]:
    """Missing, unexpected and modified files, of all messages together."""
    return sum(s.missing for s in done), sum(s.unexpected for s in done), sum(s.modified for s in done)


def files_in_bucket(harness: Harness) -> list[tuple[str, str, str]]:
    """The names, ETags and storage classes of the collection's own files in the bucket."""
    keys = [key for key in sorted(harness.store.objects) if harness.collections.contains(STYLE, key)]
    objects = [(key.removeprefix(PREFIX), harness.store.objects[key][0]) for key in keys]
    return [
        (name, present.etag, present.storage_class)
        for name, present in objects
        if name not in SIDECARS and (present.size or not name.endswith("/"))
    ]


def files_in_manifest(harness: Harness) -> list[tuple[str, str, str]]:
    """The names, ETags and storage classes of the manifest's files."""
    return [(entry.filename, entry.etag, entry.storage_class) for entry in harness.entries()]
