"""Builds a manifest entry from the response to a HEAD request."""

import binascii
import re
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header
from operator import attrgetter

from s3_manifest.manifest.collections import Collection, Location, object_url
from s3_manifest.manifest.model import Entry, Source, Timestamp, timestamp
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import ListedObject, Present

UNDECLARED_GENERATION = 1
"""The generation id of objects without a declared generation; the type of that generation is their source."""

# User metadata with fields of its own; other user metadata goes into ``metadata``.
_CONSUMED = frozenset({"prompt", "generated-at", "generation-id", "generation-type", "local-path"})

# Two entries of a key with the same values describe the same object.
_IDENTITY = attrgetter("etag", "size_bytes", "last_modified", "version_id")


def is_folder(item: Present | ListedObject) -> bool:
    """Whether this is a folder as the S3 console creates them: an empty object whose key ends in ``/``."""
    return item.size == 0 and item.key.endswith("/")


def entry_of(
    present: Present, collection: Collection, location: Location, source: Source, computed_md5: str | None = None
) -> Entry:
    """The entry of an object. ``computed_md5`` is used if the HEAD response does not prove an MD5."""
    metadata = {name: decode_metadata(value) for name, value in present.metadata.items()}
    md5, md5_source = proven_md5(present) or ((computed_md5, "computed") if computed_md5 else (None, None))
    generated_at = _as_timestamp(metadata.get("generated-at"))
    consumed = _CONSUMED if generated_at else _CONSUMED - {"generated-at"}
    generation_id = metadata.get("generation-id")
    declared = generation_id is not None or "generation-type" in metadata
    return Entry(
        filename=collection.filename(present.key),
        s3_key=present.key,
        s3_url=object_url(location, collection.bucket, present.key),
        size_bytes=present.size,
        md5_hash=md5,
        md5_source=md5_source,
        etag=present.etag,
        checksum=present.checksum,
        content_type=present.content_type,
        storage_class=present.storage_class,
        version_id=present.version_id,
        uploaded_at=present.last_modified,
        last_modified=present.last_modified,
        local_path=metadata.get("local-path"),
        prompt=metadata.get("prompt"),
        generated_at=generated_at,
        generation_id=parse_id(generation_id) if generation_id else UNDECLARED_GENERATION,
        generation_type=metadata.get("generation-type", "declared") if declared else source,
        source=source,
        good=True,
        metadata={name: value for name, value in metadata.items() if name not in consumed},
    )


def decode_metadata(value: str) -> str:
    """Decodes a user metadata value; S3 returns non-ASCII values as RFC 2047 encoded words.

    Returns the value unchanged if it only resembles an encoded word or names an unknown charset.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    if "=?" not in value:
        return value
    try:
        parts = decode_header(value)
        text = "".join(part if isinstance(part, str) else part.decode(charset or "ascii") for part, charset in parts)
        text.encode()  # some charsets can spell half a character, which no JSON can hold
        return text
    except (HeaderParseError, binascii.Error, LookupError, ValueError):
        return value


def _as_timestamp(text: str | None) -> Timestamp | None:
    """Parses any ISO 8601 form; a time without a zone is UTC."""
    try:
        return timestamp(datetime.fromisoformat(text)) if text else None
    except (ValueError, OverflowError):
        return None


def parse_id(text: str) -> int | str:
    """A generation id: an integer if the text is its canonical form."""
    # "007" and integers beyond 64 bits would change on a round trip through JSON.
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) else text


def source_of(last_modified: Timestamp, subscribed_at: Timestamp | None) -> Source:
    """The source of an object: whether its upload was announced. ``subscribed_at`` None: nothing is.

    It follows from the object and the subscription, not from what triggered an observation, so that every order of
    events and listings gives the same manifest. An object of the second in which the subscription began counts as
    announced: ``subscription_record`` begins it at a whole second, and S3 truncates ``LastModified`` to one, which for
    a multipart upload is when that began.
    """
    return "s3_event" if subscribed_at and subscribed_at <= last_modified else "s3_scan"


def keep_announced(before: Entry, now: Entry) -> Entry:
    """``now``, still with the source ``s3_event`` if ``before`` has it and both describe the same object.

    The record of a subscription can be younger than an object that was announced: an earlier version, which wrote no
    record, or an earlier deployment was subscribed. What was announced stays so. Returns ``before`` itself if the
    result is equal.
    """
    if before.source != now.source and before.source == "s3_event" and _IDENTITY(now) == _IDENTITY(before):
        is_undeclared = now.generation_type == now.source and before.generation_type == before.source
        generation_type = before.source if is_undeclared else now.generation_type
        now = now.model_copy(update={"source": before.source, "generation_type": generation_type})
    return before if now == before else now
