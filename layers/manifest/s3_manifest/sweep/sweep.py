"""Compares one collection with S3 and observes what differs through ordinary commits.

A sweep is a chain of queue messages. Each continues where the previous one stopped, because time ran short or because
differences have to be observed first. If one dies at any point, the queue delivers it again; at worst some work is
repeated.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import Progress, Sweep
from s3_manifest.manifest.model import SWEEP, Head, UnreadableManifest
from s3_manifest.reconcile.commit import commit
from s3_manifest.reconcile.result import CommitResult, Verification
from s3_manifest.storage.heads import has_objects
from s3_manifest.storage.snapshot import BrokenObjects, Snapshot
from s3_manifest.storage.store import Archived, Conflict
from s3_manifest.sweep.compare import Comparer, just_after, split_slots
from s3_manifest.sweep.garbage import collect_garbage
from s3_manifest.sweep.recovery import Recovery, back_up_unreadable
from s3_manifest.sweep.result import SweepFailed

RECHECK_SECONDS = 60
"""Delay before differences are observed, so that events on their way arrive first: what still differs is drift."""

MAX_PENDING_BYTES, MAX_UNREADABLE_BYTES = 150_000, 100_000
"""Bytes of pending and of unreadable keys in one message. Every SQS-compatible server accepts 256 KB."""

MAX_DIFFERENT = 500
"""Differing keys after which the listing pauses until they are observed."""

MAX_UNREADABLE = 100
"""Keys that S3 refuses to describe before the sweep fails: this many indicate a missing permission."""

RANGES, MIN_PAGES, MAX_PAGES = 8, 8, 64
"""Ranges of a collection that are listed in parallel, and the pages in each: few enough to repeat if a message dies."""


@dataclass
class CollectionSweep(Recovery):
    """The part of one collection's sweep that one message of the queue does."""

    is_time_short: Callable[[], bool]

    def run(self, job: Sweep, *, repeated: bool) -> None:
        """Begins or continues the sweep. Raises as ``run_job``."""
        state = job.progress or self._begin(job, repeated=repeated)
        if isinstance(state, Progress):
            self._continue(state.model_copy(update={"unannounced": state.unannounced or repeated}))
            return
        if state and repeated:  # an earlier delivery may have died before it announced its commit
            self.environment.announce(state, (), repeated=True)
        self.result.finished = True

    def _begin(self, job: Sweep, *, repeated: bool) -> Progress | Head | None:
        """Creates or repairs the manifest if necessary; returns the head, if any, if no comparison is needed."""
        environment, collection = self.environment, self.collection
        started_at = environment.now()
        unreadable_etag = back_up_unreadable(environment, collection) if job.rebuild else None
        snapshot = environment.load(collection, unreadable_etag)
        head = snapshot.head
        if job.broken and self.repair_referenced(snapshot, job.broken, repeated=repeated):
            return head
        # A commit that creates a manifest requests the sweep before it writes the head (``created_at``).
        if head is None and (
            unreadable_etag
            or job.created_at
            or has_objects(environment.store(collection), environment.collections, collection)
        ):
            result = commit(environment, collection, {}, unreadable_etag=unreadable_etag, repeated=repeated)
            self.result.commit_results.append(result)
            if not result.finished:
                raise self.failure("time ran out before the manifest was created; the queue retries it")
            # A commit that created the manifest has observed everything, or has requested a sweep of its own.
            head = None if result.created else result.head
        is_verified = job.asked_at and head and head.complete and (head.last_verified_at or "") >= job.asked_at
        if head is None or is_verified or job.created_at not in (None, head.created_at):
            return head
        return Progress(created_at=head.created_at, started_at=started_at, first_revision=head.first_revision)

    def _continue(self, progress: Progress) -> None:
        """Lists and observes until the sweep is finished or time runs short; then enqueues the remainder."""
        environment, collection = self.environment, self.collection
        while True:
            snapshot = environment.load(collection)
            self.result.progress = progress
            if snapshot.head is None or snapshot.head.created_at != progress.created_at:
                self.result.finished = True  # a newer manifest, with a sweep of its own
                return
            progress = self._after_repair(snapshot.head, progress)
            delay = 0
            if progress.looks:
                progress = self._observe_differences(progress, is_drift=snapshot.head.complete)
            elif progress.finished_listing:
                if self._finish(progress):
                    return
            else:
                try:
                    progress = self._compare_next(snapshot, progress)
                except Conflict:
                    pass  # a page was collected after the head was read: load the newer head
                else:
                    delay = RECHECK_SECONDS if progress.looks and snapshot.head.complete else 0
            if delay or self.is_time_short():
                self.result.progress = progress = _fit_into_message(collection, progress)
                job = Sweep(kind=collection.kind, id=collection.id, progress=progress)
                environment.enqueue([job], delay_seconds=delay)
                self.result.enqueued += 1
                return

    def _after_repair(self, head: Head, progress: Progress) -> Progress:
        """The progress, restarted if a repair left out files that were compared before."""
        if progress.first_revision == head.first_revision:
            return progress
        update: dict[str, object] = {"first_revision": head.first_revision}
        if progress.first_revision is not None and not head.complete:
            update |= {"started_at": self.environment.now(), "start": "", "finished_listing": False}
        return progress.model_copy(update=update)

    def _compare_next(self, snapshot: Snapshot, progress: Progress) -> Progress:
        """Compares the next few ranges in parallel; repairs broken pages, which are then compared again."""
        if self.repair_copies(snapshot):
            return progress
        environment = self.environment
        comparer = Comparer(snapshot, environment.collections, MAX_DIFFERENT, self.is_time_short, recheck_problems=True)
        pages_each = min(MAX_PAGES, max(MIN_PAGES, -(-len(comparer.slots) // RANGES)))
        ranges = split_slots(comparer.slots, progress.start, pages_each)
        start = comparer.first_filename(ranges[RANGES].start) if len(ranges) > RANGES else None
        comparisons = environment.parallel_map(lambda within: comparer.compare(within, progress.start), ranges[:RANGES])
        if broken := [page.key for comparison in comparisons for page in comparison.broken]:
            self.repair_pages(broken)
            return progress
        differing: list[str] = []
        listed = progress.listed
        for comparison in comparisons:
            differing += comparison.keys
            listed += comparison.listed
            if comparison.resume_at is not None:
                # The next comparison finds again what the later ranges found.
                start = comparison.resume_at
                break
        update = {"looks": tuple(sorted(differing)), "listed": listed, "finished_listing": start is None}
        return progress.model_copy(update=update if start is None else update | {"start": start})

    def _observe_differences(self, progress: Progress, *, is_drift: bool) -> Progress:
        result = self._commit(progress.looks, progress)
        if result is None:
            return progress
        if not result.commits:
            raise self.failure(f"time ran out before {progress.start!r}; the queue retries it")
        if result.broken:
            pending = (*result.timed_out, *result.unreadable)
            return progress.model_copy(update={"looks": pending, "unannounced": result.unannounced})
        unreadable = (*progress.unreadable, *result.unreadable)
        if len(unreadable) > MAX_UNREADABLE or _message_bytes(unreadable) > MAX_UNREADABLE_BYTES:
            raise self._unreadable(unreadable, result)
        update = {"looks": tuple(result.timed_out), "unreadable": unreadable, "unannounced": result.unannounced}
        if is_drift:
            self.result.drifted += progress.looks
            self.result.missing += result.removed
            self.result.unexpected += result.added
            self.result.modified += result.modified
            update |= {
                "missing": progress.missing + result.removed,
                "unexpected": progress.unexpected + result.added,
                "modified": progress.modified + result.modified,
            }
        return progress.model_copy(update=update)

    def _finish(self, progress: Progress) -> bool:
        """Marks the manifest complete and verified and collects its garbage; False if a repair has to come first."""
        verification = Verification(progress.created_at, progress.started_at, progress.first_revision or 1)
        # Keys that were unreadable before get a second chance.
        result = self._commit(progress.unreadable, progress, verification)
        if result is None or result.broken:
            return False
        if result.unreadable:
            raise self._unreadable(tuple(result.unreadable), result)
        if not result.finished:
            raise self.failure("time ran out at the end of the sweep; the queue retries it")
        head = result.head
        if head and head.created_at == progress.created_at and not verification.applies_to(head):
            return False  # another worker repaired it
        self.result.finished = True
        try:
            self.result.collected = collect_garbage(self.environment, self.collection)
        except (UnreadableManifest, Archived) as error:  # a checkpoint: it expires, and its garbage with it
            self.result.garbage_error = str(error)
        return True

    def _commit(
        self, keys: Iterable[str], progress: Progress, verification: Verification | None = None
    ) -> CommitResult | None:
        """Observes keys through ordinary commits and repairs broken pages; None if nothing could be committed."""
        causes = dict.fromkeys(keys, SWEEP)
        try:
            result = commit(
                self.environment, self.collection, causes, verification=verification, repeated=progress.unannounced
            )
        except BrokenObjects as error:
            self.repair_all(error.keys)
            return None
        self.result.commit_results.append(result)
        if result.broken:
            self.repair_pages(result.broken)
        return result

    def _unreadable(self, keys: tuple[str, ...], result: CommitResult) -> SweepFailed:
        objects = "1 object" if len(keys) == 1 else f"{len(keys)} objects"
        first = next(iter(result.unreadable.values()), keys[0])
        return self.failure(f"{objects} cannot be read: {first}. Fix the cause and redrive this message")


def _fit_into_message(collection: Collection, progress: Progress) -> Progress:
    """The progress with as many pending keys as fit into a message; the next comparison finds the others again."""
    size = _message_bytes(progress.unreadable)
    for count, key in enumerate(progress.looks):
        size += _message_bytes([key])
        if count and size > MAX_PENDING_BYTES:
            pending = progress.looks[:count]
            start = just_after(collection.filename(pending[-1]))
            return progress.model_copy(update={"looks": pending, "start": start, "finished_listing": False})
    return progress


def _message_bytes(keys: Iterable[str]) -> int:
    return sum(len(json.dumps(key)) + 1 for key in keys)
