"""The commit protocol: brings the manifest of one collection up to date for some keys.

1. Load the head with its ETag, and the pages that hold the keys.
2. Only then observe every key in S3. An error is never taken for an absence.
3. Compute the delta and the next head, with a fresh commit id: pure, and idempotent.
4. Write pages and the change record under fresh names, then compare-and-swap the head, even if nothing changed: the
   fresh commit id makes the stale write of a slower worker fail.
5. After a conflict or a lost response, back off and start over. Observe every key again.

A worker that commits after us loaded the head after our commit and observed S3 after that. So the last commit that
touches a key observed it no earlier than any event about it, and neither the order of events nor their types or
duplicates matter. Every rule is necessary: ``tests/simulation/mutants.py`` leaves out each one, and the simulation
shows the lost write.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from s3_manifest.manifest.changes import ChangeRecord
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import MAX_BROKEN, JobsNotQueued, Sweep
from s3_manifest.manifest.layout import Layout
from s3_manifest.manifest.model import BrokenObjects, Head
from s3_manifest.reconcile.delta import (
    CommitFacts,
    Delta,
    SidecarEffect,
    affected_filenames,
    apply,
    change_record,
    diff,
)
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.reconcile.lease import MIN_KEYS, YIELD_SECONDS, is_busy, lease
from s3_manifest.reconcile.observe import Observer, computed_md5s
from s3_manifest.reconcile.result import (
    CommitResult,
    Verification,
    announce,
    announce_again,
    back_off,
    is_new_revision,
)
from s3_manifest.reconcile.working_set import WorkingSet
from s3_manifest.sidecars.applied import (
    Observation,
    affected_files,
    sidecar_observations,
    update_sidecars,
    with_last_read_content,
)
from s3_manifest.storage import change_log, heads
from s3_manifest.storage.snapshot import broken_objects
from s3_manifest.storage.store import Conflict, OutcomeUnknown, ReadFailed

CHUNK = 500
"""Keys per commit: enough to share its requests, few enough to observe quickly."""


def commit(
    environment: Environment,
    collection: Collection,
    causes: Mapping[str, str],
    *,
    verification: Verification | None = None,
    repeated: bool = False,
    unreadable_etag: str | None = None,
) -> CommitResult:
    """Brings the manifest up to date for these keys, in chunks.

    ``causes`` names, for each key, the S3 event that made us observe it, or ``sweep``. ``verification``: with these
    keys everything in S3 has been observed; the last chunk marks the manifest complete and verified. ``repeated``: an
    earlier attempt may have died after its commit, so the manifest is announced even if nothing changes.
    ``unreadable_etag``: an unreadable head with this ETag is replaced.

    Keys that need a broken page become ``unreadable``, and a repair is requested.

    Safe to repeat and to run concurrently. Raises ``UnreadableManifest``, ``StoreError`` (of the manifest's own
    objects), ``AnnouncementFailed``.
    """
    result = CommitResult(collection, unannounced=repeated)
    try:
        _Committer(environment, result, causes, verification, unreadable_etag).run()
    except BrokenObjects as error:
        _request_repair(environment, collection, error.keys)
        raise
    if result.broken:
        _request_repair(environment, collection, result.broken)
        if not result.commits:
            raise broken_objects(collection, list(result.broken.values()))
    return result


def _request_repair(environment: Environment, collection: Collection, broken: Iterable[str]) -> None:
    """Requests a sweep that repairs these objects if the manifest still refers to them."""
    # If the queue fails, the failed messages are delivered again and request it again.
    with suppress(JobsNotQueued):
        environment.enqueue([Sweep(kind=collection.kind, id=collection.id, broken=tuple(sorted(broken)[:MAX_BROKEN]))])


class _Diff(NamedTuple):
    delta: Delta
    copies: Sequence[tuple[str, bytes]]
    """Copies of sidecars to be written."""
    unapplied: list[str]
    """Sidecars that describe more files than one commit may touch: they remain to be observed again."""
    failures: list[ReadFailed]
    """Observed keys that need a broken page and are left out."""


class _Committer:
    """Commits keys of one collection, chunk by chunk, until all are done or time runs short."""

    def __init__(
        self,
        environment: Environment,
        result: CommitResult,
        causes: Mapping[str, str],
        verification: Verification | None,
        unreadable_etag: str | None,
    ) -> None:
        self._environment = environment
        self._collection = result.collection
        self._result = result
        self._causes = causes
        self._verification = verification
        self._unreadable_etag = unreadable_etag

    def run(self) -> None:
        environment, result = self._environment, self._result
        pending = sorted(self._causes)
        total, size, conflicts = len(pending), CHUNK, 0
        while environment.seconds_left() >= RESERVE_SECONDS:
            try:
                with lease(environment, self._collection, total, retrying=conflicts > 0):
                    remaining = self._attempt(pending, size, yields=total < MIN_KEYS and not conflicts)
            except (Conflict, OutcomeUnknown) as error:
                # Observe everything again, in smaller chunks: a long observation keeps losing against short ones.
                result.add_conflict(error)
                conflicts += 1
                size = max(1, size // 2)
                back_off(environment, conflicts)
                continue
            pending, size, conflicts = sorted(remaining), min(CHUNK, size * 2), 0
            if not pending:
                announce_again(environment, result)
                result.finished = not result.timed_out
                return
        result.timed_out += pending

    def _attempt(self, pending: Sequence[str], size: int, *, yields: bool) -> Sequence[str]:
        """One commit of at most ``size`` pending keys; returns the keys that remain."""
        environment, collection, result = self._environment, self._collection, self._result
        snapshot = environment.load(collection, self._unreadable_etag)
        if yields and snapshot.head and is_busy(snapshot.head.last_synced, environment.now()):
            environment.sleep(YIELD_SECONDS)
            snapshot = environment.load(collection, self._unreadable_etag)
        before, working_set = snapshot.head, WorkingSet(snapshot)
        count = len(working_set.portion(list(map(collection.filename, pending[:size]))))
        keys, remaining = pending[:count], pending[count:]
        working_set.read(map(collection.filename, keys))
        now = environment.now()
        observer = Observer(environment, collection, self._causes, result.md5s)
        broken: list[ReadFailed] = []
        previous_revision = 0
        if before:
            result.lost_commits.clear()
            broken = [working_set.failure(key) for key in keys if working_set.needs_broken([collection.filename(key)])]
            keys = _without(keys, broken)
            if broken and not keys:
                result.broken |= working_set.broken
                result.add_failures(broken)
                return remaining
            result.md5s.update(computed_md5s(working_set.entries(map(collection.filename, keys)).values()))
            observations, failures = observer.observe(keys)
            covers_all = self._verification is not None and self._verification.applies_to(before) and not remaining
        else:
            observations, failures, covers_all = observer.observe_new(keys, now)
            previous_revision = self._previous_revision()
        result.observed += len(observations) + len(failures)
        commit_id = environment.commit_id()
        delta, copies, unapplied, hidden = self._diff(working_set, observations, commit_id)
        failures = [*failures, *broken, *hidden]
        result.broken |= working_set.broken
        covers_all = covers_all and not (unapplied or failures or result.unreadable or result.timed_out)
        verified_at = self._verification.started_at if self._verification else now
        facts = CommitFacts(commit_id, now, covers_all, verified_at if covers_all else None, previous_revision)
        layout = working_set.lay_out(delta.changes, commit_id)
        head = apply(before, collection, environment.location.bucket, delta, layout, facts)
        if is_new_revision(before, head):
            record = change_record(head, before, delta.changes)
            objects = [*copies, *manifest_objects(collection, head, layout, record)]
            environment.parallel_map(lambda item: environment.store.add(*item), objects)
        if before is None:
            result.lost_commits.add(commit_id)  # until it is known to be stored
        # Also if nothing changed: the fresh commit id makes the stale write of a slower worker fail.
        heads.save(environment.store, collection, head, replaces=snapshot.etag)
        result.add_commit(before, head, delta.changes)
        result.add_failures(failures)
        result.committed_at |= dict.fromkeys(_without(keys, failures), environment.now())
        announce(environment, result, before, delta.changes)
        return [*remaining, *unapplied]

    def _diff(self, working_set: WorkingSet, observations: Sequence[Observation], commit_id: str) -> _Diff:
        """The delta of the observations; applies sidecars to as many files as one commit may touch."""
        collection, head = self._collection, working_set.snapshot.head
        before = working_set.snapshot.restored_descriptions()
        observations = with_last_read_content(head, collection, before, observations)
        failures: list[ReadFailed] = []
        while True:
            sidecars = sidecar_observations(collection, observations)
            described = dict(sorted(affected_files(before, sidecars).items()))
            portion = working_set.portion(list(described))
            up_to = list(described)[len(portion)] if len(portion) < len(described) else None
            affected = {name: described[name] for name in portion}
            names = affected_filenames(collection, observations, affected)
            working_set.read_existing(names)
            if not working_set.hides(names):
                break
            hidden = {
                item.key for item in observations if working_set.hides(affected_filenames(collection, [item], ()))
            }
            hidden |= {
                key for name, key in affected.items() if working_set.hides(affected_filenames(collection, (), [name]))
            }
            observations = [item for item in observations if item.key not in hidden]
            failures += map(working_set.failure, sorted(hidden))
        folder = f"{collection.folder}sidecars/{commit_id}-"
        revision = update_sidecars(before, head.sidecars if head else (), sidecars, up_to, folder)
        effect = SidecarEffect(revision, affected)
        delta = diff(head, collection, working_set.entries(names), observations, self._causes, effect)
        unapplied = [item.key for item in sidecars.values()] if up_to is not None else []
        return _Diff(delta, revision.copies, unapplied, failures)

    def _previous_revision(self) -> int:
        """The revision that a new manifest continues from, so that no follower of an earlier one misses changes."""
        store, lost = self._environment.store, self._result.lost_commits
        latest = change_log.highest_revision(store, self._collection)
        if lost and not change_log.highest_revision(store, self._collection, lost):
            return 0  # the only records are of our own lost commits
        return latest


def _without(keys: Sequence[str], failures: Iterable[ReadFailed]) -> Sequence[str]:
    failed = {failure.key for failure in failures}
    return [key for key in keys if key not in failed]


def manifest_objects(
    collection: Collection, head: Head, layout: Layout, record: ChangeRecord
) -> Iterator[tuple[str, bytes]]:
    """The keys and bodies of the objects to be written before the head that refers to them."""
    for key, run in layout.new:
        yield key, run.page
    yield from heads.history_objects(collection, head, record)
