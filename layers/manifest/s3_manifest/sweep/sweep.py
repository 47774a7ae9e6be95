"""Compares whole collections with S3, and has what differs looked at in the ordinary way.

A sweep is a chain of messages, each of which goes on where the one before stopped: for want of time,
or because what it found is to be looked at first. Killed at any point, its message is delivered
again and at worst does something twice.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, islice

from s3_manifest.manifest.collections import Collection, IdTooLong, Pattern
from s3_manifest.manifest.jobs import Job, Progress, Sweep, SweepAll
from s3_manifest.manifest.model import SWEEP, BrokenObjects, Head, UnreadableManifest
from s3_manifest.reconcile.commit import CommitResult, Verification, commit
from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.repair import TooManyBrokenPages, repair
from s3_manifest.storage import heads, pages
from s3_manifest.storage.heads import holds_objects
from s3_manifest.storage.pages import Broken
from s3_manifest.storage.store import Archived, Conflict
from s3_manifest.sweep import rebuild
from s3_manifest.sweep.collect import collect
from s3_manifest.sweep.compare import Comparer, just_after, ranges

LOOK_AGAIN_SECONDS = 60
"""What differs is looked at after this long, when the events on their way have arrived: the rest is drift."""

MAX_PENDING_BYTES, MAX_UNREADABLE_BYTES = 150_000, 100_000
"""What the keys in one message may come to, and those of them that S3 did not tell about.

