"""Reads JSON that other programs wrote: what can be used is kept, and what is left out is reported.

A byte order mark, UTF-16, UTF-32 and gzip are undone. One bad value costs that value, not the document:
everything that is returned can be written again as JSON that any consumer reads.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from pydantic import JsonValue
from pydantic_core import from_json

MAX_BYTES = 8 << 20
"""The most bytes of text that a body may decompress to, unless the caller allows another number."""

MAX_DEPTH = 100
"""Lists and objects nested deeper are left out: a manifest nests them some levels deeper still, and the reader of
manifests, like many others, ends at 200 levels."""

MIN_INTEGER, MAX_INTEGER = -(1 << 63), (1 << 64) - 1
"""Integers outside are left out: most JSON libraries fail on them, or round them. Seeds of 64 bits are inside."""

MAX_PROBLEMS = 20
"""So many problems of a document are described one by one, and the others counted."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a pair, or, of bytes decoded with ``surrogateescape``, one that is not UTF-8: no text that can be written."""

_CONTAINERS = frozenset((dict, list))
_GZIP = b"\x1f\x8b"
_MAX_PATH = 200
_VAIN_READS = 4
_BETWEEN, _LINE = re.compile("[\\s,\ufeff]*"), re.compile(r"[^\n]*")
_TOO_DEEP = "\udfff nested too deep"  # no text has this: a surrogate that no other one precedes
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)
_MARKS = re.compile(rb"\A(?:\xef\xbb\xbf)+")
# Digits as zeros, "e" for both its cases and all else as blanks, to find ``_LARGE`` at the speed of a substring.
_NUMBERS = bytes(0x30 if chr(c) in "0123456789" else 0x65 if chr(c) in "eE" else 0x20 for c in range(256))
_LARGE = (b"0" * 19, b"0e000")


class UnreadableDocument(ValueError):
    """The body is not text, or not JSON, at all, or too large; the message says which, of an "it"."""


class Document(NamedTuple):
    """A JSON value without its unusable parts, and what was left out: ``path.to.it: why``."""

    value: JsonValue
    problems: tuple[str, ...] = ()


class _Unusable(NamedTuple):
    """Stands for a value that JSON's consumers cannot hold."""

    reason: str


_NOT_FINITE = _Unusable("it is not a finite number, and JSON has no others")
_OUT_OF_RANGE = _Unusable("it is an integer of more than 64 bits")
_NOT_TEXT = _Unusable("it holds half of a surrogate pair, or bytes that are not UTF-8; write it anew")
_NESTED = _Unusable(f"it is nested more than {MAX_DEPTH} levels deep")


_LENIENT = json.JSONDecoder(
    strict=False,
    parse_int=lambda digits: int(digits) if len(digits) <= len(str(MAX_INTEGER)) else _OUT_OF_RANGE,
    parse_constant=lambda _: _NOT_FINITE,
)


def read_json(body: bytes, *, most: int = MAX_BYTES) -> Document:
    """The JSON in a body, as ``utf8`` reads it. Raises ``NotReadable``.

    Left out, each with a problem that names its path (keys and indexes of the original, joined by dots):
    strings and keys with lone surrogates or bytes that are not UTF-8, numbers that are not finite (``NaN``,
    ``-Infinity``, ``1e999``), integers beyond 64 bits, and whatever is nested deeper than ``MAX_DEPTH``. An
    element of a list that is left out leaves no gap. Control characters in strings, line breaks above all,
    are kept, though JSON wants them escaped. Of members with the same key the last counts, as with most
    parsers (https://www.rfc-editor.org/rfc/rfc8259#section-4).
    """
    return _read(to_utf8(body, most=most))


