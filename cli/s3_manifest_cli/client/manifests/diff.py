"""Two manifests compared, file by file: of one collection at two times, or of two collections."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from s3_manifest.manifest.model import Entry, Facts
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.manifests import Manifest
from s3_manifest_cli.client.manifests.revision_spec import RevisionSpec

DiffKind = Literal["added", "removed", "modified", "described"]
"""``modified``: other bytes. ``described``: the same bytes, and the manifests say something else of them."""

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
"""What a manifest says of a file besides its bytes; the rest of an entry tells of one object in S3."""

_CHECKSUMS = ("sha256", "sha1", "crc64nvme", "crc32c", "crc32")


class FileDifference(NamedTuple):
    """One file that the two manifests tell otherwise. ``fields`` are fields in which they differ.

    ``by`` is what the bytes were compared by: ``size``, ``md5`` or a checksum of the whole object, which prove it; or
    ``etag``, which proves nothing, as two uploads of the same bytes may have two. None where only one side has it.
    """

    filename: str
    sort: DiffKind
    before: Entry | None
    after: Entry | None
    by: str | None = None
    fields: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether it is proven that the bytes are the same, or that they are not."""
        return self.by != "etag"


class Diff(NamedTuple):
    """What differs, by filename. ``unproven`` names the files whose bytes only an ETag and size tell to be the same.

    ``unmatched`` are filters that match nothing in either manifest, as options.
    """

    before: Facts
    after: Facts
    files: list[FileDifference]
    unproven: list[str]
    unmatched: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[DiffKind, int]:
        """How many files there are of each sort."""
        counted = Counter(one.sort for one in self.files)
        return {sort: counted[sort] for sort in DIFF_KINDS}

    @property
    def is_same(self) -> bool:
        """Whether both say the same of the same files, under the same title."""
        return not self.files and self.before.title == self.after.title


def diff(deployment: Deployment, before: RevisionSpec, after: RevisionSpec, filters: Filter = EVERYTHING) -> Diff:
    """How the second manifest differs from the first, in the files that the filters select.

    Captions and hidden files are compared like files. Raises ``Invalid``, ``NotFound``, ``HistoryExpired``,
    ``Refused``, ``Unavailable``.
    """
    return compare_manifests(_read(deployment, before), _read(deployment, after), filters)


def compare_manifests(before: Manifest, after: Manifest, filters: Filter = EVERYTHING) -> Diff:
    """How they differ. Pure. Raises as ``Filter.unmatched``."""
    old, new = _entries(before), _entries(after)
    names = old.keys() | new.keys()
    unmatched = filters.unmatched(names)
    files: list[FileDifference] = []
    unproven: list[str] = []
    for name in filter(filters.compiled(), sorted(names)):
        was, is_ = old.get(name), new.get(name)
        if was is None or is_ is None:
            files.append(FileDifference(name, "added" if was is None else "removed", was, is_))
            continue
        is_same, by = same_bytes(was, is_)
        fields = tuple(word for word in DESCRIPTION_FIELDS if getattr(was, word) != getattr(is_, word))
        if not is_same or fields:
            files.append(FileDifference(name, "described" if is_same else "modified", was, is_, by, fields))
        if is_same and by == "etag":
            unproven.append(name)
    return Diff(before.facts, after.facts, files, unproven, unmatched)


def same_bytes(one: Entry, other: Entry) -> tuple[bool, str]:
    """Whether two entries tell of the same bytes, and by what; ``etag`` is no proof."""
    if one.size_bytes != other.size_bytes:
        return False, "size"
    if one.md5_hash and other.md5_hash:
        return one.md5_hash == other.md5_hash, "md5"
    mine, its = _whole(one), _whole(other)
    for name in _CHECKSUMS:
        if name in mine and name in its:
            return mine[name] == its[name], name
    return one.etag == other.etag, "etag"


def _whole(entry: Entry) -> Mapping[str, str]:
    """The checksums over the whole object; those over parts depend on how it was cut."""
    checksum = entry.checksum or {}
    return checksum if checksum.get("type") == "FULL_OBJECT" else {}


def _entries(manifest: Manifest) -> dict[str, Entry]:
    return {entry.filename: entry for entry in (*manifest.files, *manifest.captions, *manifest.hidden)}


def _read(deployment: Deployment, point: RevisionSpec) -> Manifest:
    return deployment.manifests.read(deployment.collection(point.collection), revision=point.revision, at=point.at)
