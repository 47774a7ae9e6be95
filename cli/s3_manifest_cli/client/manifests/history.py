"""What each revision of a manifest changed, as far as that is kept."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.manifests.manifests import Change, Manifests
from s3_manifest_cli.errors import HistoryExpired, NotFound

DEFAULT_LIMIT = 20
"""So many revisions are told, if nothing else is asked for."""

_AT_ONCE = 100


class ExpiredRevisions(NamedTuple):
    """The revisions from ``first`` to ``last``, whose changes are not told, and ``why``."""

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
        raise NotFound(f"there is no revision {since} yet; the last is {revision}")
    found = History(collection, revision, max(0, revision - limit) if since is None else since, [], [])
    while found.last_revision < revision and len(found.changes) < limit:
        told = _after(manifests, collection, found.last_revision, limit - len(found.changes))
        if isinstance(told, ExpiredRevisions):
            found.expired.append(told)
            found = found._replace(last_revision=told.last)
        else:
            found.changes.extend(told)
            found = found._replace(last_revision=told[-1].revision if told else revision)
    return found


def follow(
    manifests: Manifests,
    collection: Collection,
    since: int,
    *,
    pause_seconds: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Change | ExpiredRevisions]:
    """The changes of all revisions after ``since``, for ever, a pause after there was none. Raises as ``history``."""
    while True:
        told = _after(manifests, collection, since, _AT_ONCE)
        if isinstance(told, ExpiredRevisions):
            yield told
            since = told.last
        elif told:
            yield from told
            since = told[-1].revision
        else:
            sleep(pause_seconds)


def _after(manifests: Manifests, collection: Collection, since: int, limit: int) -> list[Change] | ExpiredRevisions:
    try:
        return manifests.changes(collection, since, limit)
    except HistoryExpired as gone:
        return ExpiredRevisions(since + 1, max(gone.oldest - 1, since + 1), str(gone))