Every SQS-compatible server takes 256 KB.
"""

MAX_DIFFERENT = 500
"""With so many keys found to differ, they are looked at before the listing goes on."""

MAX_UNREADABLE = 100
"""So many keys that S3 does not tell about are no odd objects any more, but a missing permission."""

RANGES, MIN_PAGES, MAX_PAGES = 8, 8, 64
"""So many ranges of a collection are listed at once, of so many pages each: few enough to be spread, and to be done
again when a message dies."""

_JOBS_AT_ONCE = 100


class SweepFailed(Exception):
    """A sweep could not look at everything; the text says what at."""


@dataclass
class SweepResult:
    """What came of one message of the sweep queue."""

    collection: Collection | None = None
    results: list[CommitResult] = field(default_factory=list)
    """What came of looking at what differed."""
    drifted: list[str] = field(default_factory=list)
    """The keys that were looked at for it."""
    missing: int = 0
    unexpected: int = 0
    modified: int = 0
    """Drift, as far as this message mended it: files that were gone, new or other than the manifest said."""
    progress: Progress | None = None
    """How far the sweep came; None where there was nothing to do."""
    finished: bool = False
    enqueued: int = 0
    """Jobs put into the queue: for other collections, or for the rest of this one."""
    collected: int = 0
    """Objects deleted that no manifest and no kept history refers to."""
    skipped: str | None = None
    """Why the collection was not swept, as it can have no manifest; None where it can."""
    not_collected: str | None = None
    """Why no garbage was collected; None where it was."""
    repaired: list[str] = field(default_factory=list)
    """Pages, and copies of sidecars, that were found missing or damaged, and were replaced."""

    @property
    def drift(self) -> int:
        """Files that the manifest was wrong about, without an event having told."""
        return self.missing + self.unexpected + self.modified


def run_job(
    environment: Environment,
    job: Job,
    pause_with_seconds_left: float,
    *,
    repeated: bool = False,
    swept: SweepResult | None = None,
) -> SweepResult:
    """Does a job of the sweep queue, or as much of it as there is time for, and asks for the rest.

    ``repeated``: the message was delivered before. What came of it is put into ``swept``, if that is
    given, as the work goes on: it was done even if this raises in the end. Raises ``SweepFailed``,
    ``UnreadableManifest``, ``StoreError``; the message is then to be delivered again.
    """
    swept = SweepResult() if swept is None else swept
    if isinstance(job, SweepAll):
        _sweep_all(environment, job, swept, pause_with_seconds_left)
        return swept
    collection = swept.collection = environment.collections.named(job.kind, job.id)
    if collection is None:  # no longer one of the collections, or none that there can be a manifest of
        swept.finished = True
        try:
            environment.collections.check_id(job.kind, job.id)
        except IdTooLong as error:
            swept.skipped = f"{job.kind}/{job.id}: {error}"
        return swept
    progress = job.progress or _begin(environment, collection, job, swept, repeated=repeated)
    if progress:
        progress = progress.model_copy(update={"unannounced": progress.unannounced or repeated})
        _go_on(environment, collection, progress, swept, pause_with_seconds_left)
    return swept


def _begin(
    environment: Environment, collection: Collection, job: Sweep, swept: SweepResult, *, repeated: bool
) -> Progress | None:
    """Where to begin; None where there is nothing (more) to do."""
    started_at = environment.now()
    set_aside = rebuild.set_aside(environment.store, collection) if job.rebuild else None
    loaded = heads.load(environment.store, collection, set_aside)
    if job.broken and _is_repaired(environment, collection, loaded, job.broken, swept, repeated=repeated):
        if loaded.head and repeated:
            environment.announce(loaded.head, (), repeated=True)
        swept.finished = True
        return None
    head = loaded.head
    # Somebody who saw the collection for the first time asks for a sweep before there is a manifest.
    if head is None and (
        set_aside or job.created_at or holds_objects(environment.store, environment.collections, collection)
    ):
        outcome = commit(environment, collection, {}, set_aside=set_aside, repeated=repeated)
        swept.results.append(outcome)
        if not outcome.finished:
            raise SweepFailed(f"{collection.prefix}: time ran out before there was a manifest; it is tried again later")
        # If it was this that made it, that looked at everything, or asked for a sweep of its own.
        head = None if outcome.made else outcome.head
    is_done = bool(job.asked_at and head and head.complete and (head.last_verified_at or "") >= job.asked_at)
    if head is None or is_done or job.created_at not in (None, head.created_at):
        if head and repeated:
            environment.announce(head, (), repeated=True)
        swept.finished = True
        return None
    return Progress(created_at=head.created_at, started_at=started_at, first_revision=head.first_revision)


def _go_on(
    environment: Environment,
    collection: Collection,
    progress: Progress,
    swept: SweepResult,
    pause_with_seconds_left: float,
) -> None:
    """Lists, looks, lists on, until all is done or time runs short."""
    while True:
        loaded = heads.load(environment.store, collection)
        swept.progress = progress
        if loaded.head is None or loaded.head.created_at != progress.created_at:
            swept.finished = True  # another manifest is there by now, with a sweep of its own
            return
        progress = _since_repaired(environment, loaded.head, progress)
        delay = 0
        if progress.looks:
            progress = _look(environment, collection, progress, swept, is_drift=loaded.head.complete)
        elif progress.finished_listing:
            if _finish(environment, collection, progress, swept):
                return
        else:
            try:
                progress = _list_on(environment, collection, loaded, progress, swept, pause_with_seconds_left)
            except Conflict:
                # A page was collected between the head that referred to it and the look at it.
                pass
            else:
                delay = LOOK_AGAIN_SECONDS if progress.looks and loaded.head.complete else 0
        if delay or environment.seconds_left() < pause_with_seconds_left:
            swept.progress = progress = _fitting(collection, progress)
            environment.enqueue([Sweep(kind=collection.kind, id=collection.id, progress=progress)], delay_seconds=delay)
            swept.enqueued += 1
            return


def _since_repaired(environment: Environment, head: Head, progress: Progress) -> Progress:
    """The progress, from the beginning if a repair left out what was compared before."""
    if progress.first_revision == head.first_revision:
        return progress
    update: dict[str, object] = {"first_revision": head.first_revision}
    if progress.first_revision is not None and not head.complete:
        update |= {"started_at": environment.now(), "start": "", "finished_listing": False}
    return progress.model_copy(update=update)


def _list_on(
    environment: Environment,
    collection: Collection,
    loaded: heads.Loaded,
    progress: Progress,
    swept: SweepResult,
    pause_with_seconds_left: float,
) -> Progress:
    """Compares a few ranges at once, until one of them stops early or there is something to look at.

    What is found broken is repaired at once, and compared then.
    """
    if _repaired_copies(environment, collection, loaded, swept):
        return progress
    comparer = Comparer(
        environment,
        collection,
        loaded,
        stop_at_keys=MAX_DIFFERENT,
        stop_at_seconds_left=pause_with_seconds_left,
        doubts_problems=True,
    )
    pages_each = min(MAX_PAGES, max(MIN_PAGES, -(-len(comparer.slots) // RANGES)))
    found = ranges(comparer.slots, progress.start, pages_each)
    at_once, rest = found[:RANGES], found[RANGES:]
    looks: list[str] = []
    listed, start = progress.listed, comparer.begins(rest[0].start) if rest else None
    compared = environment.each(lambda within: comparer.compare(within, progress.start), at_once)
    if broken := [one.key for comparison in compared for one in comparison.broken]:
        _repair(environment, collection, broken, swept)
        return progress
    for comparison in compared:
        looks += comparison.keys
        listed += comparison.listed
        if comparison.rest is not None:
            # What the ranges after it found is found again.
            start = comparison.rest
            break
    return progress.model_copy(
        update={
            "looks": tuple(sorted(looks)),
            "listed": listed,
            "start": progress.start if start is None else start,
            "finished_listing": start is None,
        }
    )


def _look(
    environment: Environment, collection: Collection, progress: Progress, swept: SweepResult, *, is_drift: bool
) -> Progress:
    """Looks at what was found to differ, through the ordinary commits."""
    try:
        outcome = commit(environment, collection, dict.fromkeys(progress.looks, SWEEP), repeated=progress.unannounced)
    except BrokenObjects as error:
        _repair_all(environment, collection, error.keys, swept)
        return progress
    swept.results.append(outcome)
    if not outcome.commits:
        raise SweepFailed(f"{collection.prefix}: time ran out before {progress.start!r}; it is tried again later")
    if outcome.broken:
        _repair(environment, collection, outcome.broken, swept)
        looks = (*outcome.timed_out, *outcome.unreadable)
        return progress.model_copy(update={"looks": looks, "unannounced": outcome.unannounced})
    unreadable = (*progress.unreadable, *outcome.unreadable)
    if len(unreadable) > MAX_UNREADABLE or _size(unreadable) > MAX_UNREADABLE_BYTES:
        raise _unreadable(collection, unreadable, outcome)
    update = {"looks": tuple(outcome.timed_out), "unreadable": unreadable, "unannounced": outcome.unannounced}
    if is_drift:
        swept.drifted += progress.looks
        swept.missing += outcome.removed
        swept.unexpected += outcome.added
        swept.modified += outcome.modified
        update |= {
            "missing": progress.missing + outcome.removed,
            "unexpected": progress.unexpected + outcome.added,
            "modified": progress.modified + outcome.modified,
        }
    return progress.model_copy(update=update)


def _finish(environment: Environment, collection: Collection, progress: Progress, swept: SweepResult) -> bool:
    """Marks the manifest complete and verified, and collects its garbage; False where a repair came before that."""
    verification = Verification(progress.created_at, progress.started_at, progress.first_revision or 1)
    # The odd ones met on the way have their second chance here.
    again = dict.fromkeys(progress.unreadable, SWEEP)
    try:
        outcome = commit(environment, collection, again, verification=verification, repeated=progress.unannounced)
    except BrokenObjects as error:
        _repair_all(environment, collection, error.keys, swept)
        return False
    swept.results.append(outcome)
    if outcome.broken:
        _repair(environment, collection, outcome.broken, swept)
        return False
    if outcome.unreadable:
        raise _unreadable(collection, tuple(outcome.unreadable), outcome)
    if not outcome.finished:
        raise SweepFailed(f"{collection.prefix}: time ran out at the end of the sweep; it is tried again later")
    if outcome.head and outcome.head.created_at == progress.created_at and not verification.applies_to(outcome.head):
        return False  # it was repaired meanwhile
    swept.finished = True
    try:
        swept.collected = collect(environment, collection)
    except (UnreadableManifest, Archived) as error:  # of a checkpoint: it expires, and the garbage with it
        swept.not_collected = str(error)
    return True


def _is_repaired(
    environment: Environment,
    collection: Collection,
    loaded: heads.Loaded,
    keys: Iterable[str],
    swept: SweepResult,
    *,
    repeated: bool,
) -> bool:
    """Repairs what is broken of these objects of a manifest; whether nothing is left for a sweep to do."""
    if loaded.head is None or _repaired_copies(environment, collection, loaded, swept):
        return True
    refs = [page for page in loaded.head.pages if page.key in keys]
    found = pages.examine(environment.store, environment.each, collection, loaded, refs)
    if broken := [one.key for one in found if isinstance(one, Broken)]:
        _repair(environment, collection, broken, swept)
    # An attempt before this one may have died between a repair of part and the sweep for the rest.
    head = swept.results[-1].head if swept.results else loaded.head if repeated else None
    return head is None or head.complete


def _repaired_copies(
    environment: Environment, collection: Collection, loaded: heads.Loaded, swept: SweepResult
) -> bool:
    """Sees to the copies of sidecars; whether the manifest is another one now."""
    found = pages.examine_copies(environment.store, environment.each, collection, loaded)
    broken = [key for key, one in found.items() if isinstance(one, Broken)]
    if not broken:
        return False
    swept.repaired += broken
    try:
        pages.restored_descriptions(environment.store, environment.each, collection, loaded)
    except BrokenObjects:
        # What the entries go by is not known any more: only objects and sidecars themselves tell it.
        _rebuild(environment, collection, swept)
        return True
    return False


def _repair_all(environment: Environment, collection: Collection, broken: Iterable[str], swept: SweepResult) -> None:
    """Replaces what a commit found broken: copies of sidecars, without which it commits nothing, and pages."""
    with suppress(Conflict):  # the manifest is another one by now, and is looked at again
        if not _repaired_copies(environment, collection, heads.load(environment.store, collection), swept):
            _repair(environment, collection, broken, swept)


def _repair(environment: Environment, collection: Collection, broken: Iterable[str], swept: SweepResult) -> None:
    """Replaces broken pages by what S3 says now."""
    broken = list(broken)
    try:
        outcome = repair(environment, collection, broken)
    except (TooManyBrokenPages, BrokenObjects):
        _rebuild(environment, collection, swept)
    else:
        swept.results.append(outcome)
        if not outcome.finished:
            raise SweepFailed(f"{collection.prefix}: time ran out while it was repaired; it is tried again later")
    swept.repaired += [key for key in broken if key not in swept.repaired]


def _rebuild(environment: Environment, collection: Collection, swept: SweepResult) -> None:
    """Sets a manifest aside that cannot be repaired, and begins a new one, with a sweep of its own."""
    if set_aside := rebuild.set_aside(environment.store, collection):
        outcome = commit(environment, collection, {}, set_aside=set_aside)
        swept.results.append(outcome)
        if not outcome.finished:
            raise SweepFailed(f"{collection.prefix}: time ran out before it was rebuilt; it is tried again later")


def _fitting(collection: Collection, progress: Progress) -> Progress:
    """The progress with no more keys to look at than fit into a message; the rest is found again."""
    size = _size(progress.unreadable)
    for count, key in enumerate(progress.looks):
        size += _size([key])
        if count and size > MAX_PENDING_BYTES:
            kept = progress.looks[:count]
            start = just_after(collection.filename(kept[-1]))
            return progress.model_copy(update={"looks": kept, "start": start, "finished_listing": False})
    return progress


def _size(keys: Iterable[str]) -> int:
    """What the keys come to in a message, in bytes."""
    return sum(len(json.dumps(key)) + 1 for key in keys)


def _unreadable(collection: Collection, keys: tuple[str, ...], outcome: CommitResult) -> SweepFailed:
    return SweepFailed(
        f"{collection.prefix}: {len(keys)} objects could not be looked at, the first:"
        f" {next(iter(outcome.unreadable.values()), keys[0])}. Mend that and redrive this message"
    )


def _sweep_all(environment: Environment, job: SweepAll, swept: SweepResult, pause_with_seconds_left: float) -> None:
    """Asks for a sweep of each collection."""
    for pattern in sorted(environment.collections.patterns):
        if pattern.kind < job.kind:
            continue
        ids = _ids(environment, pattern, job.after if pattern.kind == job.kind else "")
        while jobs := [Sweep(kind=pattern.kind, id=id_) for id_ in islice(ids, _JOBS_AT_ONCE)]:
            environment.enqueue(jobs)
            swept.enqueued += len(jobs)
            if environment.seconds_left() < pause_with_seconds_left:
                environment.enqueue([SweepAll(kind=pattern.kind, after=jobs[-1].id)])
                return
    swept.finished = True


def _ids(environment: Environment, pattern: Pattern, after: str) -> Iterator[str]:
    """The ids of one kind, in order: of what lies in S3, and of what has a manifest."""
    roots = (pattern.before, environment.collections.root + pattern.before)
    folders = heapq.merge(*(_folders(environment, root, after) for root in roots))
    return (folder.removesuffix("/") for folder, _ in groupby(folders) if folder != "/")


def _folders(environment: Environment, prefix: str, after: str) -> Iterator[str]:
    """The folders below a prefix, named without it, in S3's order."""
    start, truncated = f"{prefix}{after}/" if after else "", True
    while truncated:
        prefixes, truncated = environment.store.folders(prefix, after=start)
        yield from (folder.removeprefix(prefix) for folder in prefixes)
        start = prefixes[-1] if prefixes else start
