"""Concurrent work on many items, and the memory that it may use."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from s3_manifest.storage.store import StoreError
from s3_manifest_cli.client.access.threads import MAX_THREADS, reserved_threads
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.errors import S3ManifestError

Item = TypeVar("Item")
Result = TypeVar("Result")

OnDone = Callable[[Result, Exception | None], None]
"""Called once at the end of a request, from any thread; the result is meaningless if there is an error."""

_FAILURES = (S3ManifestError, StoreError, OSError)


class Outcome(NamedTuple, Generic[Item, Result]):
    """What became of an item: either ``result`` or ``error`` is None."""

    item: Item
    result: Result | None
    error: Exception | None


def map_concurrently(
    work: Callable[[Item], Result], items: Iterable[Item], cancellation: Cancellation, *, threads: int = MAX_THREADS
) -> Generator[Outcome[Item, Result]]:
    """Calls ``work`` for every item in threads, which read ``items`` when they are free; yields outcomes as they come.

    At most ``threads`` of those that ``reserved_threads`` has. A ``StoreError``, ``S3ManifestError`` or ``OSError``
    is the outcome of its item; any other error cancels the rest and is raised. Leaving the iterator, by Ctrl-C or
    otherwise, cancels, and waits until running items have noticed: they, and items that did not start, have no
    outcome.
    """
    remaining = iter(items)
    lock = threading.Lock()
    # A thread ends with the error that it raised, or None.
    queue: SimpleQueue[Outcome[Item, Result] | BaseException | None] = SimpleQueue()

    def run() -> None:
        fatal: BaseException | None = None
        try:
            while not cancellation.is_requested:
                with lock:
                    item = next(remaining)
                try:
                    queue.put(Outcome(item, work(item), None))
                except _FAILURES as error:
                    queue.put(Outcome(item, None, error))
        except (StopIteration, Cancelled):
            pass
        except BaseException as error:  # noqa: BLE001  # it is raised in the caller's thread
            fatal = error
        finally:
            queue.put(fatal)

    with reserved_threads(threads) as count:
        # Daemons: a second Ctrl-C ends the program even if a disk does not respond.
        workers = [threading.Thread(target=run, daemon=True) for _ in range(count)]
        for worker in workers:
            worker.start()
        try:
            yield from _outcomes(queue, count)
        except BaseException:
            cancellation.cancel()
            raise
        finally:
            for worker in workers:
                worker.join()


def _outcomes(
    queue: "SimpleQueue[Outcome[Item, Result] | BaseException | None]", running: int
) -> Iterator[Outcome[Item, Result]]:
    while running:
        message = queue.get()
        if isinstance(message, Outcome):
            yield message
        elif message is None:
            running -= 1
        else:
            raise message


MEMORY = 128 << 20
"""The bytes that one command reserves."""


class MemoryBudget:
    """Bytes that callers reserve before they fetch or read them, and release afterwards."""

    def __init__(self, size: int, cancellation: Cancellation) -> None:
        self._size, self._free, self._cancellation = size, size, cancellation
        self._changed = threading.Condition()
        cancellation.on_cancel(lambda: self.release(0))  # it wakes the waiting threads

    def reserve(self, size: int) -> int:
        """Reserves free bytes when there are so many, or all if it is more; returns how many. Raises ``Cancelled``."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size or self._cancellation.is_requested)
            self._cancellation.check()
            self._free -= size
        return size

    def try_reserve(self, size: int) -> int | None:
        """As ``reserve``, but without waiting; None if there are not enough free bytes. Raises ``Cancelled``."""
        size = min(size, self._size)
        self._cancellation.check()
        with self._changed:
            if self._free < size:
                return None
            self._free -= size
        return size

    def release(self, size: int) -> None:
        """Releases what ``reserve`` returned."""
        with self._changed:
            self._free += size
            self._changed.notify_all()

    def hold(self, size: int, begin: Callable[[OnDone[Result]], None], on_done: OnDone[Result]) -> None:
        """Reserves bytes, as ``reserve``, for what ``begin`` begins, until that calls the function which it gets."""
        size = self.reserve(size)

        def release(result: Result, error: Exception | None) -> None:
            self.release(size)
            on_done(result, error)

        try:
            begin(release)
        except BaseException:
            self.release(size)
            raise

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Reserves bytes for the block."""
        size = self.reserve(size)
        try:
            yield
        finally:
            self.release(size)


def overlap(
    requests: Iterable[tuple[int, Callable[[OnDone[Result]], None]]], budget: MemoryBudget, limit: int
) -> Iterator[Result]:
    """Begins requests, at most ``limit`` at a time, and yields their results as they arrive.

    A request is the size of its memory, which it holds until its end, and a function that begins it. After an error,
    which is raised at the end, no more begin, but those in progress still arrive. However the iterator is left, none is
    in progress afterwards.
    """
    arrivals: SimpleQueue[tuple[Result, Exception | None]] = SimpleQueue()
    pending = 0
    failure: Exception | None = None

    def arriving(remaining: int) -> Iterator[Result]:
        nonlocal pending, failure
        while pending > remaining:
            result, error = arrivals.get()
            pending -= 1
            if error is None:
                yield result
            else:
                failure = failure or error

    try:
        for memory, begin in requests:
            try:
                budget.hold(memory, begin, lambda *arrival: arrivals.put(arrival))
            except Cancelled as error:
                failure = error
                break
            pending += 1
            yield from arriving(limit - 1)
            if failure:
                break
        yield from arriving(0)
    finally:
        for _ in range(pending):
            arrivals.get()
    if failure:
        raise failure
