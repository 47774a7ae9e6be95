"""Plain code in virtual time: tasks sleep on a clock that jumps to the task that wakes next."""

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

    ``cpu_seconds`` is the real CPU time of the tasks.
    """

    cpu_seconds: float = 0.0
    busy_until: float = 0.0
    dies_at: float = math.inf


class Task(greenlet):
    """Code that runs until it sleeps. The tasks that it spawns belong to the same worker."""

    worker: Worker
    due: int
    """The heap entry that wakes the task; older entries are stale, because something else woke it."""


class Signal:
    """Something that tasks wait for."""

    def __init__(self) -> None:
        self.waiting: deque[Task] = deque()


class VirtualTime:
    """A clock in seconds, and the tasks that sleep on it. Deterministic."""

    def __init__(self) -> None:
        self.now = 0.0
        self._hub = getcurrent()
        self._order = count()
        self._sleeping: list[tuple[float, int, Task]] = []

    @property
    def worker(self) -> Worker:
        """The worker of the running task."""
        return getcurrent().worker

    def spawn(self, work: Callable[[], None], worker: Worker | None = None) -> None:
        """Starts a task now, on the given worker or on that of the calling task (outside of tasks, on a new one)."""
        task = Task(work, parent=self._hub)
        task.worker = worker or getattr(getcurrent(), "worker", None) or Worker()
        self._wake(task, 0)

    def sleep(self, seconds: float) -> None:
        """Suspends the calling task; if its worker dies meanwhile, the task ends here."""
        self._end_if_dead()
        self._wake(getcurrent(), seconds)
        self._hub.switch()
        self._end_if_dead()

    def wait(self, signal: "Signal", seconds: float) -> None:
        """Suspends the calling task until the signal wakes it, for at most ``seconds``."""
        task = getcurrent()
        signal.waiting.append(task)
        self.sleep(seconds)
        if task in signal.waiting:
            signal.waiting.remove(task)

    def wake_one(self, signal: "Signal") -> None:
        """Wakes the task that has waited longest for the signal, if any."""
        if signal.waiting:
            self._wake(signal.waiting.popleft(), 0)

    def compute(self, seconds: float) -> None:
        """Occupies the worker's CPU for ``seconds``, after the work of its other tasks."""
        worker = self.worker
        worker.busy_until = max(self.now, worker.busy_until) + seconds
        self.sleep(worker.busy_until - self.now)

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Does not charge the worker for the CPU time of the block, which simulates the server and does not sleep."""
        start = process_time()
        yield
        self.worker.cpu_seconds -= process_time() - start

    def run(self) -> None:
        """Runs until no task is left."""
        while self._sleeping:
            at, order, task = heapq.heappop(self._sleeping)
            if task.due != order:
                continue
            self.now = at
            start = process_time()
            task.switch()
            task.worker.cpu_seconds += process_time() - start

    def parallel_map(self, work: Callable[[Item], Result], items: Iterable[Item], concurrency: int) -> list[Result]:
        """The results of ``work`` for every item, ``concurrency`` items at a time."""
        todo = list(enumerate(items))
        results: dict[int, Result] = {}
        waiting = getcurrent()
        lanes = min(concurrency, len(todo))
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
        """The result of ``work`` on that worker; the calling task waits."""
        results: list[Result] = []
        waiting = getcurrent()

        def do() -> None:
            results.append(work())
            self._wake(waiting, 0)

        self.spawn(do, worker)
        self._hub.switch()
        return results[0]

    def _end_if_dead(self) -> None:
        if self.now >= self.worker.dies_at:
            raise GreenletExit

    def _wake(self, task: Task, seconds: float) -> None:
        task.due = next(self._order)
        heapq.heappush(self._sleeping, (self.now + seconds, task.due, task))
