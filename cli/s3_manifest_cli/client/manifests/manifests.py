"""What manifests are read through: S3 itself, or a deployed HTTP API. Same results, same errors."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Count, Entry, Facts, Revision, Role, Strict, Timestamp, Tuple
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection


class Manifest(NamedTuple):
    """A manifest at one revision, with all of its entries by filename."""

    facts: Facts
    files: tuple[Entry, ...]
    captions: tuple[Entry, ...]
    hidden: tuple[Entry, ...]


class RemoteFile(NamedTuple):
    """What a copy on this machine is compared with: a file, caption or hidden file, as the manifest has it.

    ``size`` is bytes. ``checksum`` and ``last_modified`` are as in ``Entry``. ``declared`` names the user metadata that
    the MD5 is from, where it is but its uploader's word.
    """

    filename: str
    size: int
    md5: str | None
    etag: str
    role: Role
    checksum: Mapping[str, str] | None
    last_modified: Timestamp
    declared: str | None = None


class Segment(NamedTuple):
    """Some of them, in order. ``key`` is the page that they were read from; a page never changes."""

    key: str | None
    files: tuple[RemoteFile, ...]


class Index(NamedTuple):
    """The part of a manifest that comparing needs: small enough to be kept, and to be read again in a moment."""

    facts: Facts
    etag: str
    segments: tuple[Segment, ...]

    def files(self) -> Iterator[RemoteFile]:
        """All of them, in order of their names."""
        for segment in self.segments:
            yield from segment.files


class Change(Strict):
    """What one revision did; ``added``, ``modified`` and ``removed`` are null where they were too many for an answer.

    ``s3_key`` is the change record, that has them all.
    """

    revision: Revision
    commit: str
    committed_at: Timestamp
    s3_key: str
    title: str | None
    complete: bool
    total_files: Count
    total_size_bytes: Count
    added: Tuple[FileChange] | None
    modified: Tuple[FileChange] | None
    removed: Tuple[FileChange] | None


class Manifests(Protocol):
    """The manifests of one deployment. Any method may raise ``Unavailable``; a repeat of a read changes nothing."""

    def collections(self) -> Iterator[CollectionTotals | UnreadableCollection]:
        """Every collection that has a manifest, by kind and, within a kind, in S3's order of their prefixes.

        Also those whose manifest cannot be read.
        """
        ...

    def actor(self, asked: str) -> Collection:
        """The actor of that name or number. Raises ``NotFound``, ``Refused`` where several have the number."""
        ...

    def facts(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Facts:
        """As ``read``, without the entries."""
        ...

    def read(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Manifest:
        """The manifest with all entries: as it is, as it was at a ``revision``, or ``at`` a time.

        Raises ``NotFound``, and ``HistoryExpired`` where the history does not reach back so far.
        """
        ...

    def index(self, collection: Collection, known: Index | None) -> Index:
        """The manifest as comparing needs it; ``known`` itself, after one request, if it is still the one.

        Raises ``NotFound``.
        """
        ...

    def changes(self, collection: Collection, since: int, limit: int) -> list[Change]:
        """At most ``limit`` revisions after ``since``, in order and without gaps; possibly fewer.

        Raises ``NotFound`` where there is no manifest or no such revision, and ``HistoryExpired`` where a change record
        was deleted: to continue, pass the revision before its ``oldest``.
        """
        ...

    def rescan(self, collection: Collection) -> Timestamp:
        """Asks for a sweep. It is done once ``last_verified_at`` is no earlier than the time that is returned."""
        ...

    def rescan_all(self) -> Timestamp:
        """Asks for a sweep of every collection, also of those that have no manifest yet; see ``rescan``."""
        ...
