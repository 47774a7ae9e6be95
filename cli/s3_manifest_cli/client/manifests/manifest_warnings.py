"""Warns of manifests that are incomplete, or that were not compared with S3 for days. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from s3_manifest.manifest.model import Facts

MAX_AGE_DAYS = 3
"""A manifest that was last compared with S3 longer ago is stale. Sweeps are daily by default."""


class ManifestWarning(NamedTuple):
    """``incomplete``: files may be missing from the manifest. ``stale``: it was not compared with S3 recently."""

    kind: Literal["incomplete", "stale"]
    message: str


def manifest_warnings(
    facts: Facts, now: datetime | None = None, *, is_past: bool = False
) -> tuple[ManifestWarning, ...]:
    """The warnings about a manifest, the gravest first. A manifest of the past (``is_past``) is never stale."""
    name = f"{facts.kind}/{facts.id}"
    warnings: list[ManifestWarning] = []
    if not facts.complete:
        message = f"the manifest of {name} is incomplete: files that are in S3 may be missing from it"
        remedy = "" if is_past else f". Run 's3-manifest rescan {name} --wait 300', and repeat the command"
        warnings.append(ManifestWarning("incomplete", message + remedy))
    if not is_past and is_stale(facts, now):
        if facts.last_verified_at:
            state = f"was last compared with S3 on {facts.last_verified_at[:10]}"
        else:
            state = f"was never compared with S3 (created on {facts.created_at[:10]})"
        message = f"the manifest of {name} {state}. Run 's3-manifest rescan {name}' to compare it"
        warnings.append(ManifestWarning("stale", message))
    return tuple(warnings)


def is_stale(facts: Facts, now: datetime | None = None) -> bool:
    """Whether the last comparison with S3, or without one the creation, is more than ``MAX_AGE_DAYS`` ago."""
    compared = datetime.fromisoformat(facts.last_verified_at or facts.created_at)
    return compared < (now or datetime.now(UTC)) - timedelta(days=MAX_AGE_DAYS)
