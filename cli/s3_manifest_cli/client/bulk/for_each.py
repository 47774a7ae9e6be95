"""Runs a function of the client for each of many collections, several at a time.

All of them share the threads, the connections and the memory for transferred bytes that one command has.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeVar

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.bulk.selection import Selection
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import DEFAULTS, SyncOptions
from s3_manifest_cli.client.transfer.cancellation import Cancellation
from s3_manifest_cli.client.transfer.concurrency import Outcome, map_concurrently
from s3_manifest_cli.client.transfer.sharing import SharedObjects
from s3_manifest_cli.errors import NoManifest

Result = TypeVar("Result")

_COLLECTIONS = 16
"""The number of collections at the same time; most of a small one's time is spent waiting for a few requests."""


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
    with SharedObjects(deployment.session, deployment.endpoint, cancellation) as shared:
        options = options._replace(cancellation=cancellation, shared=shared)
        outcomes = map_concurrently(
            lambda collection: work(deployment, collection, options),
            selection.collections,
            cancellation,
            threads=min(_COLLECTIONS, len(selection.collections)),
        )
        with closing(outcomes):
            for outcome in outcomes:
                if not (isinstance(outcome.error, NoManifest) and outcome.item in selection.unconfirmed):
                    yield outcome
        cancellation.check()
