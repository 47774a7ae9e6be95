"""A model of the sweep queue and its function, in virtual time: one message after the other.

Functions may die, at any request; their message is delivered again, as SQS does it.
"""

import math
from collections import deque
from collections.abc import Callable

from benchmarks import handlers, template
from benchmarks.virtual_time import VirtualTime, Worker
from s3_manifest.manifest.jobs import Job, decode_job, encode_job
from s3_manifest.reconcile.environment import Environment
from s3_manifest.storage.store import Store
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepResult


class SweepQueue:
    """Messages, and the function that takes them. ``lives`` tells for how many seconds the next one does."""

    def __init__(self, time: VirtualTime, store: Store, lives: Callable[[], float] = lambda: math.inf) -> None:
        self.killed = 0
        self.cpu_seconds = 0.0
        """What the functions really took of ours."""
        self._time = time
        self._store = store
        self._lives = lives
        self._outbox = handlers.Outbox()

    def drain(self, job: Job) -> list[SweepResult]:
        """What came of the job, and of all that it asked for, message by message."""
        waiting: deque[tuple[str, float, bool]] = deque([(encode_job(job), self._time.now, False)])
        done: list[SweepResult] = []
        while waiting:
            body, at, repeated = waiting.popleft()
            begun = self._time.now = max(self._time.now, at)
            swept = self._invoke(body, repeated=repeated)
            # What a function put into the queue before it died is there all the same.
            waiting += [(encode_job(one), self._time.now + delay, False) for one, delay in self._outbox.jobs]
            self._outbox.jobs.clear()
            if swept:
                done.append(swept)
            else:
                self.killed += 1
                waiting.append((body, begun + template.sweep_visibility(), True))
        return done

    def _invoke(self, body: str, *, repeated: bool) -> SweepResult | None:
        """None: it died."""
        begun, timeout = self._time.now, template.sweep_timeout()
        worker = Worker(dies_at=begun + min(timeout, self._lives()))
        done: list[SweepResult] = []

        def work() -> None:
            environment = self.environment(lambda: begun + timeout - self._time.now)
            # As the function's handler has it: from half time on, the rest is left to another message.
            done.append(run_job(environment, decode_job(body), timeout / 2, repeated=repeated))

        self._time.spawn(work, worker)
        self._time.run()
        self.cpu_seconds += worker.cpu_seconds
        return done[0] if done else None

    def environment(self, seconds_left: Callable[[], float]) -> Environment:
        """What the functions are given."""
        return handlers.environment(
            self._store, self._time, self._outbox, seconds_left, lambda: handlers.clock(self._time)
        )
