"""Several requests at once, on threads that end with the call."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 32


def each(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """``work`` of every item, some 30 at once; its results in order. See ``environment.Each``.

    Threads are made anew each time: some milliseconds, for which nothing outlives the call and one
    call may be made within another.
    """
    todo = list(items)
    if len(todo) < 2:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(_THREADS, len(todo))) as pool:
        return list(pool.map(work, todo))
