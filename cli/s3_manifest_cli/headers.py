"""What the headers of an upload tell of it: its media type, and what its user metadata says."""

from collections.abc import Mapping
from email.header import Header
from typing import NamedTuple

from s3_manifest.store import METADATA_PREFIX
from s3_manifest.uploads import CONTENT_TYPES, MAX_METADATA_BYTES

_CONTENT_TYPES = {**CONTENT_TYPES, "mp4": "video/mp4"}


class Told(NamedTuple):
    """What is told of a file beside its bytes, each where somebody knows it."""

    prompt: str | None = None
    local_path: str | None = None
    generated_at: str | None = None
    generation_id: str | None = None
    generation_type: str | None = None


class Metadata(NamedTuple):
    """User metadata by name, as headers hold it, and the names of what did not fit."""

    values: Mapping[str, str]
    left: tuple[str, ...]


def of(key: str, values: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of an upload to that key with this user metadata."""
    return {"Content-Type": content_type(key)} | {METADATA_PREFIX + name: value for name, value in values.items()}


def content_type(key: str) -> str:
    """The media type that a file's name tells, in any case of letters."""
    stem, _, suffix = key.rpartition("/")[2].rpartition(".")
    return _CONTENT_TYPES.get(suffix.lower() if stem else "", "application/octet-stream")


def header(text: str) -> str:
    """A text as an HTTP header can hold it: RFC 2047 words where it is not plain ASCII."""
    # What only looks like an encoded word would be decoded by whoever reads it; signatures see several spaces as one.
    odd = "=?" in text or "  " in text or text != text.strip()
    if text.isascii() and text.isprintable() and not odd:
        return text
    return Header(text, "utf-8", maxlinelen=1 << 20).encode()


def metadata(md5: str, told: Told = Told()) -> Metadata:  # noqa: B008  # it is immutable
    """The user metadata of an upload: the MD5 of its bytes in hex, and what is told of it, as far as S3 takes so much.

    What does not fit belongs into a sidecar. The MD5 is among it because the ETag tells none of an object that is
    uploaded in parts, or encrypted with a customer's key.
    """
    values = {"md5": md5}
    left = []
    room = MAX_METADATA_BYTES - _size("md5", md5)
    # The prompt is the longest, and has a sidecar for it: it yields to all others.
    for field in ("generation_id", "generated_at", "generation_type", "local_path", "prompt"):
        if text := getattr(told, field):
            name, value = field.replace("_", "-"), header(text)
            if _size(name, value) > room:
                left.append(name)
            else:
                values[name] = value
                room -= _size(name, value)
    return Metadata(values, tuple(left))


def _size(name: str, value: str) -> int:
    # The prefix counts here too, though S3 does not say that it does.
    return len(METADATA_PREFIX) + len(name) + len(value)
