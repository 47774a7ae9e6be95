"""Reads the fields of legacy JSON, which have several names and forms."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from s3_manifest.manifest.model import Timestamp, timestamp

_MD5 = re.compile(r"[0-9a-f]{32}")
_MILLISECONDS_FROM = 10_000_000_000
_VERDICTS = dict.fromkeys(("good", "approved", "keep", "true", "yes"), True)
_VERDICTS |= dict.fromkeys(("bad", "rejected", "discard", "false", "no"), False)

Value = TypeVar("Value")


class InvalidField(ValueError):
    """A value has an unknown form; the text states the expected one."""


class LegacyFields(NamedTuple):
    """The fields of the object at ``where``. An invalid field is None, and becomes one of the ``problems``."""

    fields: Mapping[str, Any]
    where: str
    problems: list[str]

    def report(self, problem: object, field: str = "") -> None:
        """Adds a problem of a field, or of the object."""
        self.problems.append(f"{self._place(field)}: {problem}")

    def read(self, parse: Callable[[Any], Value], *names: str) -> Value | None:
        """The first of these fields that has a value, parsed."""
        name, value = self._first(*names)
        try:
            return None if value is None else parse(value)
        except InvalidField as error:
            self.report(error, name)
            return None

    def objects(self, *names: str, or_filenames: bool = False) -> Iterator["LegacyFields"]:
        """The objects in a list, in which filenames may stand for objects, or in an object by filename."""
        name, value = self._first(*names)
        if not isinstance(value, dict | list | None):
            self.report("must be a list", name)
            return
        items = value.items() if isinstance(value, dict) else enumerate(value or ())
        for key, item in items:
            fields = {"filename": item} if or_filenames and isinstance(item, str) else item
            if isinstance(value, dict) and isinstance(item, str | dict):
                fields = {"filename": key, **({"prompt": item} if isinstance(item, str) else item)}
            place = f"{name}.{key}"
            if isinstance(fields, dict):
                yield LegacyFields(fields, self._place(place), self.problems)
            else:
                self.report("must be an object, or a filename" if or_filenames else "must be an object", place)

    def md5(self, *names: str) -> str | None:
        """The first MD5 in hex, with or without quotes. An ETag of a multipart upload is not one."""
        values = (str(self.fields.get(name) or "").strip('" ').lower() for name in names)
        return next(filter(_MD5.fullmatch, values), None)

    def verdict(self) -> bool | None:
        """Whether an image is good, by any of the names of that field."""
        name, _ = self._first("good", "is_good", "bad", "is_bad")
        if not name:
            return _VERDICTS.get(str(self._first("verdict", "quality", "review", "status")[1]).lower())
        is_true = self.read(boolean, name)
        return None if is_true is None else is_true is not name.endswith("bad")

    def _first(self, *names: str) -> tuple[str, Any]:
        """The first of these fields that has a value, with its name."""
        return next(((name, self.fields[name]) for name in names if self.fields.get(name) is not None), ("", None))

    def _place(self, field: str) -> str:
        return ".".join(filter(None, (self.where, field)))


def text(value: object) -> str | None:
    """A text, or a number as text; None if it is empty. Raises ``InvalidField``."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidField("must be text")
    return str(value) or None


def written_text(value: object) -> str:
    """A text written by a person, with its whitespace. Raises ``InvalidField``."""
    if not isinstance(value, str):
        raise InvalidField("must be text")
    return value


def time_of(value: Any) -> Timestamp | None:  # noqa: ANN401  # JSON
    """A time: ISO 8601 (UTC by default), or seconds or milliseconds since 1970. Raises ``InvalidField``."""
    if value == "":
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value > _MILLISECONDS_FROM else value
            return timestamp(datetime.fromtimestamp(seconds, UTC))
        return timestamp(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise InvalidField(f"{value!r} is not a time") from error


def boolean(value: object) -> bool:
    """True or false, also as a number or a word. Raises ``InvalidField``."""
    value = _VERDICTS.get(value.lower()) if isinstance(value, str) else value
    if value not in (True, False):  # 0 and 1 are equal to them
        raise InvalidField("must be true or false")
    return bool(value)


def labels(value: object) -> tuple[str, ...]:
    """Labels, from a list or a comma-separated text. Raises ``InvalidField``."""
    value = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise InvalidField("must be a list of strings")
    return tuple(filter(None, value))


def generation_id_of(value: object) -> int | str | None:
    """The id of a generation: an integer or a text; None if it is empty. Raises ``InvalidField``."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidField("must be an integer or text")
    return None if value == "" else value
