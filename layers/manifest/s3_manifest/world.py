"""Everything outside of the package that reconciling touches, passed in."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from s3_manifest.collections import Collections
from s3_manifest.facts import Location
from s3_manifest.model import Frozen, Timestamp
from s3_manifest.store import Store

RESERVE_SECONDS = 10.0
"""Nothing long is begun with less time left: what is cut off in the middle only delays others."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Backfill(Frozen):
    """A request to look at all that is in S3 below a collection's prefix, after the key ``after``.

    ``created_at`` is that of the head it is for: with another head there, it has nothing to do.
    ``unreadable`` are keys passed on the way that S3 would not tell about.
    """

    kind: str
    id: str
    created_at: Timestamp
    after: str = ""
    unreadable: tuple[str, ...] = ()


class Each(Protocol):
    """``work`` of every item, several at once; its results in order, when all is done.

    Nothing goes on in the background after it returns or raises.
    """

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:  # noqa: D102
        ...


@dataclass(frozen=True)
class World:
    """What is given to the commit protocol instead of being reached for.

    ``ask`` enqueues a backfill; ``seconds_left`` is what remains until whoever runs this is
    stopped; ``random`` is uniform in [0, 1); ``commit_id`` gives one never given before.
    """

    store: Store
    collections: Collections
    location: Location
    md5_max_bytes: int
    ask: Callable[[Backfill], None]
    each: Each
    now: Callable[[], Timestamp]
    seconds_left: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]
    commit_id: Callable[[], str]
