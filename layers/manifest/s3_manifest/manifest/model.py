"""The manifest's content as frozen values."""

import operator
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

SCHEMA = 1
"""The version of the format of heads, pages and change records that this code reads and writes."""

SWEEP = "sweep"
"""The cause of an observation that comes from a listing, not from an event."""

_DATE, _TIME = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])", r"([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{3}"
Timestamp = Annotated[str, StringConstraints(pattern=f"^{_DATE}T{_TIME}Z$")]
"""UTC, ISO 8601 with milliseconds and ``Z``. Fixed width, so text order is time order."""

Source = Literal["s3_event", "s3_scan"]
"""Whether the upload of an object was announced by an event, or the object is older than the deployment's subscription
and was found by a listing."""

Md5Source = Literal["etag", "checksum", "md5", "md5chksum", "s3cmd-attrs", "computed"]
"""The origin of an MD5: the ETag, S3's checksum of the whole object, one of three user metadata fields declared by the
uploader, or the object's bytes."""

DECLARED_MD5S: frozenset[Md5Source] = frozenset({"md5", "md5chksum", "s3cmd-attrs"})
"""Sources that the uploader declares: such an MD5 may be wrong, or belong to other bytes."""


Role = Literal["files", "captions", "hidden"]
"""An entry's list: counted files, or captions and hidden files, which are not counted."""

Count = Annotated[int, Field(ge=0)]
"""A number of files or of bytes."""

Revision = Annotated[int, Field(ge=1, lt=10**12)]
"""The number of a revision; the key of a change record has room for twelve digits."""

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""The SHA-256 of an object's bytes, in lower-case hex."""

Item = TypeVar("Item")

Tuple = Annotated[tuple[Item, ...], Field(strict=False)]
"""A tuple in a strict model: accepts JSON lists, and stays strict about the items."""


def timestamp(moment: datetime) -> Timestamp:
    """A moment as a ``Timestamp``, truncated to milliseconds; without a time zone it counts as UTC.

    Raises ``OverflowError`` if its UTC time is outside the range of ``datetime``.
    """
    in_utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return in_utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def days_before(moment: Timestamp, days: float) -> Timestamp:
    """The timestamp ``days`` earlier."""
    return timestamp(datetime.fromisoformat(moment) - timedelta(days=days))


_is_empty, _is_none, _is_one = operator.not_, partial(operator.is_, None), partial(operator.eq, 1)


class Frozen(BaseModel):
    """Immutable, and rejects unknown fields: they belong to a newer format."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Strict(Frozen):
    """A stored format: reading converts no value, so ``true`` or ``"4"`` is not a number."""

    model_config = ConfigDict(strict=True)


class Entry(Strict):
    """One object in the manifest. Sizes are bytes, times are UTC.

    ``uploaded_at`` and ``last_modified`` are both S3's ``LastModified``: S3 replaces objects and never edits them, so
    an object was last modified when it was uploaded. ``checksum`` maps the lower-case name of each algorithm to S3's
    checksum (base64), and ``type`` to ``FULL_OBJECT`` or ``COMPOSITE``.

    ``overridden`` maps each field that a sidecar sets to the object's own value (None if it has none). Captions, and
    files that a sidecar sets to ``hidden``, have entries but are not among the manifest's files: ``caption`` is a
    caption's text, and ``problem`` is why it could not be read. These four fields are omitted when empty.
    """

    filename: str
    s3_key: str
    s3_url: str
    size_bytes: Count
    md5_hash: str | None
    md5_source: Md5Source | None
    etag: str
    checksum: Mapping[str, str] | None
    content_type: str | None
    storage_class: str
    version_id: str | None
    uploaded_at: Timestamp
    last_modified: Timestamp
    local_path: str | None
    prompt: str | None
    generated_at: Timestamp | None
    generation_id: int | str
    generation_type: str
    source: Source
    good: bool
    labels: Tuple[str] = ()
    metadata: Mapping[str, str]
    overridden: Mapping[str, JsonValue] = Field(default={}, exclude_if=_is_empty)
    hidden: bool = Field(default=False, exclude_if=_is_empty)
    caption: str | None = Field(default=None, exclude_if=_is_none)
    problem: str | None = Field(default=None, exclude_if=_is_none)

    @property
    def role(self) -> Role:
        """The list that this entry belongs to."""
        return "captions" if self.caption is not None else "hidden" if self.hidden else "files"

    @property
    def is_file(self) -> bool:
        """Whether this is one of the manifest's files."""
        return self.role == "files"


class Generation(Strict):
    """The files of one generation run. An id is unique within its type.

    ``declared``: a sidecar declares the run with its time and ``metadata``; ``first_at`` is then the time of
    its first file. An undeclared generation is derived from its files.
    """

    generation_id: int | str
    type: str
    generated_at: Timestamp
    image_count: Count
    metadata: Mapping[str, JsonValue] = {}
    declared: bool = Field(default=False, exclude_if=_is_empty)
    first_at: Timestamp | None = Field(default=None, exclude_if=_is_none)


class SidecarCopy(Strict):
    """An immutable copy of a sidecar, applied to the files before ``up_to`` (None: to all remaining files).

    ``sha256`` is the digest of its bytes; None in references by earlier versions.
    """

    key: str
    sha256: Sha256 | None = Field(default=None, exclude_if=_is_none)
    up_to: str | None = Field(default=None, exclude_if=_is_none)


class Sidecar(Strict):
    """An object that describes other objects of the collection; it is not one of its files.

    ``etag`` is empty if the object is deleted but still applied to files. ``edit`` is the number of the last
    edit by this project's tools. ``copies`` are the contents applied to the entries: one copy of the current
    content, and, while it is being applied to very many files, copies of earlier contents.
    """

    s3_key: str
    etag: str
    edit: int | None = Field(default=None, exclude_if=_is_none)
    copies: Tuple[SidecarCopy] = Field(default=(), exclude_if=_is_empty)

    @property
    def is_applied(self) -> bool:
        """Whether the current content is applied to all files."""
        return all(copy.up_to is None for copy in self.copies)


class Problem(Strict):
    """A problem in a sidecar: its key, and a description with the fix."""

    s3_key: str
    problem: str


class PageRef(Strict):
    """A reference to a page: an immutable object with a sorted run of a large collection's entries.

    ``first`` and ``last`` are filenames; ``digest`` is ``digests.combine`` of the entries, equal to that of a
    listing of the same objects. ``sha256`` is the digest of the page's bytes, so it covers every field of every
    entry; None in references by earlier versions. ``unlisted`` counts captions and hidden files, ``total_files``
    the other entries. ``problems`` counts entries that may have a problem; a sweep observes those again.
    """

    key: str
    first: str
    last: str
    total_files: Count
    total_size_bytes: Count
    unlisted: Count = Field(default=0, exclude_if=_is_empty)
    problems: Count = Field(default=0, exclude_if=_is_empty)
    digest: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
    sha256: Sha256 | None = Field(default=None, exclude_if=_is_none)

    @property
    def total_entries(self) -> int:
        """The number of all its entries."""
        return self.total_files + self.unlisted


class Facts(Strict):
    """A manifest's facts about its collection at one revision, without the files.

    ``revision`` counts the commits that changed the content; ``last_change`` is the ``commit`` of the last of them.
    ``complete`` is false until all objects that were in S3 before the first commit have been observed.
    ``last_verified_at`` is the start of the last finished sweep, which compared the manifest with S3.
    ``first_revision`` is where the history begins; it is above 1 if the manifest replaced another one or was repaired.
    """

    kind: str
    id: str
    title: str | None
    s3_bucket: str
    s3_prefix: str
    created_at: Timestamp
    last_synced: Timestamp
    last_verified_at: Timestamp | None = None
    complete: bool
    revision: Revision
    first_revision: Revision = Field(default=1, exclude_if=_is_one)
    commit: str
    last_change: str
    total_files: Count
    total_size_bytes: Count
    generations: Tuple[Generation]
    sidecars: Tuple[Sidecar]
    problems: Tuple[Problem]


class Head(Facts):
    """The manifest object of one collection: the only object that is updated by compare-and-swap.

    Every write has a new ``commit``, so no two heads have equal bytes and an ETag identifies one commit.
    A small collection's head has ``files``, ``captions`` and ``hidden``; a large collection's head has
    ``pages`` with all of these.
    """

    files: Tuple[Entry] = ()
    captions: Tuple[Entry] = ()
    hidden: Tuple[Entry] = ()
    pages: Tuple[PageRef] = ()


class BodyDigests(Strict):
    """The size, MD5 (hex) and CRC-32 (base64, as in S3) of a head's bytes."""

    size: Count
    md5: str
    crc32: str


class Summary(Strict):
    """The facts of a head that are also its S3 user metadata, so that one HEAD request reads them.

    ``body`` identifies the bytes that they describe; None in heads by earlier versions.
    """

    revision: Revision
    complete: bool
    total_files: Count
    total_size_bytes: Count
    created_at: Timestamp
    last_synced: Timestamp
    title: str | None = Field(default=None)
    body: BodyDigests | None = None


class UnreadableManifest(Exception):
    """An object of a manifest is broken or was written by a newer version; this code must not change it."""


class NewerManifest(UnreadableManifest):
    """A newer version of this program wrote an object of a manifest."""


def first_problem(error: ValidationError) -> str:
    """The first error of a validation: path and message."""
    problem = error.errors()[0]
    return f"{'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}"
