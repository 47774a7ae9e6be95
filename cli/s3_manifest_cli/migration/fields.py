"""Reads the fields of legacy JSON, which have several names and forms."""

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


class InvalidField(ValueError):
    """A field has an unknown form; the text names the field and the expected form."""


def first_field(fields: Mapping[str, Any], *names: str) -> tuple[str, Any] | None:
    """The first of these fields that has a value, with its name."""
    return next(((name, fields[name]) for name in names if fields.get(name) is not None), None)


def text(fields: Mapping[str, Any], *names: str) -> str | None:
    """A text, or a number as text; None if it is empty. Raises ``InvalidField``."""
    field = first_field(fields, *names)
    if field is None:
        return None
    name, value = field
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidField(f"{name}: must be text")
    return str(value) or None


def written_text(fields: Mapping[str, Any], *names: str) -> str | None:
    """A text written by a person, with its whitespace. Raises ``InvalidField``."""
    field = first_field(fields, *names)
    if field and not isinstance(field[1], str):
        raise InvalidField(f"{field[0]}: must be text")
    return field[1] if field else None


def time_of(fields: Mapping[str, Any], *names: str) -> Timestamp | None:
    """A time: ISO 8601 (UTC by default), or seconds or milliseconds since 1970. Raises ``InvalidField``."""
    field = first_field(fields, *names)
    if field is None or field[1] == "":
        return None
    name, value = field
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value > _MILLISECONDS_FROM else value
            return timestamp(datetime.fromtimestamp(seconds, UTC))
        return timestamp(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise InvalidField(f"{name}: {value!r} is not a time") from error


def md5(fields: Mapping[str, Any], *names: str) -> str | None:
    """The first MD5 in hex, with or without quotes. An ETag of a multipart upload is not one."""
    for name in names:
        value = str(fields.get(name) or "").strip('" ').lower()
        if _MD5.fullmatch(value):
            return value
    return None


def verdict(fields: Mapping[str, Any]) -> bool | None:
    """Whether an image is good, by any of the names of that field. Raises ``InvalidField``."""
    field = first_field(fields, "good", "is_good", "bad", "is_bad")
    if field is None:
        word = first_field(fields, "verdict", "quality", "review", "status")
        return _VERDICTS.get(str(word[1]).lower()) if word else None
    name, value = field
    value = _VERDICTS.get(value.lower(), value) if isinstance(value, str) else value
    if value not in (True, False):  # 0 and 1 are equal to them
        raise InvalidField(f"{name}: must be true or false")
    return bool(value) is not name.endswith("bad")


def labels(fields: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Labels, from a list or a comma-separated text. Raises ``InvalidField``."""
    field = first_field(fields, "labels", "tags")
    if field is None:
        return None
    name, value = field
    value = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise InvalidField(f"{name}: must be a list of strings")
    return tuple(label for label in value if label)


def generation_id_of(fields: Mapping[str, Any], *names: str) -> int | str | None:
    """The id of a generation: an integer or a text. Raises ``InvalidField``."""
    field = first_field(fields, *names)
    if field is None or field[1] == "":
        return None
    name, value = field
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidField(f"{name}: must be an integer or text")
    return value


def items(fields: Mapping[str, Any], *names: str) -> Sequence[tuple[str, Any]]:
    """The items of a list, or of an object by filename, each with its place. Raises ``InvalidField``."""
    field = first_field(fields, *names)
    if field is None:
        return ()
    name, value = field
    if isinstance(value, dict):
        return [
            (f"{name}.{key}", {"filename": key, **({"prompt": item} if isinstance(item, str) else item)})
            if isinstance(item, str | dict)
            else (f"{name}.{key}", item)
            for key, item in value.items()
        ]
    if not isinstance(value, list):
        raise InvalidField(f"{name}: must be a list")
    return [(f"{name}.{index}", item) for index, item in enumerate(value)]
