"""So many bytes may be in memory at once, and who would need more waits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from s3_manifest_cli.client.transfer.cancellation import Cancellation


class Budget:
    """Bytes, taken before they are fetched or read and given back when nobody holds them any more."""

    def __init__(self, size: int, cancellation: Cancellation) -> None:
        self._size, self._free, self._cancellation = size, size, cancellation
        self._changed = threading.Condition()
        cancellation.on_cancel(self._wake)

    def take(self, size: int) -> int:
        """Waits until there are so many, and takes them; how many were taken. Raises ``Cancelled``.

        What is larger than all there is takes all there is: it comes to its turn, alone.
        """
        taken = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken or self._cancellation.is_requested)
            self._cancellation.check()
            self._free -= taken
        return taken

    def try_take(self, size: int) -> int | None:
        """The same without waiting; None where there are not so many now. Raises ``Cancelled``."""
        taken = min(size, self._size)
        self._cancellation.check()
        with self._changed:
            if self._free < taken:
                return None
            self._free -= taken
        return taken

    def give(self, taken: int) -> None:
        """Gives back what ``take`` took."""
        with self._changed:
            self._free += taken
            self._changed.notify_all()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Takes them for the block."""
        taken = self.take(size)
        try:
            yield
        finally:
            self.give(taken)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
