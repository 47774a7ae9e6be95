"""Where each fact of an entry comes from: the answer to a HEAD, made into an entry."""

import binascii
import re
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header

from s3_manifest.manifest.collections import Collection, Location, object_url
from s3_manifest.manifest.model import Entry, Source, Timestamp, timestamp
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import Listed, Present

UNDECLARED_GENERATION = 1
"""The generation id of objects that nobody declared; their generation's type is their source."""

# User metadata that ends in fields of its own; the rest stays under ``metadata``.
_CONSUMED = frozenset({"prompt", "generated-at", "generation-id", "generation-type", "local-path"})


def is_folder(found: Present | Listed) -> bool:
    """Whether this is a folder as the S3 console makes them: an empty object whose key ends in ``/``."""
    return found.size == 0 and found.key.endswith("/")


def entry_of(
    present: Present,
    collection: Collection,
    location: Location,
    source: Source,
    computed_md5: str | None = None,
) -> Entry:
    """What the manifest says of an object, from what a HEAD says of it.

    ``computed_md5`` is the last rung of the ladder, for an object whose MD5 the HEAD does not prove.
    """
    metadata = {name: decode_metadata(value) for name, value in present.metadata.items()}
    md5, md5_source = proven_md5(present) or ((computed_md5, "computed") if computed_md5 else (None, None))
    generated_at = _as_timestamp(metadata.get("generated-at"))
    consumed = _CONSUMED if generated_at else _CONSUMED - {"generated-at"}
    generation_id = metadata.get("generation-id")
    declared = generation_id is not None or "generation-type" in metadata
    return Entry(
        filename=collection.filename(present.key),
        s3_key=present.key,
        s3_url=object_url(location, present.key),
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
        generation_id=as_id(generation_id) if generation_id else UNDECLARED_GENERATION,
        generation_type=metadata.get("generation-type", "declared") if declared else source,
        source=source,
        good=True,
        metadata={name: value for name, value in metadata.items() if name not in consumed},
    )


def decode_metadata(value: str) -> str:
    """A user metadata value as its author wrote it: S3 hands out non-ASCII ones as RFC 2047 words.

    What only looks like an encoded word, or names an unknown charset, is left as it is.
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
    """A time in any ISO 8601 form; one without a zone is UTC."""
    if not text:
        return None
    try:
        return timestamp(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def as_id(text: str) -> int | str:
    """A generation's id from text: a number where that is how numbers are written."""
    # "007" and numbers past 64 bits would not come out of JSON as they went in.
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) else text


def settled(before: Entry, now: Entry) -> Entry:
    """The entry for a key that had one before: ``before`` itself if nothing else is to be said.

    Looking again at the same object does not change where we know it from.
    """
    if (now.etag, now.size_bytes, now.last_modified, now.version_id) == (
        before.etag,
        before.size_bytes,
        before.last_modified,
        before.version_id,
    ):
        undeclared = now.generation_type == now.source and before.generation_type == before.source
        kept = {"source": before.source} | ({"generation_type": before.source} if undeclared else {})
        now = now.model_copy(update=kept)
    return before if now == before else now
