"""Warns of manifests that are incomplete, or that were not compared with S3 for days. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from s3_manifest.manifest.model import Facts

MAX_AGE_DAYS = 3
"""A manifest that was last compared with S3 longer ago is stale. Sweeps are daily by default."""


def manifest_warnings(facts: Facts, *, is_past: bool = False) -> Iterator[str]:
    """The warnings about a manifest, the gravest first. A manifest of the past (``is_past``) is never stale."""
    name = f"{facts.kind}/{facts.id}"
    if not facts.complete:
        remedy = "" if is_past else f". Run 's3-manifest rescan {name} --wait 300', and repeat the command"
        yield f"the manifest of {name} is incomplete: files that are in S3 may be missing from it{remedy}"
    if not is_past and is_stale(facts):
        if facts.last_verified_at:
            state = f"was last compared with S3 on {facts.last_verified_at[:10]}"
        else:
            state = f"was never compared with S3 (created on {facts.created_at[:10]})"
        yield f"the manifest of {name} {state}. Run 's3-manifest rescan {name}' to compare it"


def is_stale(facts: Facts, now: datetime | None = None) -> bool:
    """Whether the last comparison with S3, or without one the creation, is more than ``MAX_AGE_DAYS`` ago."""
    compared = datetime.fromisoformat(facts.last_verified_at or facts.created_at)
    return compared < (now or datetime.now(UTC)) - timedelta(days=MAX_AGE_DAYS)
