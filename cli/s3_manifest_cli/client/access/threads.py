"""The threads that all work of this process shares, so that many collections start no more than one does."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 32
"""How many threads work at the same time, besides one for each call that finds none free."""

_free = threading.BoundedSemaphore(MAX_THREADS)


@contextmanager
def reserved_threads(at_most: int) -> Iterator[int]:
    """Yields how many threads the block may start: at most so many, those that are free, but always one.

    It never waits, so calls can be nested.
    """
    reserved = 0
    while reserved < at_most and _free.acquire(blocking=False):
        reserved += 1
    try:
        yield max(1, reserved)
    finally:
        if reserved:
            _free.release(reserved)


def parallel_map(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The result of ``work`` for each item, in order; see ``store.ParallelMap``."""
    pending = list(items)
    if len(pending) < 2:
        return [work(item) for item in pending]
    with reserved_threads(len(pending)) as count, ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, pending))
