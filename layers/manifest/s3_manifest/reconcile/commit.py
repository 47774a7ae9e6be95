"""The commit protocol: keys of one collection become part of its manifest.

Load the head, and only then look at S3; merge; compare-and-swap; on a conflict all of that again.
Whoever commits after us read the head after our commit and looked at S3 after that, so the last
commit that touches a key saw S3 no earlier than any event about it. The order of events, duplicates
and their types do not matter. Each rule below is there because without it a write is lost:
``tests/simulation/mutants.py`` leaves each one out, and the simulation shows the loss.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from s3_manifest.manifest import layout
from s3_manifest.manifest.changes import ChangeRecord, FileChange
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import MAX_BROKEN, JobsNotQueued, Sweep
from s3_manifest.manifest.layout import Layout, Slot
from s3_manifest.manifest.model import BrokenObjects, Head, Timestamp
from s3_manifest.manifest.runs import encode_page
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.reconcile.lease import MIN_KEYS, YIELD_SECONDS, is_busy, lease
from s3_manifest.reconcile.merge import Delta, affected_filenames, merge, record_of, told
from s3_manifest.reconcile.observe import ComputedMd5s, computed_md5s, first_sight, observe
from s3_manifest.reconcile.opening import WorkingSet, entries_of
from s3_manifest.sidecars.descriptions import Observation, as_last_read, concerned, looked_at, revised
from s3_manifest.storage import chain, heads
from s3_manifest.storage.pages import Broken, broken_objects
from s3_manifest.storage.store import Conflict, OutcomeUnknown, ReadFailed, TimeRanOut

CHUNK = 500
"""Keys per commit: many share its requests, few enough that the look at them stays short."""

PAGES = 32
"""Pages per commit: what it holds in memory at once does not grow with the collection."""

_BACKOFF_SECONDS, _BACKOFF_CAP_SECONDS = 0.02, 2.0


class Verification(NamedTuple):
    """That a sweep, begun at ``started_at``, looked at all there was, for the manifest made at ``created_at``.

    Of one whose history began with another revision than ``first_revision`` it does not hold: it was repaired since.
    """

    created_at: Timestamp
    started_at: Timestamp
    first_revision: int = 1

    def applies_to(self, head: Head) -> bool:
        """Whether it is this manifest that was verified."""
        return (head.created_at, head.first_revision) == (self.created_at, self.first_revision)


@dataclass
class CommitResult:
    """What came of committing keys of one collection; it grows as the work goes on."""

    collection: Collection
    head: Head | None = None
    """The head as last written by us; None before the first commit."""
    created: bool = False
    """Whether there was no manifest before."""
    commits: int = 0
    unchanged: int = 0
    """Commits that did not raise the revision."""
    conflicts: int = 0
    """Attempts made void by somebody else's commit, or by a lost answer."""
    observed: int = 0
    """Looks at a key, those of void attempts among them."""
    added: int = 0
    modified: int = 0
    removed: int = 0
    """Files that these commits added, modified and removed."""
    committed_at: dict[str, Timestamp] = field(default_factory=dict)
    """When each key's commit was made, for those that were."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Keys that S3 would not tell about, with its words; the manifest is as before for them."""
    timed_out: list[str] = field(default_factory=list)
    """Keys that time did not suffice for."""
    finished: bool = False
    """Whether time sufficed."""
    md5s: ComputedMd5s = field(default_factory=dict, repr=False)
    """Those computed so far, lest a conflict make us read the same bytes again."""
    unannounced: bool = False
    """Whether a revision may have been written that nobody was told of."""
    broken: dict[str, Broken] = field(default_factory=dict)
    """Pages met that are missing or damaged; the keys that need them are among the ``unreadable``."""
    void: set[str] = field(default_factory=set, repr=False)
    """The ids of commits of ours, with which a manifest was to begin, that were surely not made."""


def commit(
    environment: Environment,
    collection: Collection,
    causes: Mapping[str, str],
    *,
    verification: Verification | None = None,
    repeated: bool = False,
    unreadable_etag: str | None = None,
) -> CommitResult:
    """Brings the manifest up to date for these keys, in chunks; what came of it.

    ``causes`` says, for each key, what made us look: S3's name of an event, or ``sweep``.
    ``verification`` says that with these keys all that was in S3 has been looked at; the last chunk then
    marks the manifest complete and verified. ``repeated`` says that an earlier attempt at this may
    have died after its commit: the manifest is then announced even if nothing is new. ``unreadable_etag``
    is the ETag of an unreadable head that the first commit takes the place of.

    Keys that need a broken page are not committed: they are ``unreadable``, and a repair is asked for.

    Safe to repeat, and to run any number of times at once. Raises ``UnreadableManifest``,
    ``StoreError`` (of the manifest's own objects, or of the announcement).
    """
    outcome = CommitResult(collection, unannounced=repeated)
    try:
        _commit(environment, outcome, causes, verification, unreadable_etag)
    except BrokenObjects as error:
        _ask_for_repair(environment, collection, error.keys)
        raise
    if outcome.broken:
        _ask_for_repair(environment, collection, outcome.broken)
        if not outcome.commits:
            raise broken_objects(collection, list(outcome.broken.values()))
    return outcome


