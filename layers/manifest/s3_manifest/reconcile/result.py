"""The result of committing keys of one collection."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Head, Timestamp
from s3_manifest.reconcile.observe import ComputedMd5s
from s3_manifest.storage.snapshot import BrokenObject
from s3_manifest.storage.store import OutOfTime, ReadFailed


class Verification(NamedTuple):
    """A sweep that began at ``started_at`` has compared everything in S3 with the manifest created at ``created_at``.

    It does not apply after a repair, which begins a history with another ``first_revision``.
    """

    created_at: Timestamp
    started_at: Timestamp
    first_revision: int = 1

    def applies_to(self, head: Head) -> bool:
        """Whether this manifest was verified."""
        return (head.created_at, head.first_revision) == (self.created_at, self.first_revision)


@dataclass
class CommitResult:
    """The result of committing keys of one collection; filled in as the work proceeds."""

    collection: Collection
    head: Head | None = None
    """The head as last written here; None before the first commit."""
    created: bool = False
    """Whether there was no manifest before."""
    commits: int = 0
    unchanged: int = 0
    """Commits that did not raise the revision."""
    conflicts: int = 0
    """Attempts lost to another commit or to a lost response."""
    observed: int = 0
    """Observations, including those of lost attempts."""
    added: int = 0
    modified: int = 0
    removed: int = 0
    """Files that these commits added, modified and removed."""
    committed_at: dict[str, Timestamp] = field(default_factory=dict)
    """When each committed key was committed."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Keys that could not be observed or committed, with the reason; the manifest is unchanged for them."""
    timed_out: list[str] = field(default_factory=list)
    """Keys for which time ran out."""
    finished: bool = False
    """Whether time sufficed for all keys."""
    unannounced: bool = False
    """Whether a revision may exist that was never announced."""
    broken: dict[str, BrokenObject] = field(default_factory=dict)
    """Missing or damaged pages, by key; the keys that need them are ``unreadable``."""
    md5s: ComputedMd5s = field(default_factory=dict, repr=False)
    """Computed MD5s, so that a conflict does not make us read the same bytes again."""
    lost_commits: set[str] = field(default_factory=set, repr=False)
    """The ids of first commits of a manifest that are known to be lost."""

    def add_failures(self, failures: Iterable[ReadFailed]) -> None:
        """Records keys that were not committed."""
        for failure in failures:
            if isinstance(failure, OutOfTime):
                self.timed_out.append(failure.key)
            else:
                self.unreadable[failure.key] = str(failure)
