"""The JSON of edited sidecars: unchanged values stay exactly as they are, even those that no reader can use.

Numbers beyond a float (``1e400``), integers of any length and lone surrogates are written as they were read. A sidecar
with ``NaN`` or ``Infinity``, which are not JSON, is not edited.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn
from uuid import uuid4

from s3_manifest.manifest.lenient_json import UnreadableDocument, read_json, to_utf8

_MAX_DIGITS = 20
_MAX_PROBLEMS = 3


@dataclass(frozen=True)
class Verbatim:
    """A number, as the text that was read."""

    token: str


class _NotJson(ValueError):
    pass


def decode(body: bytes, *, most: int) -> dict[str, Any]:
    """The JSON object in a body of at most ``most`` bytes, which may have a byte order mark, be UTF-16 or gzip.

    Raises ``UnreadableDocument``.
    """
    text = to_utf8(body, most=most).decode("utf-8", "surrogateescape")
    try:
        fields = _DECODER.decode(text)
    except _NotJson as error:
        problem = f"it has {error}, which is not JSON: {where(body, most)}; replace it by null or a number"
        raise UnreadableDocument(problem) from error
    except RecursionError as error:
        raise UnreadableDocument(f"it is nested too deeply to be edited: {where(body, most)}") from error
    except ValueError as error:
        raise UnreadableDocument(f"it is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UnreadableDocument("it is not a JSON object")
    return fields


def encode(fields: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8, one member per line. Raises ``ValueError`` for a number that is not finite, or deep nesting."""
    mark = uuid4().hex
    tokens: list[str] = []

    def placeholder(value: Verbatim) -> str:
        tokens.append(value.token)
        return mark

    try:
        text = json.dumps(fields, ensure_ascii=False, indent=1, allow_nan=False, default=placeholder)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    remaining = iter(tokens)
    text = re.sub(f'"{mark}"', lambda _: next(remaining), text)
    # Only a lone surrogate in a string cannot be encoded; escaped, it is JSON.
    return text.encode("utf-8", "backslashreplace")


def where(body: bytes, most: int) -> str:
    """The first values in a body that readers cannot use."""
    return "; ".join(read_json(body, most=most).problems[:_MAX_PROBLEMS])


def _float(token: str) -> float | Verbatim:
    return number if isfinite(number := float(token)) else Verbatim(token)


def _int(token: str) -> int | Verbatim:
    return int(token) if len(token) <= _MAX_DIGITS else Verbatim(token)


def _refuse(constant: str) -> NoReturn:
    raise _NotJson(constant)


# Accepts control characters in strings, which JSON requires to be escaped; ``encode`` escapes them.
_DECODER = json.JSONDecoder(strict=False, parse_float=_float, parse_int=_int, parse_constant=_refuse)