def read_json_lines(body: bytes, *, most: int = MAX_BYTES) -> Iterator[tuple[int, Document | UnreadableDocument]]:
    """The JSON values of a body, one a line or each over several, and what cannot be read, by the line it begins at.

    Each is read as by ``read_json``. Lines end with LF, CR or both, and blank ones do not count. What stands between
    two values may be nothing, blanks or a comma. Raises ``NotReadable`` where the body is no text.
    """
    text = to_utf8(body, most=most)
    lines, has_large_number = text.splitlines(), _has_large_number(text)
    for index, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            value = from_json(line, allow_inf_nan=False)
            may_be_deep = line.count(b"[") + line.count(b"{") > MAX_DEPTH
            document = _cleaned(value) if has_large_number or may_be_deep else Document(value)
        except ValueError:
            try:
                document = _read(_MARKS.sub(b"", line, count=1))
            except UnreadableDocument:
                yield from _spread(lines, index)
                return
        yield index + 1, document


def to_utf8(body: bytes, *, most: int = MAX_BYTES) -> bytes:
    """The text of a body as UTF-8 without a byte order mark: decompressed, and encoded anew where it is UTF-16.

    S3 returns what was stored, so an object with ``Content-Encoding: gzip`` arrives compressed. UTF-16 and UTF-32
    are known by their mark, or by the zeros of an ASCII character at the beginning
    (https://docs.python.org/3/library/json.html#character-encodings). Whether the rest is UTF-8 is not checked.
    Raises ``NotReadable``: a body that is broken, or has more than ``most`` bytes.
    """
    if body.startswith(_GZIP):
        body = _decompressed(body, most)
    elif len(body) > most:
        raise UnreadableDocument(f"it has {len(body)} bytes; of more than {most} it is not read")
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    if encoding == "utf-8-sig":
        return _MARKS.sub(b"", body, count=1)
    try:
        return body.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise UnreadableDocument(f"it is not {encoding.upper()}, though it begins like it: {error.reason}") from error


def decode_text(body: bytes, *, most: int = MAX_BYTES) -> str:
    """The text of a body, as ``utf8`` reads it. Raises ``NotReadable``."""
    try:
        return to_utf8(body, most=most).decode()
    except UnicodeDecodeError as error:
        raise UnreadableDocument("it is not UTF-8; write it anew, in UTF-8") from error


def _read(text: bytes) -> Document:
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return _cleaned(_parsed(text))
    if _has_large_number(text) or not _is_flat(value):
        return _cleaned(value)
    return Document(value)


def _spread(lines: Sequence[bytes], index: int) -> Iterator[tuple[int, Document | UnreadableDocument]]:
    """The values from a line on that is none: each may end some lines after it began."""
    characters = b"\n".join(lines[index:]).decode("utf-8", "surrogateescape")
    number, counted, at = index + 1, 0, 0
    # What may be read in vain, looking for the end of a broken value: then each line stands for itself.
    allowed = _VAIN_READS * len(characters)
    while (begins := _after(_BETWEEN, characters, at)) < len(characters):
        number, counted = number + characters.count("\n", counted, begins), begins
        end_of_line = _after(_LINE, characters, begins)
        found: Document | UnreadableDocument | None = None
        at = end_of_line
        if allowed > 0:
            try:
                value, ends = _LENIENT.raw_decode(characters, begins)
            except json.JSONDecodeError as error:
                allowed -= error.pos - begins
            except RecursionError:
                allowed -= len(characters) // 10
            else:
                if isinstance(value, dict | list):
                    found, at = _cleaned(value), ends
        yield number, found or _of_line(characters[begins:end_of_line])


def _after(pattern: re.Pattern[str], characters: str, begins: int) -> int:
    """Where a match ends, if there is one there."""
    match = pattern.match(characters, begins)
    return match.end() if match else begins


def _of_line(line: str) -> Document | UnreadableDocument:
    try:
        return _read(line.encode("utf-8", "surrogateescape"))
    except UnreadableDocument as error:
        return error


def _decompressed(body: bytes, most: int) -> bytes:
    found = bytearray()
    while body.startswith(_GZIP):  # a gzip file is any number of them, one after the other
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            found += member.decompress(body, most + 1 - len(found))
        except zlib.error as error:
            raise UnreadableDocument(f"it is not gzip, though it begins like it: {error}") from error
        if len(found) > most:
            raise UnreadableDocument(f"it decompresses to more than {most} bytes; of more it is not read")
        if not member.eof:
            raise UnreadableDocument("its gzip data ends too early; store it anew")
        body = member.unused_data
    return bytes(found)


