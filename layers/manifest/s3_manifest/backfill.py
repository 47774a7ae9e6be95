"""Fills in a manifest whose collection held more, at first sight, than one listing names."""

from dataclasses import dataclass

from s3_manifest import heads
from s3_manifest.collections import Collection
from s3_manifest.commit import commit, own_keys
from s3_manifest.world import Backfill, World

MAX_UNREADABLE = 100
"""So many keys that S3 does not tell about are no odd objects any more, but a missing permission."""


class BackfillFailed(Exception):
    """Keys could not be looked at, so the manifest stays incomplete; the text names them."""


@dataclass(frozen=True)
class Progress:
    """How far a backfill came: ``looked_at`` keys, and whether nothing remains to be done."""

    looked_at: int
    finished: bool


def backfill(world: World, request: Backfill, pause_with_seconds_left: float) -> Progress:
    """Looks at everything from the request's place on, through the ordinary commits.

    When less than ``pause_with_seconds_left`` remain it asks for its own continuation and ends. A
    repeat is harmless. Raises ``BackfillFailed`` where keys could not be looked at (the request,
    sent again, tries from its place on), and what ``commit`` raises.
    """
    collection = world.collections.named(request.kind, request.id)
    if collection is None:  # no longer one of the collections
        return Progress(0, finished=True)
    loaded = heads.load(world.store, collection)
    if loaded is None:
        raise BackfillFailed(f"{collection.head_key}: not there yet; the backfill is tried again later")
    if loaded.head.created_at != request.created_at or loaded.head.complete:
        return Progress(0, finished=True)
    rest: Backfill | None = request
    looked_at = 0
    while rest:
        looked_at_now, rest = _one_listing(world, collection, rest)
        looked_at += looked_at_now
        if rest and world.seconds_left() < pause_with_seconds_left:
            world.ask(rest)
            return Progress(looked_at, finished=False)
    return Progress(looked_at, finished=True)


def _one_listing(world: World, collection: Collection, request: Backfill) -> tuple[int, Backfill | None]:
    """Commits what one listing names: how many keys that were, and what is left to ask for, if anything."""
    listing = world.store.list(collection.prefix, after=request.after)
    keys, unreadable = own_keys(world, collection, listing.keys), list(request.unreadable)
    if not listing.truncated:
        # The odd ones met on the way have their second chance here.
        keys, unreadable = [*keys, *unreadable], []
    completes = None if listing.truncated else request.created_at
    outcome = commit(world, collection, keys, "s3_scan", completes=completes)
    looked_at = len(keys) - len(outcome.not_done)
    if not outcome.finished:
        if not outcome.commits:
            raise BackfillFailed(f"{collection.prefix}: time ran out after {request.after!r}; it is tried again later")
        return looked_at, request
    unreadable += outcome.unreadable
    if len(unreadable) > MAX_UNREADABLE or (unreadable and not listing.truncated):
        raise BackfillFailed(
            f"{collection.prefix}: {len(unreadable)} objects could not be looked at, the first:"
            f" {next(iter(outcome.unreadable.values()), unreadable[0])}. Mend that and redrive this message"
        )
    if not listing.truncated:
        return looked_at, None
    return looked_at, request.model_copy(update={"after": listing.keys[-1], "unreadable": tuple(unreadable)})
