"""A simulated S3: each request pauses, then takes effect atomically, or fails at the worst moment."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import TypeVar

from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Conflict, Folders, HeadResult, Listing, OutcomeUnknown, ReadFailed, StoredObject
from simulation.scheduler import Scheduler

Result = TypeVar("Result")


class Crashed(BaseException):
    """The process that sent the request died. Not an ``Exception``, so that no handler catches it."""


class SimulatedBucket:
    """A ``Store`` over a ``MemoryStore``, for one worker of a simulation.

    Every request waits for the scheduler, then happens atomically. All workers share ``faults``, the remaining
    faults: they run out, so that the system comes to rest.
    """

    def __init__(
        self,
        truth: MemoryStore,
        scheduler: Scheduler,
        chance: Random,
        faults: list[str],
        page: int,
        on_write: Callable[[str], None],
        on_delete: Callable[[str], None],
        day: Callable[[], int],
    ) -> None:
        self.truth = truth
        self._day = day
        self._born = day()
        self._scheduler = scheduler
        self._chance = chance
        self._faults = faults
        self._page = page
        self._on_write = on_write
        self._on_delete = on_delete

    def _fault(self, *kinds: str) -> str | None:
        if self._faults and self._chance.random() < 0.1 and self._faults[-1] in kinds:
            return self._faults.pop()
        return None

    def _pause(self) -> None:
        self._scheduler.pause()
        if self._day() != self._born:
            raise Crashed  # no function lives for a day

    def _read(self, key: str, effect: Callable[[], Result]) -> Result:
        self._pause()
        fault = self._fault("refused", "crash")
        if fault == "refused":
            raise ReadFailed(key, "503, or 403: it does not matter")
        if fault == "crash":
            raise Crashed
        return effect()

    def get(self, key: str) -> StoredObject | None:
        return self._read(key, lambda: self.truth.get(key))

    def get_if_changed(self, key: str, etag: str) -> None:
        raise NotImplementedError("the reconciler reads whole heads")

    def head(self, key: str) -> HeadResult:
        return self._read(key, lambda: self.truth.head(key))

    def md5(self, key: str, etag: str) -> str:
        return self._read(key, lambda: self.truth.md5(key, etag))

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        return self._read(prefix, lambda: self.truth.list(prefix, after=after, limit=min(limit, self._page)))

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        return self._read(prefix, lambda: self.truth.folders(prefix, after=after, limit=min(limit, self._page)))

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        def effect() -> str:
            etag = self.truth.put(key, body, replaces=replaces, metadata=metadata)
            self._on_write(key)
            return etag

        return self._write(key, effect)

    def add(self, key: str, body: bytes) -> None:
        self._write(key, lambda: self.truth.add(key, body))

    def delete(self, keys: Sequence[str]) -> None:
        # Not atomic: it may be interrupted at any point.
        for key in keys:
            self._write(key, lambda key=key: self._remove(key))

    def _remove(self, key: str) -> None:
        self._on_delete(key)
        self.truth.remove(key)

    def _write(self, key: str, effect: Callable[[], Result]) -> Result:
        def late_effect() -> None:
            self._scheduler.wait()
            if self._day() == self._born:
                with suppress(Conflict):  # the condition rejects a late write
                    effect()

        before: dict[str, BaseException] = {
            "409": Conflict(key, "409"),
            "never sent": OutcomeUnknown(key, "503"),
            "crash": Crashed(),
        }
        meanwhile = {"still in flight": OutcomeUnknown(key, "time-out"), "crash in flight": Crashed()}
        after = {"answer lost": OutcomeUnknown(key, "reset by peer"), "crash after": Crashed()}

        self._pause()
        fault = self._fault(*before, *meanwhile, *after)
        if fault in before:
            raise before[fault]
        if fault in meanwhile:
            self._scheduler.spawn(late_effect)
            raise meanwhile[fault]
        answer = effect()
        if fault in after:
            raise after[fault]
        return answer


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
