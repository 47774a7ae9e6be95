"""How far a manifest can be relied on: whether it is complete, and when it was last compared with S3. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from s3_manifest.manifest.model import Facts

MAX_AGE_DAYS = 3
"""How old a manifest's last comparison with S3 may be. Sweeps are daily by default."""


class ManifestWarning(NamedTuple):
    """A reason not to rely on a manifest. ``incomplete``: files may be missing; ``stale``: nobody checked it."""

    kind: Literal["incomplete", "stale"]
    message: str


def manifest_warnings(
    facts: Facts, now: datetime | None = None, *, is_past: bool = False
) -> tuple[ManifestWarning, ...]:
    """The reasons not to rely on a manifest, the gravest first; of one of the past (``is_past``) only its gaps."""
    name = f"{facts.kind}/{facts.id}"
    found: list[ManifestWarning] = []
    if not facts.complete:
        what = f"the manifest of {name} is incomplete: files that are in S3 may be missing from it"
        remedy = "" if is_past else f". Run 's3-manifest rescan {name} --wait 300', and repeat the command"
        found.append(ManifestWarning("incomplete", what + remedy))
    if not is_past and is_stale(facts, now):
        since = "was never compared with S3" if facts.last_verified_at is None else "was last compared with S3 on"
        when = f" {facts.last_verified_at[:10]}" if facts.last_verified_at else f" (made on {facts.created_at[:10]})"
        found.append(
            ManifestWarning(
                "stale", f"the manifest of {name} {since}{when}. Run 's3-manifest rescan {name}' to compare it"
            )
        )
    return tuple(found)


def is_stale(facts: Facts, now: datetime | None = None) -> bool:
    """Whether it was not compared with S3 for ``MAX_AGE_DAYS``, or, if it never was, is older than that."""
    compared = datetime.fromisoformat(facts.last_verified_at or facts.created_at)
    return compared < (now or datetime.now(UTC)) - timedelta(days=MAX_AGE_DAYS)
