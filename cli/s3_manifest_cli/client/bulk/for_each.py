"""Runs a function of the client for each of many collections, several at a time.

All of them share the threads, the connections and the memory for transferred bytes that one command has. Collections
with many files wait for each other, so that few large manifests are in memory at the same time.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from copy import copy
from typing import TypeVar

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.bulk.selection import Selection
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import DEFAULTS, SyncOptions
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.client.transfer.concurrency import MemoryBudget, Outcome, map_concurrently
from s3_manifest_cli.client.transfer.sharing import SharedObjects
from s3_manifest_cli.errors import NoManifest

Result = TypeVar("Result")

_COLLECTIONS = 16
"""The number of collections at the same time; most of a small one's time is spent waiting for a few requests."""

_FILES = 200_000
"""The number of files in the manifests that are in memory at the same time; a larger manifest is there alone."""


def for_each(
    selection: Selection, work: Callable[[Deployment, Collection, SyncOptions], Result], options: SyncOptions = DEFAULTS
) -> Iterator[Outcome[Collection, Result]]:
    """Calls ``work`` for every collection, and yields its results and errors as they come.

    ``work`` gets the deployment, the collection and the options, and passes them on; those of ``pull``, ``push``,
    ``sync`` and ``restore`` share connections and memory by them. A ``S3ManifestError`` or ``OSError`` is the outcome
    of its collection and does not stop the others; any other error of ``work`` cancels them and is raised. A collection
    that turns out to have no manifest has no outcome if only a pattern selected it. Leaving the iterator, by Ctrl-C or
    otherwise, cancels those in progress. Raises ``Cancelled`` after ``options.cancellation.cancel()``.
    """
    deployment = selection.deployment
    cancellation = options.cancellation or Cancellation()
    budget = MemoryBudget(_FILES, cancellation)

    def run(collection: Collection) -> Result:
        admitted: list[int] = []

        def admit(files: int) -> None:
            if not admitted:  # to wait with some admitted already could be for ever
                admitted.append(budget.reserve(files))

        manifests = copy(deployment.manifests)
        manifests.admit = admit
        # An unexpected error cancels the rest of its plan, not of the other collections.
        own = options._replace(cancellation=Cancellation(cancellation), shared=shared)
        try:
            return work(deployment._replace(manifests=manifests), collection, own)
        except Cancelled:
            cancellation.cancel()
            raise
        finally:
            budget.release(sum(admitted))

    with SharedObjects(deployment.session, deployment.endpoint, cancellation) as shared:
        threads = min(_COLLECTIONS, len(selection.collections))
        outcomes = map_concurrently(run, selection.collections, cancellation, threads=threads)
        with closing(outcomes):
            for outcome in outcomes:
                if not (isinstance(outcome.error, NoManifest) and outcome.item in selection.unconfirmed):
                    yield outcome
        cancellation.check()
