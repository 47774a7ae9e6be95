"""The commit protocol: keys of one collection become part of its manifest.

Load the head, and only then look at S3; merge; compare-and-swap; on a conflict all of that again.
Whoever commits after us read the head after our commit and looked at S3 after that, so the last
commit that touches a key saw S3 no earlier than any event about it. The order of events, duplicates
and their types do not matter. Each rule below is there because without it a write is lost:
``tests/simulation/mutants.py`` leaves each one out, and the simulation shows the loss.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from s3_manifest import heads
from s3_manifest.collections import Collection
from s3_manifest.facts import Seen
from s3_manifest.merge import merge
from s3_manifest.model import Head, Source, Timestamp
from s3_manifest.observe import ComputedMd5s, computed_before, observe
from s3_manifest.store import Conflict, OutcomeUnknown, ReadFailed, TimeRanOut
from s3_manifest.turns import turn
from s3_manifest.world import RESERVE_SECONDS, Backfill, World

CHUNK = 500
"""Keys per commit: many share its two requests, few enough that the look at them stays short."""

_BACKOFF_SECONDS, _BACKOFF_CAP_SECONDS = 0.05, 2.0


@dataclass
class Outcome:
    """What came of committing keys of one collection; it grows as the work goes on."""

    collection: Collection
    head: Head | None = None
    """The head as last written by us; None before the first commit."""
    commits: int = 0
    unchanged: int = 0
    """Commits that did not raise the revision."""
    conflicts: int = 0
    """Attempts made void by somebody else's commit, or by a lost answer."""
    observed: int = 0
    """Looks at a key, those of void attempts among them."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Keys that S3 would not tell about, with its words; the manifest is as before for them."""
    not_done: list[str] = field(default_factory=list)
    """Keys that time did not suffice for."""
    finished: bool = False
    """Whether time sufficed."""
    md5s: ComputedMd5s = field(default_factory=dict, repr=False)
    """Those computed so far, lest a conflict make us read the same bytes again."""


def commit(
    world: World,
    collection: Collection,
    keys: Iterable[str],
    source: Source,
    *,
    completes: Timestamp | None = None,
) -> Outcome:
    """Brings the manifest up to date for these keys, in chunks; what came of it.

    ``completes`` says that with these keys all that was in S3 has been looked at since the head
    was created, at that time; the last chunk then marks that head complete. Safe to repeat, and to
    run any number of times at once. Raises ``UnreadableHead``, ``ReadFailed`` (of the head),
    ``WriteRefused``.
    """
    outcome = Outcome(collection)
    pending = sorted(set(keys))
    many = len(pending)
    size, lost_in_a_row = CHUNK, 0
    while world.seconds_left() >= RESERVE_SECONDS:
        chunk, rest = pending[:size], pending[size:]
        try:
            with turn(world, collection, many, RESERVE_SECONDS):
                _attempt(world, outcome, chunk, source, None if rest else completes)
        except (Conflict, OutcomeUnknown):
            # Everything is looked at again, but less of it: a long look loses against short ones.
            outcome.conflicts += 1
            lost_in_a_row += 1
            size = max(1, size // 2)
            _back_off(world, lost_in_a_row)
            continue
        if not rest:
            outcome.finished = not outcome.not_done
            return outcome
        pending, size, lost_in_a_row = rest, min(CHUNK, size * 2), 0
    outcome.not_done += pending
    return outcome


def _attempt(world: World, outcome: Outcome, keys: Sequence[str], source: Source, completes: Timestamp | None) -> None:
    collection, store = outcome.collection, world.store
    loaded = heads.load(store, collection)
    now = world.now()
    if loaded:
        outcome.md5s.update(computed_before(loaded.head.files))
        seen, failures = observe(world, collection, keys, source, outcome.md5s)
        covers_all = completes == loaded.head.created_at
    else:
        seen, failures, covers_all = _first_sight(world, outcome, keys, source, now)
    outcome.observed += len(seen) + len(failures)
    head = merge(
        loaded.head if loaded else None,
        collection,
        world.location.bucket,
        seen,
        commit=world.commit_id(),
        now=now,
        complete=covers_all and not (failures or outcome.unreadable or outcome.not_done),
    )
    # Even where nothing changed: the fresh commit id makes a slower worker's stale write fail.
    heads.save(store, collection, head, replaces=loaded)
    outcome.commits += 1
    outcome.unchanged += loaded is not None and head.revision == loaded.head.revision
    outcome.head = head
    for failure in failures:
        if isinstance(failure, TimeRanOut):
            outcome.not_done.append(failure.key)
        else:
            outcome.unreadable[failure.key] = str(failure)


def _first_sight(
    world: World, outcome: Outcome, keys: Sequence[str], source: Source, now: Timestamp
) -> tuple[list[Seen], list[ReadFailed], bool]:
    """Looks at the keys and, as there is no manifest yet, at what else the collection holds.

    The last of what it returns says whether that was all. If not, because one listing does not name
    it all or S3 would not tell about some key, a backfill is asked for. That is done before the head
    is written: a crash in between costs a message about nothing, not a manifest never filled in.
    """
    collection = outcome.collection
    listing = world.store.list(collection.prefix)
    named = set(keys)
    unnamed = [key for key in own_keys(world, collection, listing.keys) if key not in named]
    seen, failures = observe(world, collection, keys, source, outcome.md5s)
    if not listing.truncated:
        seen_too, failures_too = observe(world, collection, unnamed, "s3_scan", outcome.md5s)
        seen, failures = seen + seen_too, failures + failures_too
    covers_all = not listing.truncated and not failures
    if not covers_all:
        world.ask(Backfill(kind=collection.kind, id=collection.id, created_at=now))
    return seen, failures, covers_all


def own_keys(world: World, collection: Collection, keys: Iterable[str]) -> list[str]:
    """Those of the keys below the collection's prefix that are not a nested collection's."""
    return [key for key in keys if world.collections.of(key) == collection]


def _back_off(world: World, lost_in_a_row: int) -> None:
    """Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/"""
    world.sleep(world.random() * min(_BACKOFF_CAP_SECONDS, _BACKOFF_SECONDS * 2**lost_in_a_row))
