"""Reads JSON from other programs: keeps the usable values and reports the dropped values.

Decodes byte order marks, UTF-16, UTF-32 and gzip. A bad value costs only itself: everything
returned can be written as JSON that any consumer reads.
"""

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from pydantic import JsonValue
from pydantic_core import from_json

MAX_BYTES = 8 << 20
"""The default limit of a body's decompressed size."""

MAX_DEPTH = 100
"""Deeper lists and objects are dropped: a manifest nests them a few levels deeper, and its parser, like many others,
stops at 200 levels."""

MIN_INTEGER, MAX_INTEGER = -(1 << 63), (1 << 64) - 1
"""Integers outside are dropped: most JSON libraries fail on them or round them. 64-bit seeds are inside."""

MAX_PROBLEMS = 20
"""The most problems of a document that are listed; the others are counted."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""A lone surrogate, or a byte that is not UTF-8 (decoded with ``surrogateescape``): it cannot be encoded."""

_GZIP = b"\x1f\x8b"
_MAX_PROBLEM, _MAX_PATH = 500, 200  # characters
_MAX_REREADS = 4
_VALUE_LINE = re.compile("[^\\s,\ufeff][^\n]*")  # from the start of a value to the end of its line
_TOO_DEEP = "\udfff nested too deep"  # a lone low surrogate, so it is not valid text
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)
_MARKS = re.compile(rb"\A(?:\xef\xbb\xbf)+")
# Maps digits to "0", "E" to "e" and the rest to blanks, to find ``_LARGE`` by a fast substring search.
_NUMBERS = bytes(0x30 if chr(c) in "0123456789" else 0x65 if chr(c) in "eE" else 0x20 for c in range(256))
_LARGE = (b"0" * 19, b"0e000")


class UnreadableDocument(ValueError):
    """The body is too large, or not text, or not JSON; the message is a clause with the subject "it"."""


class Document(NamedTuple):
    """A JSON value without its unusable parts; ``problems`` has one line for each: ``path.to.value: reason``."""

    value: JsonValue
    problems: tuple[str, ...] = ()


class ProblemLog:
    """Collects problems: lists the first few and counts the others."""

    def __init__(self, problems: Iterable[str] = ()) -> None:
        self._listed: list[str] = []
        self._more = 0
        for problem in problems:
            self.add(problem)

    def add(self, problem: str, path: tuple[object, ...] = ()) -> None:
        """Adds a problem; ``path`` leads to the value in a JSON document: its keys, which may be odd, and indexes."""
        if len(self._listed) == MAX_PROBLEMS:
            self._more += 1
            return
        if path:
            steps = ".".join(map(str, path)).encode("utf-8", "backslashreplace").decode()
            problem = f"{_shortened(steps, _MAX_PATH)}: {problem}"
        self._listed.append(_shortened(problem, _MAX_PROBLEM))

    def listed(self) -> tuple[str, ...]:
        """The first problems, and the number of the others."""
        return (*self._listed, f"and {self._more} more") if self._more else tuple(self._listed)


class _Unusable(NamedTuple):
    """Marks a value that JSON consumers cannot represent."""

    reason: str


_NOT_FINITE = _Unusable("it is not a finite number, as JSON requires")
_OUT_OF_RANGE = _Unusable("it is an integer of more than 64 bits")
_NOT_TEXT = _Unusable("it contains a lone surrogate or bytes that are not UTF-8; save it as UTF-8")
_NESTED = _Unusable(f"it is nested more than {MAX_DEPTH} levels deep")


_LENIENT = json.JSONDecoder(
    strict=False,
    parse_int=lambda digits: int(digits) if len(digits) <= len(str(MAX_INTEGER)) else _OUT_OF_RANGE,
    parse_constant=lambda _: _NOT_FINITE,
)


def read_json(body: bytes, *, most: int = MAX_BYTES) -> Document:
    """The JSON in a body, decoded by ``to_utf8``. Raises ``UnreadableDocument``.

    Drops strings and keys with lone surrogates or bytes that are not UTF-8, numbers that are not finite (``NaN``,
    ``-Infinity``, ``1e999``), integers beyond 64 bits, and values nested deeper than ``MAX_DEPTH``; each is a
    problem with its path (original keys and indexes, joined by dots). A dropped list element leaves no gap.
    Control characters in strings, such as line breaks, are kept although JSON requires escapes. The last of
    duplicate keys wins, as in most parsers (https://www.rfc-editor.org/rfc/rfc8259#section-4).
    """
    return _read(to_utf8(body, most=most))


def read_json_lines(body: bytes, *, most: int = MAX_BYTES) -> Iterator[tuple[int, Document | UnreadableDocument]]:
    """The JSON values of a body, each with the number of its first line; an error stands for an unreadable value.

    Reads each value like ``read_json``. A value may span lines (LF, CR or CRLF); blank lines are ignored, and blanks
    or a comma may separate values. Raises ``UnreadableDocument`` if the body is not text.
    """
    text = to_utf8(body, most=most)
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if line.strip():
            try:
                document = _read(_MARKS.sub(b"", line, count=1))
            except UnreadableDocument:
                yield from _read_multiline(lines, index)
                return
            yield index + 1, document


