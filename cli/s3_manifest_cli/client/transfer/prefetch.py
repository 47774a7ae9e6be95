"""Small objects, each in one request: many more on their way than there are threads to put them in their places."""

from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from s3_manifest_cli.client.transfer.download import DownloadRequest
from s3_manifest_cli.client.transfer.objects import Objects

Item = TypeVar("Item")

_AT_ONCE = 128


class Fetched(NamedTuple, Generic[Item]):
    """What came of an object: ``body`` holds all of its bytes as one, unless there is an ``error``.

    ``taken`` is what they hold of ``Objects.budget``, for who gets this to give back.
    """

    item: Item
    body: list[bytes]
    taken: int
    error: Exception | None


def prefetch(objects: Objects, items: Iterable[tuple[Item, DownloadRequest]]) -> Iterator[Fetched[Item]]:
    """Each object as soon as it came, in any order, as many on their way as there is room for. Raises ``Cancelled``.

    Who leaves the iterator leaves what is on its way to the end of ``objects``.
    """
    came: SimpleQueue[Fetched[Item]] = SimpleQueue()
    todo = iter(items)
    following = next(todo, None)
    pending = 0
    while following or pending:
        while following and pending < _AT_ONCE:
            # Who has objects on their way may not wait for room: nobody would take them.
            size = following[1].size
            taken = objects.budget.try_take(size) if pending else objects.budget.take(size)
            if taken is None:
                break
            _begin(objects, *following, taken, came)
            pending += 1
            following = next(todo, None)
        pending -= 1
        yield came.get()


def _begin(
    objects: Objects, item: Item, wanted: DownloadRequest, taken: int, came: "SimpleQueue[Fetched[Item]]"
) -> None:
    def done(body: bytes, error: Exception | None) -> None:
        came.put(Fetched(item, [body], taken, error))

    try:
        objects.begin_get_all(wanted.key, wanted.etag, wanted.version_id, done)
    except BaseException:
        objects.budget.give(taken)
        raise
