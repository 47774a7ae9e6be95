"""How far it is, on stderr: on a terminal one line that changes, elsewhere a line now and then."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_EVERY_SECONDS = 5.0


class Progress:
    """Counts of one step; ``done`` may be called by any thread."""

    def __init__(self, doing: str, total: int) -> None:
        self._doing, self._total, self._count = doing, total, 0
        self._is_terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._said_at = time.monotonic()

    def done(self, count: int = 1) -> None:
        """So many more are done."""
        with self._lock:
            self._count += count
            now = time.monotonic()
            if now - self._said_at > (0.1 if self._is_terminal else _EVERY_SECONDS):
                self._said_at = now
                self._say("\r" if self._is_terminal else "", "" if self._is_terminal else "\n")

    def end(self) -> None:
        """Says the last count."""
        self._say("\r" if self._is_terminal else "", "\n")

    def _say(self, before: str, after: str) -> None:
        sys.stderr.write(f"{before}{self._doing}: {self._count:,} of {self._total:,}{after}")
        sys.stderr.flush()


@contextmanager
def progress(doing: str, total: int) -> Iterator[Progress]:
    """Tells how far a step is, if there is anything to do in it."""
    told = Progress(doing, total)
    try:
        yield told
    finally:
        if total:
            told.end()