def to_utf8(body: bytes, *, most: int = MAX_BYTES) -> bytes:
    """The body decompressed, as UTF-8 without a byte order mark; does not check that it is valid UTF-8.

    S3 returns the stored bytes, so an object with ``Content-Encoding: gzip`` arrives compressed. UTF-16 and UTF-32
    are detected by their mark, or by the zero bytes of a leading ASCII character
    (https://docs.python.org/3/library/json.html#character-encodings).
    Raises ``UnreadableDocument`` for a corrupt body and for more than ``most`` bytes.
    """
    if body.startswith(_GZIP):
        body = _decompress(body, most)
    elif len(body) > most:
        raise UnreadableDocument(f"it has {len(body)} bytes; the limit is {most}")
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    if encoding == "utf-8-sig":
        return _MARKS.sub(b"", body, count=1)
    try:
        return body.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise UnreadableDocument(f"it is not valid {encoding.upper()}: {error.reason}") from error


def decode_text(body: bytes, *, most: int = MAX_BYTES) -> str:
    """The text of a body, decoded by ``to_utf8``. Raises ``UnreadableDocument``."""
    try:
        return to_utf8(body, most=most).decode()
    except UnicodeDecodeError as error:
        raise UnreadableDocument("it is not UTF-8; save it as UTF-8") from error


def _read(text: bytes) -> Document:
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return _clean_document(_parse(text))
    may_be_deep = text.count(b"[") + text.count(b"{") > MAX_DEPTH
    if _has_large_number(text) or (may_be_deep and not _is_flat(value)):
        return _clean_document(value)
    return Document(value)


def _read_multiline(lines: Sequence[bytes], index: int) -> Iterator[tuple[int, Document | UnreadableDocument]]:
    """The values from a line on that is not a complete value: each may span several lines."""
    characters = b"\n".join(lines[index:]).decode("utf-8", "surrogateescape")
    number, counted, at = index + 1, 0, 0
    # Bounds the characters parsed in vain for the end of a broken value; then each line is read by itself.
    budget = _MAX_REREADS * len(characters)
    while line := _VALUE_LINE.search(characters, at):
        start, at = line.span()
        number, counted = number + characters.count("\n", counted, start), start
        document: Document | UnreadableDocument | None = None
        if budget > 0:
            try:
                value, value_end = _LENIENT.raw_decode(characters, start)
            except json.JSONDecodeError as error:
                budget -= error.pos - start
            except RecursionError:
                budget -= len(characters) // 10
            else:
                if isinstance(value, dict | list):
                    document, at = _clean_document(value), value_end
        if document is None:
            try:
                document = _read(line[0].encode("utf-8", "surrogateescape"))
            except UnreadableDocument as error:
                document = error
        yield number, document


def _decompress(body: bytes, most: int) -> bytes:
    text = bytearray()
    while body.startswith(_GZIP):  # a gzip file may have several members
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            text += member.decompress(body, most + 1 - len(text))
        except zlib.error as error:
            raise UnreadableDocument(f"it is not valid gzip: {error}") from error
        if len(text) > most:
            raise UnreadableDocument(f"it decompresses to more than {most} bytes, the limit")
        if not member.eof:
            raise UnreadableDocument("its gzip data is truncated; upload it again")
        body = member.unused_data
    return bytes(text)


def _has_large_number(text: bytes) -> bool:
    """Whether the text may have an integer out of range or a float that overflows."""
    numbers = text.translate(_NUMBERS, delete=b"+")
    return any(large in numbers for large in _LARGE)


def _is_flat(value: Any) -> bool:  # noqa: ANN401  # JSON
    """Whether a parsed value is within ``MAX_DEPTH``. Level by level, so large documents are cheap."""
    level = [value]
    for _ in range(MAX_DEPTH):
        objects = (outer.values() for outer in level if isinstance(outer, dict))
        lists = (outer for outer in level if isinstance(outer, list))
        level = [inner for items in chain(objects, lists) for inner in items if isinstance(inner, dict | list)]
        if not level:
            return True
    return False


def _parse(text: bytes) -> Any:  # noqa: ANN401  # JSON with ``_Unusable`` marks
    # Bytes that are not UTF-8 become lone surrogates.
    characters = text.decode("utf-8", "surrogateescape")
    try:
        try:
            return _LENIENT.decode(characters)
        except RecursionError:
            return _LENIENT.decode(_prune(characters))
    except ValueError as error:
        raise UnreadableDocument(f"it is not JSON: {error}") from error


def _prune(characters: str) -> str:
    """The text with too deeply nested values replaced, so that a recursive parser can read it."""
    pieces, depth, done = list[str](), 0, 0
    for token in _TOKENS.finditer(characters):
        sign = token[0]
        if sign in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                pieces += (characters[done : token.start()], json.dumps(_TOO_DEEP))
        elif sign in "]}":
            if depth == MAX_DEPTH + 1:
                done = token.end()
            depth -= 1
    if depth > MAX_DEPTH:
        raise UnreadableDocument(f"it is not JSON: it ends inside {depth} open lists and objects")
    return "".join((*pieces, characters[done:]))


def _clean_document(value: Any) -> Document:  # noqa: ANN401  # what ``_parse`` returns
    problems = ProblemLog()
    cleaned = _clean(value, (), problems)
    if isinstance(cleaned, _Unusable):
        raise UnreadableDocument(cleaned.reason)
    return Document(cleaned, problems.listed())


def _clean(value: Any, path: tuple[object, ...], problems: ProblemLog) -> Any:  # noqa: ANN401
    """The value without its unusable parts, or the mark of a value that is unusable itself."""
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
    usable = list[tuple[Any, Any]]()
    for name, inner in items:
        within = (*path, name)
        cleaned = _NOT_TEXT if isinstance(name, str) and SURROGATE.search(name) else _clean(inner, within, problems)
        if isinstance(cleaned, _Unusable):
            problems.add(cleaned.reason, within)
        else:
            usable.append((name, cleaned))
    return dict(usable) if isinstance(value, dict) else [cleaned for _, cleaned in usable]


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
