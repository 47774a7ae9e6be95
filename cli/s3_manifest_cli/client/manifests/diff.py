"""Compares two manifests file by file: of one collection at two times, or of two collections."""

from collections import Counter
from typing import Literal, NamedTuple, get_args

from s3_manifest.manifest.model import Entry, Facts
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.manifests import Manifest
from s3_manifest_cli.client.manifests.revision_spec import RevisionSpec

DiffKind = Literal["added", "removed", "modified", "described"]
"""``modified``: the bytes differ. ``described``: the bytes are the same, and other fields differ."""

DIFF_KINDS: tuple[DiffKind, ...] = get_args(DiffKind)

DESCRIPTION_FIELDS = (
    "prompt",
    "good",
    "labels",
    "generation_id",
    "generation_type",
    "generated_at",
    "local_path",
    "caption",
    "hidden",
    "content_type",
    "metadata",
)
"""The fields that describe a file; the other fields of an entry belong to one object in S3."""

_CHECKSUMS = ("sha256", "sha1", "crc64nvme", "crc32c", "crc32")


class FileDifference(NamedTuple):
    """A file that differs. ``fields`` are the description fields that differ.

    ``by`` is what the bytes were compared by: ``size``, ``md5`` or a checksum of the whole object, which are proofs; or
    ``etag``, which is not, as two uploads of the same bytes may differ in it. None if only one side has the file.
    """

    filename: str
    kind: DiffKind
    before: Entry | None
    after: Entry | None
    by: str | None = None
    fields: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether it is proven that the bytes are the same, or that they are not."""
        return self.by != "etag"


class Diff(NamedTuple):
    """The differences by filename. ``unproven`` are files whose bytes are the same by ETag and size only.

    ``unmatched`` are filter options that match no file in either manifest.
    """

    before: Facts
    after: Facts
    files: list[FileDifference]
    unproven: list[str]
    unmatched: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[DiffKind, int]:
        """The number of files of each kind."""
        counts = Counter(file.kind for file in self.files)
        return {kind: counts[kind] for kind in DIFF_KINDS}

    @property
    def is_same(self) -> bool:
        """Whether both manifests have the same files and the same title."""
        return not self.files and self.before.title == self.after.title


def diff(deployment: Deployment, before: RevisionSpec, after: RevisionSpec, filters: Filter = EVERYTHING) -> Diff:
    """Compares two manifests in the files that the filters select.

    Captions and hidden files are compared like files. Raises ``Invalid``, ``NotFound``, ``HistoryExpired``,
    ``Refused``, ``Unavailable``.
    """
    old, new = (
        deployment.manifests.read(deployment.collection(spec.collection), revision=spec.revision, at=spec.at)
        for spec in (before, after)
    )
    return compare_manifests(old, new, filters)


def compare_manifests(before: Manifest, after: Manifest, filters: Filter = EVERYTHING) -> Diff:
    """As ``diff``, for loaded manifests. Pure. Raises as ``Filter.unmatched``."""
    old_entries, new_entries = before.entries, after.entries
    names = old_entries.keys() | new_entries.keys()
    unmatched = filters.unmatched(names)
    files: list[FileDifference] = []
    unproven: list[str] = []
    for name in filter(filters.predicate(), sorted(names)):
        old, new = old_entries.get(name), new_entries.get(name)
        if old is None or new is None:
            files.append(FileDifference(name, "added" if old is None else "removed", old, new))
            continue
        is_same, by = same_bytes(old, new)
        fields = tuple(field for field in DESCRIPTION_FIELDS if getattr(old, field) != getattr(new, field))
        if not is_same or fields:
            files.append(FileDifference(name, "described" if is_same else "modified", old, new, by, fields))
        if is_same and by == "etag":
            unproven.append(name)
    return Diff(before.facts, after.facts, files, unproven, unmatched)


def same_bytes(entry: Entry, other: Entry) -> tuple[bool, str]:
    """Whether two entries have the same bytes, and what was compared; ``etag`` is no proof."""
    if entry.size_bytes != other.size_bytes:
        return False, "size"
    if entry.md5_hash and other.md5_hash:
        return entry.md5_hash == other.md5_hash, "md5"
    checksums, other_checksums = entry.checksum or {}, other.checksum or {}
    # Checksums of parts depend on the part size.
    if checksums.get("type") == other_checksums.get("type") == "FULL_OBJECT":
        for name in _CHECKSUMS:
            if name in checksums and name in other_checksums:
                return checksums[name] == other_checksums[name], name
    return entry.etag == other.etag, "etag"
