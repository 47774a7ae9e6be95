"""Read-your-writes: a token names a change in S3, and a manifest is asked whether it reflects that change."""

from pydantic import Field

from s3_manifest.manifest.layout import LoadedRun
from s3_manifest.manifest.model import Frozen, Timestamp, UnreadableManifest
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import StoreError


class ChangeToken(Frozen):
    """One change in S3, of exactly one kind, and ``others`` that have to be reflected too.

    ``edit_number``: the sidecar at this key was edited. ``deleted_etag``: the object with this key and ETag was
    deleted. ``uploaded_md5``: an object with this MD5 was uploaded. ``deleted_until``: every object below the prefix
    ``s3_key`` was deleted that was last modified at or before that time.
    """

    s3_key: str
    edit_number: int | None = None
    deleted_etag: str | None = None
    uploaded_md5: str | None = None
    deleted_until: Timestamp | None = None
    others: tuple["ChangeToken", ...] = Field(default=(), max_length=2)

    @property
    def is_of_one_kind(self) -> bool:
        """Whether exactly one kind of change is given."""
        kinds = (self.edit_number, self.deleted_etag, self.uploaded_md5, self.deleted_until)
        return sum(kind is not None for kind in kinds) == 1


def is_reflected(snapshot: Snapshot, token: ChangeToken) -> bool:
    """Whether the manifest reflects the change, or a later one. Reads one page at most for each change.

    Raises ``Conflict`` (the pages were collected; reload), ``StoreError``, ``UnreadableManifest``.
    """
    return all(_is_one_reflected(snapshot, part) for part in (token, *token.others))


def revision_reflecting(snapshot: Snapshot, token: ChangeToken) -> int | None:
    """The revision of the manifest, if it reflects the change. Raises nothing: the change was made in any case."""
    try:
        snapshot = snapshot.reload()
        return snapshot.head.revision if snapshot.head and is_reflected(snapshot, token) else None
    except (StoreError, UnreadableManifest):
        return None


def _is_one_reflected(snapshot: Snapshot, token: ChangeToken) -> bool:
    head = snapshot.head
    if head is None:
        return False
    if token.edit_number is not None:
        # Number 0: the sidecar did not exist, and the edit added nothing.
        return token.edit_number == 0 or any(
            sidecar.s3_key == token.s3_key and sidecar.is_applied and (sidecar.edit or 0) >= token.edit_number
            for sidecar in head.sidecars
        )
    if token.deleted_until is not None:
        # A manifest with pages still has a thousand files or more.
        latest = token.deleted_until
        runs = (slot.run for slot in snapshot.slots() if isinstance(slot, LoadedRun))
        return not head.pages and all(entry.last_modified > latest for run in runs for entry in run.entries())
    entry = snapshot.entry(snapshot.collection.filename(token.s3_key))
    if token.deleted_etag is not None:
        return entry is None or entry.etag != token.deleted_etag
    return entry is not None and entry.md5_hash == token.uploaded_md5
