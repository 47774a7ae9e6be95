"""Plain code in virtual time: tasks sleep on a clock that jumps to whoever wakes next."""

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from typing import TypeVar

from greenlet import getcurrent, greenlet

Item = TypeVar("Item")
Result = TypeVar("Result")


class VirtualTime:
    """A clock in seconds, and the tasks that sleep on it. A run is the same every time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._hub = getcurrent()
        self._order = count()
        self._sleeping: list[tuple[float, int, greenlet]] = []

    def spawn(self, task: Callable[[], None]) -> None:
        """Adds a task; it begins now."""
        self._wake(greenlet(task, parent=self._hub), 0)

    def sleep(self, seconds: float) -> None:
        """Lets time pass for the calling task."""
        self._wake(getcurrent(), seconds)
        self._hub.switch()

    def run(self) -> None:
        """Goes on until no task is left."""
        while self._sleeping:
            self.now, _, task = heapq.heappop(self._sleeping)
            task.switch()

    def each(self, work: Callable[[Item], Result], items: Iterable[Item], at_once: int) -> list[Result]:
        """``work`` of every item, so many at once; returns when all is done."""
        todo = list(enumerate(items))
        results: dict[int, Result] = {}
        waiting = getcurrent()
        lanes = min(at_once, len(todo))
        todo.reverse()

        def lane() -> None:
            nonlocal lanes
            while todo:
                index, item = todo.pop()
                results[index] = work(item)
            lanes -= 1
            if not lanes:
                self._wake(waiting, 0)

        for _ in range(lanes):
            self.spawn(lane)
        if lanes:
            self._hub.switch()
        return [results[index] for index in sorted(results)]

    def _wake(self, task: greenlet, seconds: float) -> None:
        heapq.heappush(self._sleeping, (self.now + seconds, next(self._order), task))
