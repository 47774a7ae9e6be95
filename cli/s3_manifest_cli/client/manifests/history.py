"""Lists what each revision of a manifest changed, for which change records are kept."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.manifests.manifests import Change, Manifests
from s3_manifest_cli.errors import HistoryExpired, NotFound

DEFAULT_LIMIT = 20
"""The number of revisions that ``history`` returns by default."""

_BATCH = 100


class ExpiredRevisions(NamedTuple):
    """The revisions from ``first`` to ``last``, whose changes are not kept; ``why`` is the reason."""

    first: int
    last: int
    why: str


class History(NamedTuple):
    """Changes in order. ``revision`` is the manifest's revision at that time.

    ``last_revision`` is the last revision in ``changes`` or ``expired``. To continue, pass it as ``since``.
    """

    collection: Collection
    revision: int
    last_revision: int
    changes: list[Change]
    expired: list[ExpiredRevisions]


def history(
    manifests: Manifests, collection: Collection, *, since: int | None = None, limit: int = DEFAULT_LIMIT
) -> History:
    """The changes of the first ``limit`` revisions after ``since``; without it, of the last ``limit``.

    Raises ``NotFound``, ``Unavailable``.
    """
    revision = manifests.facts(collection).revision
    if since is not None and since > revision:
        name = f"{collection.kind}/{collection.id}"
        raise NotFound(f"{name} has no revision {since} yet; the last is {revision}.")
    last = max(0, revision - limit) if since is None else since
    changes: list[Change] = []
    expired: list[ExpiredRevisions] = []
    while last < revision and len(changes) < limit:
        batch, position = _changes_after(manifests, collection, last, limit - len(changes))
        changes += (change for change in batch if isinstance(change, Change))
        expired += (change for change in batch if isinstance(change, ExpiredRevisions))
        last = position if batch else revision
    return History(collection, revision, last, changes, expired)


def follow(
    manifests: Manifests,
    collection: Collection,
    since: int,
    *,
    pause_seconds: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Change | ExpiredRevisions]:
    """The changes after ``since``, without end; pauses while there are none. Raises as ``history``."""
    while True:
        batch, since = _changes_after(manifests, collection, since, _BATCH)
        yield from batch
        if not batch:
            sleep(pause_seconds)


def _changes_after(
    manifests: Manifests, collection: Collection, since: int, limit: int
) -> tuple[Sequence[Change | ExpiredRevisions], int]:
    """The next changes, and the revision to continue after."""
    try:
        changes = manifests.changes(collection, since, limit)
    except HistoryExpired as error:
        expired = ExpiredRevisions(since + 1, max(error.oldest - 1, since + 1), str(error))
        return [expired], expired.last
    return changes, changes[-1].revision if changes else since
