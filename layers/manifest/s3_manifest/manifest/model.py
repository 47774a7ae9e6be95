"""The manifest: what it says, as frozen values."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

SCHEMA = 1
"""The version of the format of heads, pages and change records that this code reads and writes."""

SWEEP = "sweep"
"""The cause of a look at a key that no event named: a listing did."""

_DATE, _TIME = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])", r"([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{3}"
Timestamp = Annotated[str, StringConstraints(pattern=f"^{_DATE}T{_TIME}Z$")]
"""UTC, ISO 8601 with milliseconds and ``Z``. Of fixed width, so text order is time order."""

Source = Literal["s3_event", "s3_scan"]
"""What made us look at a key: an event about it, or a listing that named it."""

Md5Source = Literal["etag", "checksum", "md5", "md5chksum", "s3cmd-attrs", "computed"]
"""The proof of an MD5: the ETag, S3's checksum of the whole object, one of three user metadata fields that its uploader
declares, or the bytes themselves."""

DECLARED_MD5S: frozenset[Md5Source] = frozenset({"md5", "md5chksum", "s3cmd-attrs"})
"""The sources that are somebody's word: an MD5 that was wrong, or is that of other bytes, can stand there."""


Role = Literal["files", "captions", "hidden"]
"""What an entry is to the manifest: one of its files, or something that is listed apart and not counted."""

Count = Annotated[int, Field(ge=0)]
"""A number of files or of bytes."""

Revision = Annotated[int, Field(ge=1, lt=10**12)]
"""The number of a revision: twelve digits are what the name of a change record has room for."""

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""The SHA-256 of an object's bytes, in lower-case hex."""

Item = TypeVar("Item")

Tuple = Annotated[tuple[Item, ...], Field(strict=False)]
"""A tuple of a strict model. JSON has lists for tuples; the items themselves are as strict as their own type."""


def timestamp(moment: datetime) -> Timestamp:
    """A moment in the manifest's form, its microseconds cut off; one without a zone is UTC.

    Raises ``OverflowError`` for one that UTC cannot tell, at either end of what ``datetime`` can.
    """
    in_utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return in_utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def days_before(moment: Timestamp, days: float) -> Timestamp:
    """The time so many days earlier."""
    return timestamp(datetime.fromisoformat(moment) - timedelta(days=days))


def _is_empty(value: object) -> bool:
    return not value


def _is_none(value: object) -> bool:
    return value is None


def _is_one(value: object) -> bool:
    return value == 1


class Frozen(BaseModel):
    """Immutable, and strict about what it does not know: a field too many is a newer format."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Strict(Frozen):
    """What this project stores and reads back: no value is converted, so that ``true`` or ``"4"`` is no number."""

    model_config = ConfigDict(strict=True)


class Entry(Strict):
    """What the manifest says of one object. Sizes are bytes, times are UTC.

    ``uploaded_at`` and ``last_modified`` are both S3's ``LastModified``: S3 replaces objects and
    never edits them, so an object was last modified when it was uploaded. ``checksum`` holds the
    checksums as S3 gives them (base64), by the lower-case names of their algorithms, whichever these are, and their
    ``type``, ``FULL_OBJECT`` or ``COMPOSITE``.

    ``overridden`` has, for each field that a sidecar tells, what the object itself says of it (None:
    nothing). A caption, and a file that a sidecar says is ``hidden``, have entries that are not among
    the manifest's files: of a caption ``caption`` is the text, and ``problem`` says why it could not be read.
    Of these four only what there is to say is written.
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
        """What this is to the manifest."""
        return "captions" if self.caption is not None else "hidden" if self.hidden else "files"

    @property
    def is_file(self) -> bool:
        """Whether this is one of the manifest's files."""
        return self.role == "files"