def _ask_for_repair(environment: Environment, collection: Collection, broken: Iterable[str]) -> None:
    """Asks for a sweep of the collection, if one of the broken objects is still referred to by then."""
    # Where it cannot be asked for, the messages that failed are delivered again, and ask again.
    with suppress(JobsNotQueued):
        environment.enqueue([Sweep(kind=collection.kind, id=collection.id, broken=tuple(sorted(broken)[:MAX_BROKEN]))])


def _commit(
    environment: Environment,
    outcome: CommitResult,
    causes: Mapping[str, str],
    verification: Verification | None,
    unreadable_etag: str | None,
) -> None:
    collection = outcome.collection
    pending = sorted(causes)
    many = len(pending)
    size, lost_in_a_row = CHUNK, 0
    while environment.seconds_left() >= RESERVE_SECONDS:
        try:
            lost_before = lost_in_a_row > 0
            with lease(environment, collection, many, retrying=lost_before):
                gives_way = many < MIN_KEYS and not lost_before
                rest = _attempt(
                    environment, outcome, pending, causes, size, verification, unreadable_etag, gives_way=gives_way
                )
        except (Conflict, OutcomeUnknown) as lost:
            # Everything is looked at again, but less of it: a long look loses against short ones.
            outcome.conflicts += 1
            outcome.unannounced |= isinstance(lost, OutcomeUnknown)
            lost_in_a_row += 1
            size = max(1, size // 2)
            back_off(environment, lost_in_a_row)
            continue
        pending, size, lost_in_a_row = sorted(rest), min(CHUNK, size * 2), 0
        if not pending:
            if outcome.unannounced and outcome.head:
                environment.announce(outcome.head, (), repeated=True)
                outcome.unannounced = False
            outcome.finished = not outcome.timed_out
            return
    outcome.timed_out += pending


def _attempt(
    environment: Environment,
    outcome: CommitResult,
    pending: Sequence[str],
    causes: Mapping[str, str],
    size: int,
    verification: Verification | None,
    unreadable_etag: str | None,
    *,
    gives_way: bool,
) -> Sequence[str]:
    """One commit of as many of the pending keys as one may hold; the keys that are still to be done."""
    collection, store = outcome.collection, environment.store
    loaded = heads.load(store, collection, unreadable_etag)
    if gives_way and loaded.head and is_busy(loaded.head.last_synced, environment.now()):
        environment.sleep(YIELD_SECONDS)
        loaded = heads.load(store, collection, unreadable_etag)
    before = loaded.head
    slots = layout.slots_of(before)
    keys, touched = _portion(slots, list(map(collection.filename, pending[:size])))
    keys, rest = pending[: len(keys)], pending[len(keys) :]
    opener = WorkingSet(environment, collection, loaded)
    slots = opener.opened(slots, touched)
    now = environment.now()
    covers_all, revisions_before = False, 0
    failing: list[ReadFailed] = []
    if before:
        outcome.void.clear()
        failing = [opener.failure(key) for key in keys if opener.is_broken_for(slots, [collection.filename(key)])]
        if failing and len(failing) == len(keys):
            outcome.broken |= opener.broken
            _note_failures(outcome, failing)
            return rest
        keys = _without(keys, failing)
        outcome.md5s.update(computed_md5s(entries_of(slots, map(collection.filename, keys)).values()))
        seen, failures = observe(environment, collection, keys, causes, outcome.md5s)
        covers_all = verification is not None and verification.applies_to(before) and not rest
    else:
        seen, failures, covers_all = first_sight(environment, collection, keys, causes, outcome.md5s, now)
        revisions_before = _revisions_before(environment, outcome)
    outcome.observed += len(seen) + len(failures)
    commit_id = environment.commit_id()
    slots, news, copies, unapplied, needing = _told(opener, slots, seen, causes, commit_id)
    failures = [*failures, *failing, *needing]
    outcome.broken |= opener.broken
    covers_all = covers_all and not (unapplied or failures or outcome.unreadable or outcome.timed_out)
    laid_out = opener.laid_out(slots, news, commit_id)
    head = merge(
        before,
        collection,
        environment.location.bucket,
        news,
        laid_out,
        commit=commit_id,
        now=now,
        complete=covers_all,
        verified_at=(verification.started_at if verification else now) if covers_all else None,
        revisions_before=revisions_before,
    )
    raised = before is None or head.revision > before.revision
    if raised:
        record = record_of(head, before, news.alterations)
        objects = [*copies, *objects_of(collection, head, laid_out, record)]
        environment.each(lambda one: store.add(*one), objects)
    if before is None:
        outcome.void.add(commit_id)  # until it is known to be made
    # Even where nothing changed: the fresh commit id makes a slower worker's stale write fail.
    heads.save(store, collection, head, replaces=loaded.etag)
    outcome.void.clear()
    note(environment, outcome, head, news.alterations, keys, failures, created=before is None, raised=raised)
    return [*rest, *unapplied]


def _told(
    opener: WorkingSet, slots: list[Slot], seen: Sequence[Observation], causes: Mapping[str, str], commit_id: str
) -> tuple[list[Slot], Delta, Sequence[tuple[str, bytes]], list[str], list[ReadFailed]]:
    """What was seen, and what sidecars now say otherwise of other files, as news of the manifest.

    With it the slots, those opened that it concerns; copies of sidecars, to be written; the keys of sidecars
    that speak of so many files that not all go by what they say now; and the seen keys that are left out,
    because what they concern is in a broken page.
    """
    collection, head = opener.collection, opener.loaded.head
    sidecars = head.sidecars if head else ()
    before = opener.descriptions()
    seen = as_last_read(head, collection, before, seen)
    needing: list[ReadFailed] = []
    while True:
        looked = looked_at(collection, seen)
        files = dict(sorted(concerned(before, looked).items()))
        applied, _ = _portion(slots, list(files))
        up_to = list(files)[len(applied)] if len(applied) < len(files) else None
        files = {name: files[name] for name in applied}
        names = affected_filenames(collection, seen, files)
        # The pages of what was seen are open; most others are not needed to know that something is not there.
        out = {layout.slot_of(slots, name) for name in names if layout.is_out(slots, name)}
        slots = opener.opened(slots, out)
        if not opener.holds_out(slots, names):
            break
        left_out = {one.key for one in seen if opener.holds_out(slots, affected_filenames(collection, [one], ()))}
        left_out |= {
            key for name, key in files.items() if opener.holds_out(slots, affected_filenames(collection, (), [name]))
        }
        seen = [one for one in seen if one.key not in left_out]
        needing += map(opener.failure, sorted(left_out))
    revision = revised(before, sidecars, looked, up_to, f"{collection.folder}sidecars/{commit_id}-")
    news = told(head, collection, entries_of(slots, names), seen, causes, revision=revision, concerned=files)
    unapplied = [one.key for one in looked.values()] if up_to is not None else []
    return slots, news, revision.copies, unapplied, needing


def _without(keys: Sequence[str], failing: Iterable[ReadFailed]) -> Sequence[str]:
    failed = {failure.key for failure in failing}
    return [key for key in keys if key not in failed]


def note(
    environment: Environment,
    outcome: CommitResult,
    head: Head,
    alterations: Sequence[FileChange],
    keys: Iterable[str],
    failures: Iterable[ReadFailed],
    *,
    created: bool,
    raised: bool,
) -> None:
    """What is to be said of a commit that was made, to the outcome and to whoever listens."""
    outcome.head = head
    outcome.created |= created
    outcome.commits += 1
    outcome.unchanged += not raised
    for one in alterations:
        outcome.added += one.before is None
        outcome.removed += one.after is None
        outcome.modified += one.before is not None and one.after is not None
    failed = {failure.key for failure in failures}
    outcome.committed_at |= dict.fromkeys((key for key in keys if key not in failed), environment.now())
    _note_failures(outcome, failures)
    if raised:
        environment.announce(head, alterations, repeated=False)
        outcome.unannounced = False


def _note_failures(outcome: CommitResult, failures: Iterable[ReadFailed]) -> None:
    for failure in failures:
        if isinstance(failure, TimeRanOut):
            outcome.timed_out.append(failure.key)
        else:
            outcome.unreadable[failure.key] = str(failure)


def _revisions_before(environment: Environment, outcome: CommitResult) -> int:
    """What revision a manifest has to follow on that is made now: somebody may know one that is not there any more."""
    before = chain.last_revision(environment.store, outcome.collection)
    if outcome.void and not chain.last_revision(environment.store, outcome.collection, outcome.void):
        return 0  # all that is there are records of our own, of commits that were not made
    return before


def _portion(slots: Sequence[Slot], names: Sequence[str]) -> tuple[Sequence[str], list[int]]:
    """As many of the sorted filenames as lie in so many pages as one commit may touch, and those pages."""
    touched: list[int] = []
    for count, name in enumerate(names):
        index = layout.slot_of(slots, name)
        if index not in touched[-1:]:
            if len(touched) == PAGES:
                return names[:count], touched
            touched.append(index)
    return names, touched


def objects_of(
    collection: Collection, head: Head, laid_out: Layout, record: ChangeRecord
) -> Iterator[tuple[str, bytes]]:
    """The objects to be written before the head that refers to them: keys and bodies."""
    for key, run in laid_out.new:
        yield key, encode_page(run)
    yield from heads.history_of(collection, head, record)


def back_off(environment: Environment, lost_in_a_row: int) -> None:
    """Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/"""
    environment.sleep(environment.random() * min(_BACKOFF_CAP_SECONDS, _BACKOFF_SECONDS * 2 ** min(lost_in_a_row, 10)))
