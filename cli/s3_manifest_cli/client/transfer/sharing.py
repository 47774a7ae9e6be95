"""Lets several plans run at the same time with the connections, the memory and the limit of deletions of one."""

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import boto3

from s3_manifest_cli.client.transfer.cancellation import Cancellation
from s3_manifest_cli.client.transfer.concurrency import MEMORY, MemoryBudget
from s3_manifest_cli.errors import Refused

if TYPE_CHECKING:  # imported when a plan transfers something
    from s3_manifest_cli.client.transfer.objects import Objects


class SharedObjects:
    """The ``Objects`` of each bucket, with one memory budget. Methods may be called from any thread.

    A context manager: at the end of its block no request is in progress.
    """

    def __init__(self, session: boto3.Session, endpoint: str | None, cancellation: Cancellation) -> None:
        self._session, self._endpoint, self._cancellation = session, endpoint, cancellation
        self._budget = MemoryBudget(MEMORY, cancellation)
        self._lock = threading.Lock()
        self._buckets: dict[str, Objects] = {}
        self._deletions = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def count_deletions(self, count: int, limit: int) -> None:
        """Adds those of a plan. Raises ``Refused``, and adds none, if all plans together would delete more."""
        with self._lock:
            if count and self._deletions + count > limit:
                files = "1 file" if count == 1 else f"{count:,} files"
                raise Refused(
                    f"Would delete {files}, besides {self._deletions:,} of other collections; the limit is {limit:,}. "
                    "Pass a higher --max-delete to allow it."
                )
            self._deletions += count

    def of(self, bucket: str) -> "Objects":
        """The objects of a bucket; its first call connects to it. Raises ``Unavailable``."""
        from s3_manifest_cli.client.transfer.objects import Objects  # noqa: PLC0415  # see above

        with self._lock:
            if bucket not in self._buckets:
                opened = Objects(
                    bucket, self._session, self._endpoint, cancellation=self._cancellation, budget=self._budget
                )
                self._buckets[bucket] = self._stack.enter_context(opened)
            return self._buckets[bucket]
