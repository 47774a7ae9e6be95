"""User metadata of an upload: any text as HTTP headers carry it, and as much of it as S3 takes. Pure."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from s3_manifest.storage.store import METADATA_PREFIX

MAX_METADATA_BYTES = 2048
"""Of an object's user metadata: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html"""

# What a header carries unchanged: the signature of a request treats a run of spaces as one, and blanks at the ends
# are trimmed. https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_ENCODED_WORD_MARK = "=?"
_SURROGATE = re.compile("[\ud800-\udfff]")
# What the Q encoding of RFC 2047 leaves as it is, in any header: https://www.rfc-editor.org/rfc/rfc2047#section-5
_Q_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
# RFC 2047 allows 75 characters a word; `=?UTF-8?B??=` takes twelve of them, and base64 writes three bytes as four.
_WORD_CHARACTERS = 63
_WORD_BYTES = 45


class FittedMetadata(NamedTuple):
    """User metadata by name, encoded for headers, and the names of the fields that S3 has no room for."""

    values: Mapping[str, str]
    left_out: tuple[str, ...]


def encode_metadata(text: str) -> str:
    """A value of user metadata as a header carries it; ``facts.decode_metadata`` returns the text.

    Printable ASCII stays as it is. Everything else becomes RFC 2047 words, in the shorter of its two encodings: text
    that is not ASCII, control characters such as line breaks, runs of blanks and blanks at the ends, and ``=?``, which
    readers would take for an encoded word. Half a character (a lone surrogate), which no UTF-8 holds, becomes U+FFFD.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    if _PLAIN.fullmatch(text) and _ENCODED_WORD_MARK not in text:
        return text
    text = _SURROGATE.sub("\ufffd", text)
    by_base64 = " ".join(f"=?UTF-8?B?{word}?=" for word in _base64_words(text))
    by_quoting = " ".join(f"=?UTF-8?Q?{word}?=" for word in _quoted_words(text))
    return min(by_base64, by_quoting, key=len)


def fit_metadata(fields: Mapping[str, str | None]) -> FittedMetadata:
    """The fields that have a value, the most important first, as far as all of them together fit into S3's limit.

    What is left out belongs into a sidecar.
    """
    values: dict[str, str] = {}
    left_out: list[str] = []
    room = MAX_METADATA_BYTES
    for name, text in fields.items():
        if not text:
            continue
        value = encode_metadata(text)
        # The prefix counts here too, though S3 does not say that it does.
        size = len(METADATA_PREFIX) + len(name) + len(value)
        if size > room:
            left_out.append(name)
        else:
            values[name] = value
            room -= size
    return FittedMetadata(values, tuple(left_out))


def _base64_words(text: str) -> Iterator[str]:
    for word in _words(text, _WORD_BYTES, str.encode):
        yield base64.b64encode(word).decode()


def _quoted_words(text: str) -> Iterator[str]:
    for word in _words(text, _WORD_CHARACTERS, _quoted):
        yield word.decode()


def _quoted(sign: str) -> bytes:
    if sign == " ":
        return b"_"
    return b"".join(bytes([byte]) if byte in _Q_PLAIN else b"=%02X" % byte for byte in sign.encode())


def _words(text: str, most: int, encode: Callable[[str], bytes]) -> Iterator[bytes]:
    """The encoded characters, joined to words of at most so many bytes; no character is split between two words."""
    word = bytearray()
    for sign in text:
        encoded = encode(sign)
        if word and len(word) + len(encoded) > most:
            yield bytes(word)
            word.clear()
        word += encoded
    yield bytes(word)
