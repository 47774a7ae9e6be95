"""Cancellation of a run from any thread, noticed by everything in progress."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancelled(Exception):
    """The run was cancelled before this was done. It is no failure: the next run continues from here."""


class Cancellation:
    """A request to end a run: waiting threads wake up, and nothing new begins.

    Cancelling its ``parent`` cancels it too.
    """

    def __init__(self, parent: "Cancellation | None" = None) -> None:
        self._event = threading.Event()
        self._callbacks: list[Callable[[], None]] = []
        self._parent = parent
        if parent:
            parent.on_cancel(self.cancel)

    @property
    def is_requested(self) -> bool:
        """Whether ``cancel`` was called, also that of the parent."""
        return self._event.is_set() or (self._parent is not None and self._parent.is_requested)

    def cancel(self) -> None:
        """Requests the end of the run. A repeat is harmless."""
        self._event.set()
        for callback in list(self._callbacks):
            callback()

    def check(self) -> None:
        """Raises ``Cancelled`` after ``cancel``."""
        if self.is_requested:
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Waits. Raises ``Cancelled`` as soon as ``cancel`` is called."""
        self._event.wait(seconds)
        self.check()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Registers a callback for ``cancel``, which calls it in its own thread; it must be quick."""
        self._callbacks.append(callback)
        if self.is_requested:
            callback()


@contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM raise ``KeyboardInterrupt``, as Ctrl-C does, for the block. In other threads it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
