"""A digest of a set of objects, equal whether computed from their entries or from an S3 listing.

It is a sum, so a change of one object updates it without reading the others, and a sweep
can add up listings in parts of any size.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from s3_manifest.manifest.model import Entry

_MODULUS = 1 << 128


def entry_digest(entry: Entry) -> int:
    """One object's digest, from its entry."""
    return object_digest(entry.filename, entry.etag, entry.size_bytes, entry.last_modified, entry.storage_class)


def json_digest(entry: dict[str, Any]) -> int:
    """One object's digest, from its entry as a JSON object."""
    return object_digest(
        entry["filename"], entry["etag"], entry["size_bytes"], entry["last_modified"], entry["storage_class"]
    )


def combine(parts: Iterable[int]) -> int:
    """The digest of a set from its objects' digests, in any order."""
    return sum(parts) % _MODULUS


def to_hex(digest: int) -> str:
    """The digest as stored in a manifest: 32 hexadecimal digits."""
    return f"{digest % _MODULUS:032x}"


def object_digest(filename: str, etag: str, size: int, last_modified: str, storage_class: str) -> int:
    """One object's digest, from the fields of a listing."""
    # Whole seconds: a HEAD response has no more, and some servers list milliseconds. The filename is last
    # because it alone may contain any character.
    text = f"{etag}\0{size}\0{last_modified[:19]}\0{storage_class}\0{filename}"
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest())
