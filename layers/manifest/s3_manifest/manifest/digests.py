"""A digest of what a run of objects is, the same from their entries and from a listing of them.

It is a sum, so it follows a change of one object without the others being looked at, and a sweep
adds it up in whatever pieces the listings come.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from s3_manifest.manifest.model import Entry

_MODULUS = 1 << 128


def entry_digest(entry: Entry) -> int:
    """One object's part, from its entry."""
    return object_digest(entry.filename, entry.etag, entry.size_bytes, entry.last_modified, entry.storage_class)


def json_digest(entry: dict[str, Any]) -> int:
    """One object's part, from its entry's JSON object."""
    return object_digest(
        entry["filename"], entry["etag"], entry["size_bytes"], entry["last_modified"], entry["storage_class"]
    )


def combine(parts: Iterable[int]) -> int:
    """The digest of a run from the parts of its objects, in any order."""
    return sum(parts) % _MODULUS


def to_hex(digest: int) -> str:
    """As it stands in a manifest: 32 hexadecimal digits."""
    return f"{digest % _MODULUS:032x}"


def object_digest(filename: str, etag: str, size: int, last_modified: str, storage_class: str) -> int:
    """One object's part, from what a listing says of it."""
    # Whole seconds: a HEAD tells no more, and some servers list milliseconds. The filename comes last,
    # as the only one that may hold any character.
    text = f"{etag}\0{size}\0{last_modified[:19]}\0{storage_class}\0{filename}"
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest())
