"""The interface for reading manifests, from S3 or over HTTP with the same results and errors, and what it returns."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import DECLARED_MD5S, Count, Entry, Facts, Revision, Role, Strict, Timestamp, Tuple
from s3_manifest.query.catalog import UnreadableBucket
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection
from s3_manifest_cli.errors import NoManifest, S3ManifestError

ROLES: tuple[Role, ...] = ("files", "captions", "hidden")


class Connection(NamedTuple):
    """How the user reached a deployment; ``options`` are those with which another command reaches it too.

    ``can_rescan``: these options are enough to request a sweep.
    """

    options: Mapping[str, str | None] = {}
    can_rescan: bool = False

    def no_manifest(self, collection: Collection) -> NoManifest:
        """The error for a collection without a manifest; its remedy is a command that works when it is pasted."""
        name = f"{collection.kind}/{collection.id}"
        bucket, prefix = collection.bucket, collection.prefix
        place = f"s3://{bucket}/{prefix}" if bucket else f"{prefix} in its bucket"
        options = {option: value for option, value in self.options.items() if value}
        if not self.can_rescan:  # only the stack knows its queue
            usable = {"--endpoint-url", "--profile", "--region"} & options.keys()
            options = {"--stack": "NAME"} | {option: options[option] for option in sorted(usable)}
        words = [name, *(word for item in options.items() for word in item)]
        command = " ".join(["s3-manifest rescan", *map(shlex.quote, words)])
        quote = "`" if "'" in command else "'"
        return NoManifest(
            f"{name} has no manifest yet.", remedy=f"Upload something to {place}, or run {quote}{command}{quote}."
        )


UNNAMED = Connection()


class Manifest(NamedTuple):
    """A manifest at one revision, with all of its entries by filename."""

    facts: Facts
    files: tuple[Entry, ...]
    captions: tuple[Entry, ...]
    hidden: tuple[Entry, ...]

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries of all roles, by filename."""
        return {entry.filename: entry for entry in (*self.files, *self.captions, *self.hidden)}


_REMOTE_FIELDS = itemgetter("filename", "size_bytes", "md5_hash", "etag", "md5_source", "checksum", "last_modified")


class RemoteFile(NamedTuple):
    """The part of an entry that a local file is compared with; a file, caption or hidden file.

    ``size`` is bytes. ``checksum`` and ``last_modified`` are as in ``Entry``. ``declared`` names the user metadata that
    the MD5 comes from, if only the uploader declares it.
    """

    filename: str
    size: int
    md5: str | None
    etag: str
    role: Role
    checksum: Mapping[str, str] | None
    last_modified: Timestamp
    declared: str | None = None

    @classmethod
    def from_entry(cls, entry: Entry) -> Self:
        """The same file as an entry."""
        return cls.from_fields(vars(entry), entry.role)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], role: Role) -> Self:
        """The file of an entry's fields."""
        name, size, md5, etag, source, checksum, modified = _REMOTE_FIELDS(fields)
        return cls(name, size, md5, etag, role, checksum, modified, source if source in DECLARED_MD5S else None)


class Segment(NamedTuple):
    """Some files of an index, in order. ``key`` is the page that they come from; a page never changes."""

    key: str | None
    files: tuple[RemoteFile, ...]

    @classmethod
    def from_entries(cls, entries: Iterable[Entry]) -> Self:
        """The segment of a manifest without pages."""
        return cls(None, tuple(sorted(map(RemoteFile.from_entry, entries), key=attrgetter("filename"))))


class Index(NamedTuple):
    """The part of a manifest that comparisons need: small enough to be cached and loaded quickly."""

    facts: Facts
    etag: str
    segments: tuple[Segment, ...]

    def files(self) -> Iterator[RemoteFile]:
        """All files, in order of their names."""
        for segment in self.segments:
            yield from segment.files


class Change(Strict):
    """The changes of one revision. ``added``, ``modified`` and ``removed`` are null if too many for a response.

    ``s3_key`` is the change record, which has them all.
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


class ListedHead(NamedTuple):
    """A collection that has a manifest with this ETag; if the ``etag`` is None, it may have none any more."""

    collection: Collection
    etag: str | None


Admit: TypeAlias = Callable[[int], None]
"""Called with the number of files before they are read into memory; it waits if there are too many already."""


def admit_all(_: int) -> None:
    """Never waits."""


class Manifests(Protocol):
    """The manifests of one deployment. Any method may raise ``Unavailable``; reads may be repeated."""

    admit: Admit
    """For ``read`` and ``index``; by default ``admit_all``."""

    def collections(self) -> Iterator[CollectionTotals | UnreadableCollection | UnreadableBucket]:
        """Every collection that has a manifest, by kind and, within a kind, in S3's order of their prefixes.

        An ``UnreadableBucket`` stands for the collections of a kind whose bucket cannot be read.
        """

    def list_heads(self, kinds: Sequence[str]) -> dict[str, list[ListedHead] | S3ManifestError]:
        """The collections of each kind that have a manifest, in any order, or why they cannot be listed.

        It makes as few requests as possible.
        """

    def actor(self, name: str) -> Collection:
        """The actor of that name or number. Raises ``NotFound``, ``Refused`` where several have the number."""

    def facts(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Facts:
        """As ``read``, without the entries."""

    def read(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Manifest:
        """The current manifest with all entries, or that of a ``revision``, or of a time.

        Raises ``NotFound``, and ``HistoryExpired`` where the history does not reach back so far.
        """

    def index(self, collection: Collection, known: Index | None) -> Index:
        """The current index; ``known`` itself, after one request, if it still is. Raises ``NotFound``."""

    def changes(self, collection: Collection, since: int, limit: int) -> list[Change]:
        """At most ``limit`` revisions after ``since``, in order and without gaps; possibly fewer.

        Raises ``NotFound`` where there is no manifest or no such revision, and ``HistoryExpired`` where a change record
        was deleted: to continue, pass the revision before its ``oldest``.
        """

    def rescan(self, collection: Collection) -> Timestamp:
        """Requests a sweep. It is done once ``last_verified_at`` is not before the returned time."""

    def rescan_all(self) -> Timestamp:
        """Requests a sweep of every collection, including those that have no manifest yet; see ``rescan``."""
