"""The wish that a run ends now, asked once and heard by all that is under way."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):
    """It was not done, as the run was asked to stop. No failure: the next run goes on from here."""


class Stop:
    """Asked for from any thread; what waits is woken, and what begins afterwards does not begin."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._calls: list[Callable[[], None]] = []

    @property
    def asked(self) -> bool:
        """Whether somebody has asked."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ends the run. A repeat does no harm."""
        self._asked.set()
        for call in list(self._calls):
            call()

    def check(self) -> None:
        """Raises ``Stopped`` if somebody has asked."""
        if self.asked:
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Waits so long. Raises ``Stopped`` as soon as somebody asks."""
        self._asked.wait(seconds)
        self.check()

    def when_asked(self, call: Callable[[], None]) -> None:
        """``call`` is made in the thread that asks; it must be quick."""
        self._calls.append(call)
        if self.asked:
            call()


@contextmanager
def terminable() -> Iterator[None]:
    """In the block a SIGTERM is a ``KeyboardInterrupt`` as Ctrl-C is. For the main thread, which gets both."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
