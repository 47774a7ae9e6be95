"""A seeded scheduler: it interleaves plain code at every pause, reproducibly."""

from collections.abc import Callable
from random import Random

from greenlet import getcurrent, greenlet


class Scheduler:
    """Runs one task at a time, each until it pauses, and picks the next one at random.

    A uniform choice seldom stalls one task during the whole work of another one, and that is
    where protocols break. So in some runs tasks have random priorities, the first one always
    continues, and sometimes it becomes the last: few, but long, stalls (as in "A Randomized Scheduler
    with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010).
    """

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._hub = getcurrent()
        self._ready: list[tuple[float, greenlet]] = []
        self._stall = chance.choice((None, 0.03, 0.1, 0.3))
        self._last = 0.0
        self._current = 0.0

    def spawn(self, task: Callable[[], None]) -> None:
        """Adds a task; it begins when it is its turn."""
        self._ready.append((self._chance.random(), greenlet(task, parent=self._hub)))

    def pause(self) -> None:
        """Lets other tasks continue; returns when it is the caller's turn again."""
        self._ready.append((self._current, getcurrent()))
        self._hub.switch()

    def wait(self) -> None:
        """Like ``pause``, for longer or shorter: others may make much progress meanwhile."""
        self._current = self._chance.uniform(self._last, 1)
        self.pause()

    def step(self) -> bool:
        """Runs one task until its next pause; returns False if none is left."""
        if not self._ready:
            return False
        ready = self._ready
        if self._stall is None:
            index = self._chance.randrange(len(ready))
        else:
            index = max(range(len(ready)), key=lambda i: ready[i][0])
            if self._chance.random() < self._stall:
                self._last -= 1
                ready[index] = (self._last, ready[index][1])
                index = max(range(len(ready)), key=lambda i: ready[i][0])
        ready[index], ready[-1] = ready[-1], ready[index]
        self._current, task = ready.pop()
        task.switch()
        return True
