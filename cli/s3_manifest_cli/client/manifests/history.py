"""What each revision of a manifest changed, as far as that is kept."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.manifests.manifests import Change, Manifests
from s3_manifest_cli.errors import NotFound, NotKept

LIMIT = 20
"""So many revisions are told, if nothing else is asked for."""

_AT_ONCE = 100


class Untold(NamedTuple):
    """The revisions from ``first`` to ``last``, whose changes are not told, and ``why``."""

    first: int
    last: int
    why: str


class History(NamedTuple):
    """Changes in order; ``revision`` is the manifest's by then.

    ``reached`` is the last revision that was told, or is not kept: what follows it, asked for with ``since``, is all
    of the rest.
    """

    collection: Collection
    revision: int
    reached: int
    changes: list[Change]
    untold: list[Untold]


def history(manifests: Manifests, collection: Collection, *, since: int | None = None, limit: int = LIMIT) -> History:
    """The changes of the first ``limit`` revisions after ``since``; without it, of the last ``limit``.

    Raises ``NotFound``, ``Unavailable``.
    """
    revision = manifests.facts(collection).revision
    if since is not None and since > revision:
        raise NotFound(f"there is no revision {since} yet; the last is {revision}")
    found = History(collection, revision, max(0, revision - limit) if since is None else since, [], [])
    while found.reached < revision and len(found.changes) < limit:
        told = _after(manifests, collection, found.reached, limit - len(found.changes))
        if isinstance(told, Untold):
            found.untold.append(told)
            found = found._replace(reached=told.last)
        else:
            found.changes.extend(told)
            found = found._replace(reached=told[-1].revision if told else revision)
    return found


def follow(
    manifests: Manifests,
    collection: Collection,
    since: int,
    *,
    pause_seconds: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Change | Untold]:
    """The changes of all revisions after ``since``, for ever, a pause after there was none. Raises as ``history``."""
    while True:
        told = _after(manifests, collection, since, _AT_ONCE)
        if isinstance(told, Untold):
            yield told
            since = told.last
        elif told:
            yield from told
            since = told[-1].revision
        else:
            sleep(pause_seconds)


def _after(manifests: Manifests, collection: Collection, since: int, limit: int) -> list[Change] | Untold:
    try:
        return manifests.changes(collection, since, limit)
    except NotKept as gone:
        return Untold(since + 1, max(gone.oldest - 1, since + 1), str(gone))
