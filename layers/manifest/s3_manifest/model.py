"""The manifest: what its JSON says, as frozen values."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import from_json, to_json

SCHEMA = 1
"""The version of the head's format that this code reads and writes."""

Timestamp = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
"""UTC, ISO 8601 with milliseconds and ``Z``. Of fixed width, so text order is time order."""

Source = Literal["s3_event", "s3_scan"]
"""What made us look at a key: an event about it, or a listing that named it."""

Md5Source = Literal["etag", "md5", "md5chksum", "s3cmd-attrs", "computed"]
"""The proof of an MD5: the ETag, one of three user metadata fields, or the bytes themselves."""


def timestamp(moment: datetime) -> Timestamp:
    """A moment in the manifest's form, its microseconds cut off; one without a zone is UTC.

    Raises ``OverflowError`` for one that UTC cannot tell, at either end of what ``datetime`` can.
    """
    in_utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return in_utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


class Frozen(BaseModel):
    """Immutable, and strict about what it does not know: a field too many is a newer format."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(Frozen):
    """What the manifest says of one object. Sizes are bytes, times are UTC.

    ``uploaded_at`` and ``last_modified`` are both S3's ``LastModified``: S3 replaces objects and
    never edits them, so an object was last modified when it was uploaded. ``checksum`` holds the
    checksums as S3 gives them (base64) and their ``type``, ``FULL_OBJECT`` or ``COMPOSITE``.
    """

    filename: str
    s3_key: str
    s3_url: str
    size_bytes: int
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
    metadata: Mapping[str, str]


class Generation(Frozen):
    """The files that came from one run. An id is unique within its type."""

    generation_id: int | str
    type: str
    generated_at: Timestamp
    image_count: int
    metadata: Mapping[str, str] = {}


class Sidecar(Frozen):
    """An object of the collection that describes other objects; it is not one of its files."""

    s3_key: str
    etag: str


class Head(Frozen):
    """The manifest object of one collection: the only thing that is ever compared-and-swapped.

    ``commit`` is fresh in every write, so no two heads are byte-equal and an ETag names one commit;
    ``revision`` counts the commits that altered what the manifest says, and ``last_change`` is the
    ``commit`` of the last of those. ``complete`` is false until everything that was in S3 before
    the first commit has been looked at.
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
    revision: int
    commit: str
    last_change: str
    total_files: int
    total_size_bytes: int
    generations: tuple[Generation, ...]
    sidecars: tuple[Sidecar, ...]
    files: tuple[Entry, ...]


class Summary(Frozen):
    """The few facts of a head that travel as its S3 user metadata, read with one HEAD request."""

    revision: int
    complete: bool
    total_files: int
    total_size_bytes: int
    created_at: Timestamp
    last_synced: Timestamp
    title: str | None = Field(default=None)


class UnreadableHead(Exception):
    """A head that this code must not touch: broken, or written by a newer version of it."""


def head_json(head: Head) -> dict[str, Any]:
    """The canonical JSON object: ``id`` and ``title`` are named after the kind."""
    fields = head.model_dump()
    kind = fields.pop("kind")
    return {
        "schema": SCHEMA,
        "kind": kind,
        f"{kind}_id": fields.pop("id"),
        f"{kind}_title": fields.pop("title"),
        **fields,
    }


def encode_head(head: Head) -> bytes:
    """The canonical JSON, UTF-8, on one line."""
    return to_json(head_json(head))


def decode_head(body: bytes) -> Head:
    """The head that ``encode_head`` wrote.

    Raises ``UnreadableHead``, saying why, for anything else: bytes that are not JSON, a missing,
    wrong or unknown field, another ``schema``.
    """
    try:
        fields = from_json(body)
    except ValueError as error:
        raise UnreadableHead(f"it is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UnreadableHead("it is not a JSON object")
    if (schema := fields.pop("schema", None)) != SCHEMA:
        raise UnreadableHead(f"its schema is {schema!r}, and this version reads {SCHEMA}")
    kind = fields.get("kind")
    fields["id"] = fields.pop(f"{kind}_id", None)
    fields["title"] = fields.pop(f"{kind}_title", None)
    try:
        return Head.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise UnreadableHead(f"{where}: {first['msg']}") from error
