"""Plain code in virtual time: tasks sleep on a clock that jumps to whoever wakes next."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from time import process_time
from typing import TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Worker:
    """A machine with one CPU, which its tasks share until it dies.

    ``cpu_seconds`` is what they really took of ours.
    """

    cpu_seconds: float = 0.0
    busy_until: float = 0.0
    dies_at: float = math.inf


class Task(greenlet):
    """Code that runs until it sleeps. What it spawns belongs to the same worker."""

    worker: Worker
    due: int
    """The entry of the heap that wakes it; an older one is of no account, as something else woke the task."""


class Signal:
    """Something that tasks wait for."""

    def __init__(self) -> None:
        self.waiting: deque[Task] = deque()


class VirtualTime:
    """A clock in seconds, and the tasks that sleep on it. A run is the same every time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._hub = getcurrent()
        self._order = count()
        self._sleeping: list[tuple[float, int, Task]] = []

    @property
    def worker(self) -> Worker:
        """Whose task is running."""
        return getcurrent().worker

    def spawn(self, work: Callable[[], None], worker: Worker | None = None) -> None:
        """Adds a task; it begins now, on that worker or else on the calling task's (a new one outside of tasks)."""
        task = Task(work, parent=self._hub)
        task.worker = worker or getattr(getcurrent(), "worker", None) or Worker()
        self._wake(task, 0)

    def sleep(self, seconds: float) -> None:
        """Lets time pass for the calling task, which ends here if its worker dies meanwhile."""
        self._live_on()
        self._wake(getcurrent(), seconds)
        self._hub.switch()
        self._live_on()

    def wait(self, signal: "Signal", seconds: float) -> None:
        """Lets time pass until the signal wakes the calling task, but no longer than so many seconds."""
        task = getcurrent()
        signal.waiting.append(task)
        self.sleep(seconds)
        if task in signal.waiting:
            signal.waiting.remove(task)

    def wake_one(self, signal: "Signal") -> None:
        """Wakes the task that has waited longest for the signal, if there is one."""
        if signal.waiting:
            self._wake(signal.waiting.popleft(), 0)

    def compute(self, seconds: float) -> None:
        """Keeps the worker's CPU busy for so long, after what its other tasks have asked of it before."""
        worker = self.worker
        worker.busy_until = max(self.now, worker.busy_until) + seconds
        self.sleep(worker.busy_until - self.now)

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """What is done in the block, without sleeping, is not the worker's: it plays the other side."""
        begun = process_time()
        yield
        self.worker.cpu_seconds -= process_time() - begun

    def run(self) -> None:
        """Goes on until no task is left."""
        while self._sleeping:
            at, order, task = heapq.heappop(self._sleeping)
            if task.due != order:
                continue
            self.now = at
            begun = process_time()
            task.switch()
            task.worker.cpu_seconds += process_time() - begun

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

    def on(self, worker: Worker, work: Callable[[], Result]) -> Result:
        """``work``, done by that worker while the calling task waits."""
        results: list[Result] = []
        waiting = getcurrent()

        def do() -> None:
            results.append(work())
            self._wake(waiting, 0)

        self.spawn(do, worker)
        self._hub.switch()
        return results[0]

    def _live_on(self) -> None:
        if self.now >= self.worker.dies_at:
            raise GreenletExit

    def _wake(self, task: Task, seconds: float) -> None:
        task.due = next(self._order)
        heapq.heappush(self._sleeping, (self.now + seconds, task.due, task))
