"""Concurrent requests on threads that end with the call."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 32


def parallel_map(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Returns the result of ``work`` for each item, in order; runs up to 32 concurrently. See ``store.ParallelMap``.

    Each call starts its own threads, which takes milliseconds: nothing outlives it, and calls can be nested.
    """
    pending = list(items)
    if len(pending) < 2:
        return [work(item) for item in pending]
    with ThreadPoolExecutor(min(_THREADS, len(pending))) as pool:
        return list(pool.map(work, pending))