def _has_large_number(text: bytes) -> bool:
    """Whether there may be an integer out of range, or a float that overflows."""
    numbers = text.translate(_NUMBERS, delete=b"+")
    return any(large in numbers for large in _LARGE)


def _is_flat(value: Any) -> bool:  # noqa: ANN401  # JSON
    """Whether nothing in a parsed value is nested too deep. Level by level, so large documents cost little."""
    level = [value]
    for _ in range(MAX_DEPTH):
        objects = (outer.values() for outer in level if isinstance(outer, dict))
        lists = (outer for outer in level if isinstance(outer, list))
        level = [inner for items in chain(objects, lists) for inner in items if type(inner) in _CONTAINERS]
        if not level:
            return True
    return False


def _parsed(text: bytes) -> Any:  # noqa: ANN401  # JSON, and marks of what is not
    # What is not UTF-8 becomes lone surrogates too.
    characters = text.decode("utf-8", "surrogateescape")
    try:
        try:
            return _LENIENT.decode(characters)
        except RecursionError:
            return _LENIENT.decode(_pruned(characters))
    except ValueError as error:
        raise UnreadableDocument(f"it is not JSON: {error}") from error


def _pruned(characters: str) -> str:
    """The text with what is nested too deep replaced, so that a recursive parser reads it."""
    kept, depth, done = list[str](), 0, 0
    for token in _TOKENS.finditer(characters):
        sign = token[0]
        if sign in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += (characters[done : token.start()], json.dumps(_TOO_DEEP))
        elif sign in "]}":
            if depth == MAX_DEPTH + 1:
                done = token.end()
            depth -= 1
    if depth > MAX_DEPTH:
        raise UnreadableDocument(f"it is not JSON: it ends within {depth} lists and objects")
    return "".join((*kept, characters[done:]))


def _cleaned(value: Any) -> Document:  # noqa: ANN401  # what ``_parsed`` returns
    problems = list[str]()
    more = 0

    def report(path: tuple[object, ...], reason: str) -> None:
        nonlocal more
        if len(problems) < MAX_PROBLEMS:
            problems.append(f"{_shown(path)}: {reason}")
        else:
            more += 1

    cleaned = _clean(value, (), report)
    if isinstance(cleaned, _Unusable):
        raise UnreadableDocument(cleaned.reason)
    return Document(cleaned, (*problems, f"and {more} more") if more else tuple(problems))


def _clean(value: Any, path: tuple[object, ...], report: Callable[[tuple[object, ...], str], None]) -> Any:  # noqa: ANN401
    """The value without its unusable parts, or why all of it is unusable."""
    match value:
        case _Unusable() | None | bool():
            return value
        case str():
            return value if not SURROGATE.search(value) else _NESTED if value == _TOO_DEEP else _NOT_TEXT
        case int():
            return value if MIN_INTEGER <= value <= MAX_INTEGER else _OUT_OF_RANGE
        case float():
            return value if float("-inf") < value < float("inf") else _NOT_FINITE
    if len(path) >= MAX_DEPTH:
        return _NESTED
    items = value.items() if isinstance(value, dict) else enumerate(value)
    kept = list[tuple[Any, Any]]()
    for name, inner in items:
        within = (*path, name)
        cleaned = _NOT_TEXT if isinstance(name, str) and SURROGATE.search(name) else _clean(inner, within, report)
        if isinstance(cleaned, _Unusable):
            report(within, cleaned.reason)
        else:
            kept.append((name, cleaned))
    return dict(kept) if isinstance(value, dict) else [cleaned for _, cleaned in kept]


def _shown(path: tuple[object, ...]) -> str:
    """A path as text that can be written, also where a key of it cannot."""
    text = ".".join(str(step) for step in path).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _MAX_PATH else f"{text[:_MAX_PATH]}…"
