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

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import MAX_BROKEN, JobsNotQueued, Sweep
from s3_manifest.manifest.model import Head
from s3_manifest.manifest.runs import Run
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
from s3_manifest.reconcile.observe import Observer
from s3_manifest.reconcile.result import CommitResult, Verification
from s3_manifest.reconcile.working_set import WorkingSet
from s3_manifest.sidecars.applied import (
    Observation,
    affected_files,
    sidecar_observations,
    update_sidecars,
    with_last_read_content,
)
from s3_manifest.storage import change_log, heads
from s3_manifest.storage.snapshot import BrokenObjects, Snapshot
from s3_manifest.storage.store import Conflict, OutcomeUnknown, ReadFailed

Objects = Iterable[tuple[str, bytes]]
"""Keys and bodies."""

CHUNK = 500
"""Keys per commit: enough to share its requests, few enough to observe quickly."""

_BACKOFF_SECONDS, _BACKOFF_CAP_SECONDS = 0.02, 2.0


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
    committer = _KeyCommitter(environment, result, causes, verification, unreadable_etag)
    try:
        committer.run(len(causes))
    except BrokenObjects as error:
        _request_repair(environment, collection, error.keys)
        raise
    result.timed_out += committer.pending
    result.finished &= not result.timed_out
    if result.broken:
        _request_repair(environment, collection, result.broken)
        if not result.commits:
            raise BrokenObjects(collection, list(result.broken.values()))
    return result


def _request_repair(environment: Environment, collection: Collection, broken: Iterable[str]) -> None:
    """Requests a sweep that repairs these objects if the manifest still refers to them."""
    # If the queue fails, the failed messages are delivered again and request it again.
    with suppress(JobsNotQueued):
        environment.enqueue([Sweep(kind=collection.kind, id=collection.id, broken=tuple(sorted(broken)[:MAX_BROKEN]))])


@dataclass
class Committer(ABC):
    """Commits to one collection, attempt by attempt, until all is done or time runs short; fills in ``result``."""

    environment: Environment
    result: CommitResult

    @abstractmethod
    def attempt(self, conflicts: int) -> bool:
        """Makes one commit, after so many lost attempts in a row; returns whether all is done.

        Raises ``Conflict`` or ``OutcomeUnknown`` if the attempt is lost.
        """

    def run(self, keys: int) -> None:
        """Makes attempts; ``keys`` is about how many they observe."""
        environment, result, conflicts = self.environment, self.result, 0
        while not result.finished and environment.seconds_left() >= RESERVE_SECONDS:
            try:
                with lease(environment, result.collection, keys, retrying=conflicts > 0):
                    result.finished = self.attempt(conflicts)
                conflicts = 0
            except (Conflict, OutcomeUnknown) as error:
                # A write whose response was lost may have been stored, and must be announced.
                result.unannounced |= isinstance(error, OutcomeUnknown)
                result.conflicts += 1
                conflicts += 1
                # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
                pause = min(_BACKOFF_CAP_SECONDS, _BACKOFF_SECONDS * 2 ** min(conflicts, 10))
                environment.sleep(environment.random() * pause)
        if result.finished and result.unannounced and result.head:
            environment.announce(result.head, (), repeated=True)
            result.unannounced = False

    def write(self, pages: Iterable[tuple[str, Run]], history: Objects = (), copies: Objects = ()) -> None:
        """Writes the objects that the next head refers to, under keys that no other object ever has."""
        objects = [*copies, *((key, run.page) for key, run in pages), *history]
        store = self.environment.store(self.result.collection)
        self.environment.parallel_map(lambda item: store.add(*item), objects)

    def save(self, snapshot: Snapshot, head: Head, changes: Sequence[FileChange], keys: Iterable[str]) -> None:
        """Replaces the snapshot's head, records the commit of these keys, and announces a new revision."""
        environment, result, before = self.environment, self.result, snapshot.head
        # Also if nothing changed: the fresh commit id makes the stale write of a slower worker fail.
        heads.save(environment.store(snapshot.collection), snapshot.collection, head, replaces=snapshot.etag)
        result.head = head
        result.created |= before is None
        result.commits += 1
        result.unchanged += not _is_new_revision(before, head)
        result.added += sum(change.before is None for change in changes)
        result.removed += sum(change.after is None for change in changes)
        result.modified += sum(change.before is not None and change.after is not None for change in changes)
        result.committed_at |= dict.fromkeys(keys, environment.now())
        if _is_new_revision(before, head):
            environment.announce(head, changes, repeated=False)
            result.unannounced = False