class Generation(Strict):
    """The files that came from one run. An id is unique within its type.

    ``declared``: a sidecar says so, and when that was and with what ``metadata``; ``first_at`` is then
    when the first of its files was generated. One that nobody declared is known from its files alone.
    """

    generation_id: int | str
    type: str
    generated_at: Timestamp
    image_count: Count
    metadata: Mapping[str, JsonValue] = {}
    declared: bool = Field(default=False, exclude_if=_is_empty)
    first_at: Timestamp | None = Field(default=None, exclude_if=_is_none)


class SidecarCopy(Strict):
    """An immutable object with what a sidecar said of files: those before ``up_to`` (None: the rest) go by it.

    ``sha256`` is that of its bytes; None where an earlier version of this program wrote the reference.
    """

    key: str
    sha256: Sha256 | None = Field(default=None, exclude_if=_is_none)
    up_to: str | None = Field(default=None, exclude_if=_is_none)


class Sidecar(Strict):
    """An object of the collection that describes other objects; it is not one of its files.

    ``etag`` is empty where it is gone, and files still go by what it said. ``edit`` numbers the edits
    of it by this project's own tools. ``copies`` are what the entries go by: one of it as it is, but
    while it is being applied to very many files also those of before.
    """

    s3_key: str
    etag: str
    edit: int | None = Field(default=None, exclude_if=_is_none)
    copies: Tuple[SidecarCopy] = Field(default=(), exclude_if=_is_empty)

    @property
    def is_applied(self) -> bool:
        """Whether all files go by what it says now."""
        return all(copy.up_to is None for copy in self.copies)


class Problem(Strict):
    """What is wrong with the sidecars of a collection: the key that it is about, and the mend."""

    s3_key: str
    problem: str


class PageRef(Strict):
    """An immutable object with a sorted run of a large collection's entries, and what it holds.

    ``first`` and ``last`` are filenames; ``digest`` is ``digests.digest`` of the entries: that of a listing of
    the same objects. ``sha256`` is that of the page's bytes, so it covers every field of every entry; None where
    an earlier version of this program wrote the reference. Entries that are not files, captions and hidden
    ones, are counted by ``unlisted`` alone. ``problems``: so many of them may have a problem, and are looked at
    again by a sweep.
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
        """How many entries it has."""
        return self.total_files + self.unlisted


class Facts(Strict):
    """What a manifest says of its collection at one revision, apart from the files.

    ``revision`` counts the commits that changed what the manifest says; ``last_change`` is the
    ``commit`` of the last of those. ``complete`` is false until
    everything that was in S3 before the first commit has been looked at. ``last_verified_at`` is when
    the last finished sweep began: what the manifest says was compared with S3 after that.
    ``first_revision`` is the one that the manifest's history begins with: a later one than 1 where another
    manifest was there before, or where it was repaired. Its changes can be followed from there on.
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
    """The manifest object of one collection: the only thing that is ever compared-and-swapped.

    ``commit`` is fresh in every write, so no two heads are byte-equal and an ETag names one commit.
    A small collection's head has the ``files`` and, apart, ``captions`` and ``hidden``; a large one's
    the ``pages`` that hold all of these.
    """

    files: Tuple[Entry] = ()
    captions: Tuple[Entry] = ()
    hidden: Tuple[Entry] = ()
    pages: Tuple[PageRef] = ()


class BodyDigests(Strict):
    """What the bytes of a head are: their number, MD5 (hex) and CRC-32 (base64, as S3 gives it)."""

    size: Count
    md5: str
    crc32: str


class Summary(Strict):
    """The few facts of a head that travel as its S3 user metadata, read with one HEAD request.

    ``body`` says of which bytes they are true; None in what older versions wrote.
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
    """An object of a manifest that this code must not touch: broken, or written by a newer version of it."""


class NewerManifest(UnreadableManifest):
    """An object of a manifest that a newer version of this program wrote."""


class BrokenObjects(UnreadableManifest):
    """Pages, or copies of sidecars, that are missing or not what the head says they are: ``keys``."""

    def __init__(self, reason: str, keys: Iterable[str]) -> None:
        super().__init__(reason)
        self.keys = tuple(keys)


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong with some input: where, and what."""
    problem = error.errors()[0]
    return f"{'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}"
