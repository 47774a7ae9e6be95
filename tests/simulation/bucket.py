"""S3 as the simulation knows it: atomic steps, a pause before each, and faults at the worst moments."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import TypeVar

from s3_manifest.memory import MemoryStore
from s3_manifest.store import Conflict, Listing, Observation, OutcomeUnknown, ReadFailed, Stored
from simulation.scheduler import Scheduler

Result = TypeVar("Result")


class Crashed(BaseException):
    """The process that made the request is gone. Not an Exception: nothing may catch it and go on."""


class SimulatedBucket:
    """A ``Store`` over a ``MemoryStore``, for one worker of a simulation.

    Every request waits for its turn, then happens at once. ``faults`` is how many more there will
    be, shared by all workers: in the end there are none, so that the system can come to rest.
    """

    def __init__(
        self,
        truth: MemoryStore,
        scheduler: Scheduler,
        chance: Random,
        faults: list[str],
        page: int,
        on_write: Callable[[str], None],
    ) -> None:
        self.truth = truth
        self._scheduler = scheduler
        self._chance = chance
        self._faults = faults
        self._page = page
        self._on_write = on_write

    def _fault(self, *kinds: str) -> str | None:
        if self._faults and self._chance.random() < 0.1 and self._faults[-1] in kinds:
            return self._faults.pop()
        return None

    def _read(self, key: str, effect: Callable[[], Result]) -> Result:
        self._scheduler.pause()
        fault = self._fault("refused", "crash")
        if fault == "refused":
            raise ReadFailed(key, "503, or 403: it does not matter")
        if fault == "crash":
            raise Crashed
        return effect()

    def get(self, key: str) -> Stored | None:
        return self._read(key, lambda: self.truth.get(key))

    def get_unless(self, key: str, etag: str) -> None:
        raise NotImplementedError("the reconciler reads whole heads")

    def head(self, key: str) -> Observation:
        return self._read(key, lambda: self.truth.head(key))

    def md5(self, key: str, etag: str) -> str:
        return self._read(key, lambda: self.truth.md5(key, etag))

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        return self._read(prefix, lambda: self.truth.list(prefix, after=after, limit=min(limit, self._page)))

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        raise NotImplementedError("the reconciler lists no folders")

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        def effect() -> str:
            etag = self.truth.put(key, body, replaces=replaces, metadata=metadata)
            self._on_write(key)
            return etag

        def late_effect() -> None:
            self._scheduler.wait()
            with suppress(Conflict):  # the condition protects against this very thing
                effect()

        before: dict[str, BaseException] = {
            "409": Conflict(key, "409"),
            "never sent": OutcomeUnknown(key, "503"),
            "crash": Crashed(),
        }
        meanwhile = {"still in flight": OutcomeUnknown(key, "time-out"), "crash in flight": Crashed()}
        after = {"answer lost": OutcomeUnknown(key, "reset by peer"), "crash after": Crashed()}

        self._scheduler.pause()
        fault = self._fault(*before, *meanwhile, *after)
        if fault in before:
            raise before[fault]
        if fault in meanwhile:
            self._scheduler.spawn(late_effect)
            raise meanwhile[fault]
        etag = effect()
        if fault in after:
            raise after[fault]
        return etag


FAULTS = (
    "refused",
    "refused",
    "409",
    "never sent",
    "answer lost",
    "still in flight",
    "crash",
    "crash in flight",
    "crash after",
)
