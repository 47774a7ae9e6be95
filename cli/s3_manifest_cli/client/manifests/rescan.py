"""Requests sweeps, waits for them, and lists the drift that they found."""

from typing import NamedTuple

from s3_manifest.manifest.changes import ChangeType
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import SWEEP, Facts, Timestamp
from s3_manifest.query.catalog import UnreadableBucket
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection
from s3_manifest.query.waiting import SYSTEM_CLOCK, Clock, poll_until
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.history import history
from s3_manifest_cli.client.manifests.manifests import Manifests
from s3_manifest_cli.errors import NotFound, NotYet


class RescanRequest(NamedTuple):
    """A requested sweep. ``revision`` is that of the manifest before if it was complete: a difference is drift then."""

    collection: Collection
    requested_at: Timestamp
    revision: int | None


class Drift(NamedTuple):
    """A file that differed from the manifest, and the revision that corrected it."""

    filename: str
    sort: ChangeType
    revision: int


class RescanResult(NamedTuple):
    """A finished sweep. ``drift`` is None if the change records do not show it."""

    request: RescanRequest
    facts: Facts
    drift: list[Drift] | None


def rescan(manifests: Manifests, collection: Collection) -> RescanRequest:
    """Requests a sweep of one collection, which may be empty. A second call requests another.

    Raises ``Invalid`` where the deployment's sweep queue is not known, ``Unavailable``.
    """
    before = _facts(manifests, collection)
    revision = before.revision if before and before.complete else None
    return RescanRequest(collection, manifests.rescan(collection), revision)


class RescanAll(NamedTuple):
    """A sweep of every collection was requested: ``requests`` are those with a manifest, others are swept too.

    ``unreadable`` are the kinds whose bucket cannot be read.
    """

    requests: list[RescanRequest]
    unreadable: list[UnreadableBucket]


def rescan_all(deployment: Deployment) -> RescanAll:
    """Requests a sweep of every collection. Raises as ``rescan``."""
    listed = list(deployment.manifests.collections())
    unreadable = [totals for totals in listed if isinstance(totals, UnreadableBucket)]
    known = [totals for totals in listed if not isinstance(totals, UnreadableBucket)]
    requested_at = deployment.manifests.rescan_all()
    # Unreadable manifests come last, because waiting for them may fail.
    known.sort(key=lambda totals: isinstance(totals, UnreadableCollection))
    requests: list[RescanRequest] = []
    for totals in known:
        if collection := deployment.collections.lookup(totals.kind, totals.id):
            revision = totals.revision if isinstance(totals, CollectionTotals) and totals.complete else None
            requests.append(RescanRequest(collection, requested_at, revision))
    return RescanAll(requests, unreadable)


def wait_for(manifests: Manifests, request: RescanRequest, seconds: float, clock: Clock = SYSTEM_CLOCK) -> RescanResult:
    """Waits until the sweep is done: ``last_verified_at`` is not before ``requested_at``.

    Raises ``NotYet`` after so many seconds, ``Unavailable``.
    """

    def is_done(facts: Facts | None) -> bool:
        return facts is not None and (facts.last_verified_at or "") >= request.requested_at

    facts = poll_until(lambda: _facts(manifests, request.collection), is_done, seconds, clock)
    if facts is None or not is_done(facts):
        name = f"{request.collection.kind}/{request.collection.id}"
        reason = "" if facts else "; it has no manifest, so there may be no object in it"
        raise NotYet(
            f"{name} was not compared with S3 within {seconds:g} seconds{reason}. The sweep continues.",
            remedy=f"Run 's3-manifest info {name}' until it shows a verification at {request.requested_at} or later.",
        )
    return RescanResult(request, facts, _drift(manifests, request, facts))


def _facts(manifests: Manifests, collection: Collection) -> Facts | None:
    try:
        return manifests.facts(collection)
    except NotFound:
        return None


def _drift(manifests: Manifests, request: RescanRequest, facts: Facts) -> list[Drift] | None:
    """The changes since the request that a listing caused, and no event."""
    if request.revision is None:
        return None
    if facts.revision <= request.revision:
        return []
    recent = history(manifests, request.collection, since=request.revision, limit=facts.revision - request.revision)
    drift: list[Drift] = []
    for revision in recent.changes:
        if revision.added is None or revision.modified is None or revision.removed is None:
            return None
        changes = (*revision.added, *revision.modified, *revision.removed)
        drift += (
            Drift(change.filename, change.change_type, revision.revision) for change in changes if change.cause == SWEEP
        )
    return None if recent.expired else drift
