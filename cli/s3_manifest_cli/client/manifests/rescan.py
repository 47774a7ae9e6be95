"""Sweeps request for, waited for, and what they found."""

import time
from typing import NamedTuple

from s3_manifest.manifest.changes import Sort
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import SWEEP, Facts, Timestamp
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection
from s3_manifest.query.waiting import Clock, poll_until
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.history import history
from s3_manifest_cli.client.manifests.manifests import Manifests
from s3_manifest_cli.errors import NotFound, NotYet


class RescanRequest(NamedTuple):
    """A sweep that was request for. ``revision`` is what the manifest was at before; None where there was none.

    ``complete``: everything in S3 had been looked at before, so that what the sweep finds otherwise is drift.
    """

    collection: Collection
    requested_at: Timestamp
    revision: int | None
    complete: bool


class Drift(NamedTuple):
    """A file that the manifest was wrong about, and what mended that."""

    filename: str
    sort: Sort
    revision: int


class RescanResult(NamedTuple):
    """A sweep that is done. ``drift`` is None where the changes since do not tell it."""

    request: RescanRequest
    facts: Facts
    drift: list[Drift] | None


SYSTEM_CLOCK = Clock(time.monotonic, time.sleep)
"""How time passes outside of tests."""


def rescan(manifests: Manifests, collection: Collection) -> RescanRequest:
    """Asks for a sweep of one collection; there may be nothing in it. A repeat asks for another.

    Raises ``Invalid`` where the deployment's sweep queue is not known, ``Unavailable``.
    """
    before = _facts(manifests, collection)
    requested_at = manifests.rescan(collection)
    if before is None:
        return RescanRequest(collection, requested_at, None, complete=False)
    return RescanRequest(collection, requested_at, before.revision, before.complete)


def rescan_all(deployment: Deployment) -> list[RescanRequest]:
    """Asks for a sweep of every collection, also of those that have no manifest yet; the others are returned.

    Raises as ``rescan``.
    """
    known = list(deployment.manifests.collections())
    requested_at = deployment.manifests.rescan_all()
    # Those that cannot be read come last: they are what the waiting for all of them may fail on.
    known.sort(key=lambda one: isinstance(one, UnreadableCollection))
    named = ((deployment.collections.named(one.kind, one.id), one) for one in known)
    return [
        RescanRequest(collection, requested_at, one.revision, one.complete)
        if isinstance(one, CollectionTotals)
        else RescanRequest(collection, requested_at, None, complete=False)
        for collection, one in named
        if collection
    ]


def wait_for(manifests: Manifests, request: RescanRequest, seconds: float, clock: Clock = SYSTEM_CLOCK) -> RescanResult:
    """The sweep, when it is done: ``last_verified_at`` is no earlier than ``requested_at``.

    Raises ``NotYet`` after so many seconds, ``Unavailable``.
    """

    def is_done(facts: Facts | None) -> bool:
        return facts is not None and (facts.last_verified_at or "") >= request.requested_at

    facts = poll_until(lambda: _facts(manifests, request.collection), is_done, seconds, clock)
    if facts is None or not is_done(facts):
        name = f"{request.collection.kind}/{request.collection.id}"
        why = "" if facts else "; it has no manifest, so there may be no object in it"
        raise NotYet(
            f"{name} was not compared with S3 in time{why}. The sweep goes on: it is done once s3-manifest info {name}"
            f" tells that it was last verified at {request.requested_at} or later"
        )
    return RescanResult(request, facts, _drift(manifests, request, facts))


def _facts(manifests: Manifests, collection: Collection) -> Facts | None:
    try:
        return manifests.facts(collection)
    except NotFound:
        return None


def _drift(manifests: Manifests, request: RescanRequest, facts: Facts) -> list[Drift] | None:
    """What changed in between because a listing, and no event, named it."""
    if request.revision is None or not request.complete:
        return None
    if facts.revision <= request.revision:
        return []
    found = history(manifests, request.collection, since=request.revision, limit=facts.revision - request.revision)
    drift: list[Drift] = []
    for change in found.changes:
        lists = (change.added, change.modified, change.removed)
        if None in lists:
            return None
        drift += (
            Drift(one.filename, one.sort, change.revision) for told in lists for one in told or () if one.cause == SWEEP
        )
    return None if found.expired else drift