@dataclass
class _KeyCommitter(Committer):
    """Commits keys, chunk by chunk."""

    causes: Mapping[str, str]
    verification: Verification | None
    unreadable_etag: str | None
    pending: Sequence[str] = field(init=False)
    """The keys that remain to be committed, sorted."""
    size: int = field(init=False)
    """The most keys of the next commit."""

    def __post_init__(self) -> None:
        self.pending, self.size = sorted(self.causes), CHUNK

    def attempt(self, conflicts: int) -> bool:
        """Commits at most ``size`` pending keys."""
        environment, result, collection = self.environment, self.result, self.result.collection
        if conflicts:  # smaller chunks: a long observation keeps losing against short ones
            self.size = max(1, self.size // 2)
        # 1. Load the head and the pages.
        snapshot = environment.load(collection, self.unreadable_etag)
        yields = len(self.causes) < MIN_KEYS and not conflicts
        if yields and snapshot.head and is_busy(snapshot.head.last_synced, environment.now()):
            environment.sleep(YIELD_SECONDS)
            snapshot = environment.load(collection, self.unreadable_etag)
        before, working_set = snapshot.head, WorkingSet(snapshot, snapshot.slots())
        names = working_set.portion(list(map(collection.filename, self.pending[: self.size])))
        keys, remaining = self.pending[: len(names)], self.pending[len(names) :]
        working_set.read(names)
        # 2. Observe the keys in S3.
        now = environment.now()
        observer = Observer(environment, collection, result.md5s)
        broken: list[ReadFailed] = []
        previous_revision = 0
        if before:
            result.lost_commits.clear()
            broken = [working_set.failure(key) for key in keys if working_set.needs_broken([collection.filename(key)])]
            keys = _without(keys, broken)
            if broken and not keys:
                result.broken |= working_set.broken
                result.add_failures(broken)
                return self._advance(remaining)
            for entry in working_set.entries(names).values():
                if entry.md5_source == "computed" and entry.md5_hash:
                    result.md5s[entry.s3_key, entry.etag] = entry.md5_hash
            observations, failures = observer.observe(keys)
            covers_all = self.verification is not None and self.verification.applies_to(before) and not remaining
        else:
            observations, failures, covers_all = observer.observe_new(keys, now)
            previous_revision = self._previous_revision()
        result.observed += len(observations) + len(failures)
        # 3. Compute the delta and the next head.
        commit_id = environment.commit_id()
        delta, unapplied, hidden = self._diff(working_set, observations, commit_id)
        failures = [*failures, *broken, *hidden]
        result.broken |= working_set.broken
        covers_all = covers_all and not (unapplied or failures or result.unreadable or result.timed_out)
        verified_at = self.verification.started_at if self.verification else now
        facts = CommitFacts(commit_id, now, covers_all, verified_at if covers_all else None, previous_revision)
        layout = working_set.lay_out(delta.changes, commit_id)
        head = apply(before, collection, delta, layout, facts)
        # 4. Write the pages and the change record, then replace the head.
        if _is_new_revision(before, head):
            record = change_record(head, before, delta.changes)
            self.write(layout.new, heads.history_objects(collection, head, record), delta.copies)
        if before is None:
            result.lost_commits.add(commit_id)  # until it is known to be stored
        self.save(snapshot, head, delta.changes, _without(keys, failures))
        result.add_failures(failures)
        return self._advance([*remaining, *unapplied])

    def _advance(self, remaining: Sequence[str]) -> bool:
        """Keeps the keys that remain for larger commits; returns whether there are none."""
        self.pending, self.size = sorted(remaining), min(CHUNK, self.size * 2)
        return not self.pending

    def _diff(
        self, working_set: WorkingSet, observations: Sequence[Observation], commit_id: str
    ) -> tuple[Delta, list[str], list[ReadFailed]]:
        """The delta of the observations; applies sidecars to as many files as one commit may touch.

        Also returns the sidecars that describe more files, to be observed again, and the failures of observed keys
        that need a broken page, which are left out.
        """
        collection, head = self.result.collection, working_set.snapshot.head
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
        folder = f"{collection.copies_folder}{commit_id}-"
        revision = update_sidecars(before, head.sidecars if head else (), sidecars, up_to, folder)
        effect = SidecarEffect(revision, affected)
        delta = diff(head, collection, working_set.entries(names), observations, self.causes, effect)
        return delta, [item.key for item in sidecars.values()] if up_to is not None else [], failures

    def _previous_revision(self) -> int:
        """The revision that a new manifest continues from, so that no follower of an earlier one misses changes."""
        collection, lost = self.result.collection, self.result.lost_commits
        store = self.environment.store(collection)
        latest = change_log.highest_revision(store, collection)
        if lost and not change_log.highest_revision(store, collection, lost):
            return 0  # the only records are of our own lost commits
        return latest


def _is_new_revision(before: Head | None, head: Head) -> bool:
    return before is None or head.revision > before.revision


def _without(keys: Sequence[str], failures: Iterable[ReadFailed]) -> Sequence[str]:
    failed = {failure.key for failure in failures}
    return [key for key in keys if key not in failed]
