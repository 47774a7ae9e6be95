"""Many files at once: outcomes as they come, one failure never stopping the rest, and one stop for all."""

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from s3_manifest.storage.store import StoreError
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.errors import S3ManifestError

Item = TypeVar("Item")
Result = TypeVar("Result")

_FAILURES = (S3ManifestError, StoreError, OSError)
_THREADS = 32


class Outcome(NamedTuple, Generic[Item, Result]):
    """What became of one item: either a result or an error, the other is None."""

    item: Item
    result: Result | None
    error: Exception | None


class _Ended(NamedTuple):
    """A thread has ended; ``fault`` is an error that none of us knows."""

    fault: BaseException | None


def map_concurrently(
    work: Callable[[Item], Result], items: Iterable[Item], cancellation: Cancellation, *, threads: int = _THREADS
) -> Iterator[Outcome[Item, Result]]:
    """``work`` of every item, so many at once, in threads that end with the iterator.

    An outcome for each item, in the order in which they are done. A ``StoreError``, ``S3ManifestError`` or
    ``OSError`` is that item's; any other stops all and is raised here. ``items`` is read only as far as there are
    threads for them, in any of those.

    Leaving the iterator, by Ctrl-C or otherwise, cancels, and waits until running items have noticed: they, and items
    that did not start, have no outcome.
    """
    todo = iter(items)
    turn = threading.Lock()
    done: SimpleQueue[Outcome[Item, Result] | _Ended] = SimpleQueue()

    def one() -> Outcome[Item, Result]:
        with turn:
            item = next(todo)
        return _outcome(work, item)

    def run() -> None:
        fault: BaseException | None = None
        try:
            while not cancellation.is_requested:
                done.put(one())
        except (StopIteration, Cancelled):
            pass
        except BaseException as error:  # noqa: BLE001  # it is raised where the outcomes are
            fault = error
        finally:
            done.put(_Ended(fault))

    # Daemons: a second Ctrl-C ends the program even where a disk does not answer.
    running = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield from _outcomes(done, len(running))
    except BaseException:
        cancellation.cancel()
        raise
    finally:
        for thread in running:
            thread.join()


def _outcomes(done: "SimpleQueue[Outcome[Item, Result] | _Ended]", running: int) -> Iterator[Outcome[Item, Result]]:
    while running:
        told = done.get()
        if not isinstance(told, _Ended):
            yield told
        elif told.fault:
            raise told.fault
        else:
            running -= 1


def _outcome(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    try:
        return Outcome(item, work(item), None)
    except _FAILURES as error:
        return Outcome(item, None, error)
