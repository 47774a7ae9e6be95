"""The headers of an upload: its media type, and its user metadata, encoded and within S3's size limit. Pure."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from s3_manifest.manifest.lenient_json import SURROGATE
from s3_manifest.storage.store import METADATA_PREFIX

MAX_METADATA_BYTES = 2048
"""S3's limit on an object's user metadata: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html"""

# Text that a header carries unchanged: a request's signature merges runs of spaces, and trims spaces at the ends. https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_ENCODED_WORD_MARK = "=?"
# What RFC 2047's Q encoding leaves unchanged in any header: https://www.rfc-editor.org/rfc/rfc2047#section-5
_Q_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
# RFC 2047 allows 75 characters a word; `=?UTF-8?B??=` takes twelve, and base64 encodes three bytes as four.
_WORD_CHARACTERS = 63
_WORD_BYTES = 45

_CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heic": "image/heic",
    "jxl": "image/jxl",
    "txt": "text/plain; charset=utf-8",
    "caption": "text/plain; charset=utf-8",
    "mp4": "video/mp4",
}


class UploadMetadata(NamedTuple):
    """The user metadata of an uploaded file; None for what is unknown."""

    prompt: str | None = None
    local_path: str | None = None
    generated_at: str | None = None
    generation_id: str | None = None
    generation_type: str | None = None


class FittedMetadata(NamedTuple):
    """User metadata by name, encoded for headers, and the names of the fields that exceed S3's limit."""

    values: Mapping[str, str]
    left_out: tuple[str, ...]


class UploadHeaders(NamedTuple):
    """The headers, and the names of the metadata fields that exceed S3's limit."""

    headers: Mapping[str, str]
    left_out: tuple[str, ...]


def upload_headers(key: str, md5: str, metadata: UploadMetadata = UploadMetadata()) -> UploadHeaders:  # noqa: B008  # it is immutable
    """The headers of an upload, with as much user metadata as S3 accepts.

    They include the MD5 in hex, because the ETag of a multipart upload, or of an object encrypted with a customer key,
    is not the MD5. The prompt comes last: it is the longest field, and a sidecar can hold it.
    """
    fitted = fit_metadata(
        {
            "md5": md5,
            "generation-id": metadata.generation_id,
            "generated-at": metadata.generated_at,
            "generation-type": metadata.generation_type,
            "local-path": metadata.local_path,
            "prompt": metadata.prompt,
        }
    )
    values = {METADATA_PREFIX + name: value for name, value in fitted.values.items()}
    return UploadHeaders({"Content-Type": content_type(key)} | values, fitted.left_out)


def content_type(key: str) -> str:
    """The media type for the suffix of a key, case-insensitive."""
    stem, _, suffix = key.rpartition("/")[2].rpartition(".")
    return _CONTENT_TYPES.get(suffix.lower() if stem else "", "application/octet-stream")


def encode_metadata(text: str) -> str:
    """A value of user metadata, encoded for a header; ``entries.decode_metadata`` decodes it.

    Printable ASCII stays unchanged. Everything else becomes RFC 2047 words, in the shorter of the two encodings: other
    characters, control characters such as line breaks, runs of spaces, spaces at the ends, and ``=?``, which starts an
    encoded word. A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    if _PLAIN.fullmatch(text) and _ENCODED_WORD_MARK not in text:
        return text
    text = SURROGATE.sub("\ufffd", text)
    plain = map(base64.b64encode, _words(text, _WORD_BYTES, str.encode))
    by_base64 = " ".join(f"=?UTF-8?B?{word.decode()}?=" for word in plain)
    by_quoting = " ".join(f"=?UTF-8?Q?{word.decode()}?=" for word in _words(text, _WORD_CHARACTERS, _quoted))
    return min(by_base64, by_quoting, key=len)


def fit_metadata(fields: Mapping[str, str | None]) -> FittedMetadata:
    """The fields with a value that fit together into S3's limit; pass the most important first.

    A sidecar can hold the fields that are left out.
    """
    values: dict[str, str] = {}
    left_out: list[str] = []
    room = MAX_METADATA_BYTES
    for name, text in fields.items():
        if not text:
            continue
        value = encode_metadata(text)
        # S3 does not document that the prefix counts; counting it is safe.
        size = len(METADATA_PREFIX) + len(name) + len(value)
        if size > room:
            left_out.append(name)
        else:
            values[name] = value
            room -= size
    return FittedMetadata(values, tuple(left_out))


def _quoted(character: str) -> bytes:
    if character == " ":
        return b"_"
    return b"".join(bytes([byte]) if byte in _Q_PLAIN else b"=%02X" % byte for byte in character.encode())


def _words(text: str, limit: int, encode: Callable[[str], bytes]) -> Iterator[bytes]:
    """The encoded characters, joined into words of at most ``limit`` bytes; no character is split."""
    word = bytearray()
    for character in text:
        encoded = encode(character)
        if word and len(word) + len(encoded) > limit:
            yield bytes(word)
            word.clear()
        word += encoded
    yield bytes(word)
