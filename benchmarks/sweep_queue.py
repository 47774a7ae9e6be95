"""A model of the sweep queue and its function in virtual time: one message after the other.

Functions may die at any request; their message is delivered again, as by SQS.
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
    """Messages and the function that handles them. ``lifetime`` returns the seconds until the next invocation dies."""

    def __init__(self, time: VirtualTime, store: Store, lifetime: Callable[[], float] = lambda: math.inf) -> None:
        self.killed = 0
        self.cpu_seconds = 0.0
        """Real CPU time of the functions."""
        self._time = time
        self._store = store
        self._lifetime = lifetime
        self._outbox = handlers.Outbox()

    def drain(self, job: Job) -> list[SweepResult]:
        """The results of the job and of all jobs that it enqueued, message by message."""
        waiting: deque[tuple[str, float, bool]] = deque([(encode_job(job), self._time.now, False)])
        done: list[SweepResult] = []
        while waiting:
            body, at, repeated = waiting.popleft()
            start = self._time.now = max(self._time.now, at)
            result = self._invoke(body, repeated=repeated)
            # Jobs that a function enqueued before it died are delivered all the same.
            waiting += [(encode_job(enqueued), self._time.now + delay, False) for enqueued, delay in self._outbox.jobs]
            self._outbox.jobs.clear()
            if result:
                done.append(result)
            else:
                self.killed += 1
                waiting.append((body, start + template.sweep_visibility(), True))
        return done

    def _invoke(self, body: str, *, repeated: bool) -> SweepResult | None:
        """The result; None if the function died."""
        start, timeout = self._time.now, template.sweep_timeout()
        worker = Worker(dies_at=start + min(timeout, self._lifetime()))
        done: list[SweepResult] = []

        def work() -> None:
            environment = self.environment(lambda: start + timeout - self._time.now)
            # As in the handler: from half of its time on, the function leaves the remaining work to another message.
            done.append(run_job(environment, decode_job(body), timeout / 2, repeated=repeated))

        self._time.spawn(work, worker)
        self._time.run()
        self.cpu_seconds += worker.cpu_seconds
        return done[0] if done else None

    def environment(self, seconds_left: Callable[[], float]) -> Environment:
        """The environment of the functions."""
        return handlers.environment(
            self._store, self._time, self._outbox, seconds_left, lambda: handlers.clock(self._time)
        )
