"""The fields of legacy JSON, by the several names and in the several forms that they have."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from s3_manifest.manifest.model import Timestamp, timestamp

_MD5 = re.compile(r"[0-9a-f]{32}")
_MILLISECONDS_FROM = 10_000_000_000
_GOOD = {"good": True, "approved": True, "keep": True, "true": True, "yes": True}
_BAD = {"bad": False, "rejected": False, "discard": False, "false": False, "no": False}
_VERDICTS = _GOOD | _BAD


class WrongField(ValueError):
    """A field has no form that we know; the text says which field, and what it has to be."""


def first(fields: Mapping[str, Any], *names: str) -> tuple[str, Any] | None:
    """The first of these fields that says something, with its name."""
    return next(((name, fields[name]) for name in names if fields.get(name) is not None), None)


def text(fields: Mapping[str, Any], *names: str) -> str | None:
    """Text, or a number as text. An empty one says nothing. Raises ``WrongField``."""
    found = first(fields, *names)
    if found is None:
        return None
    name, value = found
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise WrongField(f"{name}: it has to be text")
    return str(value) or None


def words(fields: Mapping[str, Any], *names: str) -> str | None:
    """A text that people wrote. Raises ``WrongField``."""
    found = first(fields, *names)
    if found and not isinstance(found[1], str):
        raise WrongField(f"{found[0]}: it has to be text")
    return found[1] if found else None


def moment(fields: Mapping[str, Any], *names: str) -> Timestamp | None:
    """A time: ISO 8601, without a zone UTC, or seconds or milliseconds since 1970. Raises ``WrongField``."""
    found = first(fields, *names)
    if found is None or found[1] == "":
        return None
    name, value = found
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value > _MILLISECONDS_FROM else value
            return timestamp(datetime.fromtimestamp(seconds, UTC))
        return timestamp(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise WrongField(f"{name}: {value!r} is not a time") from error


def md5(fields: Mapping[str, Any], *names: str) -> str | None:
    """An MD5 in hex, in quotes or not: the first that is one. An ETag of several parts is none."""
    for name in names:
        value = str(fields.get(name) or "").strip('" ').lower()
        if _MD5.fullmatch(value):
            return value
    return None


def verdict(fields: Mapping[str, Any]) -> bool | None:
    """Good or bad, by any of its names. Raises ``WrongField``."""
    found = first(fields, "good", "is_good", "bad", "is_bad")
    if found is None:
        word = first(fields, "verdict", "quality", "review", "status")
        return _VERDICTS.get(str(word[1]).lower()) if word else None
    name, value = found
    value = _VERDICTS.get(value.lower(), value) if isinstance(value, str) else value
    if value not in (True, False):  # 0 and 1 are equal to them
        raise WrongField(f"{name}: it has to be true or false")
    return bool(value) is not name.endswith("bad")


def labels(fields: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Labels, as a list or as one text with commas. Raises ``WrongField``."""
    found = first(fields, "labels", "tags")
    if found is None:
        return None
    name, value = found
    value = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise WrongField(f"{name}: it has to be a list of texts")
    return tuple(label for label in value if label)


def identity(fields: Mapping[str, Any], *names: str) -> int | str | None:
    """The id of a generation: a whole number or a text. Raises ``WrongField``."""
    found = first(fields, *names)
    if found is None or found[1] == "":
        return None
    name, value = found
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise WrongField(f"{name}: it has to be a whole number or a text")
    return value


def items(fields: Mapping[str, Any], *names: str) -> Sequence[tuple[str, Any]]:
    """A list, or an object by filename, as (where, item). Raises ``WrongField``."""
    found = first(fields, *names)
    if found is None:
        return ()
    name, value = found
    if isinstance(value, dict):
        return [
            (f"{name}.{key}", {"filename": key, **({"prompt": item} if isinstance(item, str) else item)})
            if isinstance(item, str | dict)
            else (f"{name}.{key}", item)
            for key, item in value.items()
        ]
    if not isinstance(value, list):
        raise WrongField(f"{name}: it has to be a list")
    return [(f"{name}.{index}", item) for index, item in enumerate(value)]
