"""The result of one message of the sweep queue."""

from dataclasses import dataclass, field

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import Progress
from s3_manifest.reconcile.result import CommitResult


class SweepFailed(Exception):
    """A sweep could not finish; the queue delivers the message again."""


@dataclass
class SweepResult:
    """Counters and keys for the log and the metrics; filled in while the message is processed."""

    collection: Collection | None = None
    commit_results: list[CommitResult] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    """The keys that differed and were observed again."""
    missing: int = 0
    unexpected: int = 0
    modified: int = 0
    """Repaired drift: files that were missing in S3, missing in the manifest, or different."""
    progress: Progress | None = None
    """How far the sweep came; None if there was nothing to do."""
    finished: bool = False
    enqueued: int = 0
    """Jobs put into the queue, for other collections or for the remainder of this one."""
    collected: int = 0
    """Garbage objects deleted."""
    skipped: str | None = None
    """Why the collection cannot have a manifest."""
    garbage_error: str | None = None
    """Why no garbage was collected."""
    repaired: list[str] = field(default_factory=list)
    """Missing or damaged pages and sidecar copies that were replaced."""

    @property
    def drift(self) -> int:
        """Files for which the manifest differed from S3 and no event was pending."""
        return self.missing + self.unexpected + self.modified
