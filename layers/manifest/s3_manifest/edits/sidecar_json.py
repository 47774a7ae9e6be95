"""The JSON of sidecars as it is edited: what is not changed stays, also where no reader can use it.

Numbers that no float holds (``1e400``), integers of any length, and halves of surrogate pairs are written back as
they were read. Only what is no JSON at all (``NaN``, ``Infinity``) cannot be: such a sidecar is not edited.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn
from uuid import uuid4

from s3_manifest.manifest.lenient_json import NotReadable, read_json, utf8

_MAX_DIGITS = 20
_NAMED = 3


@dataclass(frozen=True)
class Verbatim:
    """A number that is kept as the text that it was read as."""

    token: str


class _NotJson(ValueError):
    pass


def decode(body: bytes, *, most: int) -> dict[str, Any]:
    """The JSON object in a body of at most so many bytes, to be given to ``encode``. Raises ``NotReadable``.

    A byte order mark, UTF-16 and gzip are undone.
    """
    text = utf8(body, most=most).decode("utf-8", "surrogateescape")
    try:
        fields = _DECODER.decode(text)
    except _NotJson as error:
        named = where(body, most)
        raise NotReadable(f"it holds {error}, which is not JSON: {named}; replace it by null or a number") from error
    except RecursionError as error:
        raise NotReadable(f"it is nested too deep to be edited: {where(body, most)}") from error
    except ValueError as error:
        raise NotReadable(f"it is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise NotReadable("it is not a JSON object")
    return fields


def encode(fields: Mapping[str, Any]) -> bytes:
    """JSON, UTF-8, one member a line. Raises ``ValueError`` where a number is not finite, or it is nested too deep."""
    mark, kept = uuid4().hex, list[str]()

    def placeholder(value: Verbatim) -> str:
        kept.append(value.token)
        return mark

    try:
        text = json.dumps(fields, ensure_ascii=False, indent=1, allow_nan=False, default=placeholder)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    tokens = iter(kept)
    text = re.sub(f'"{mark}"', lambda _: next(tokens), text) if kept else text
    # What cannot be encoded is a half of a surrogate pair, in a string: escaped, it is JSON.
    return text.encode("utf-8", "backslashreplace")


def where(body: bytes, most: int) -> str:
    """The first values in a body that no reader can use."""
    return "; ".join(read_json(body, most=most).problems[:_NAMED])


def _float(token: str) -> float | Verbatim:
    return number if isfinite(number := float(token)) else Verbatim(token)


def _int(token: str) -> int | Verbatim:
    return int(token) if len(token) <= _MAX_DIGITS else Verbatim(token)


def _refuse(constant: str) -> NoReturn:
    raise _NotJson(constant)


# Control characters in strings, which JSON wants escaped, are written so.
_DECODER = json.JSONDecoder(strict=False, parse_float=_float, parse_int=_int, parse_constant=_refuse)
