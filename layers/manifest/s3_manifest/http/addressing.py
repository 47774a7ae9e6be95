"""How a request names a collection and a file, so that it acts on that object and on no other.

The raw query string names anything: ``?id=`` stands for the id where the path has ``-`` instead, and
``?filename=`` for the filename. It arrives as it was sent, and is decoded here, once.

A path is a convenience for names that every gateway passes on alike. An HTTP API decodes ``rawPath``, and cuts
it off at a decoded ``?``; other gateways keep ``%25``, or every escape
(https://github.com/middleapi/standard-server/pull/93, https://github.com/honojs/hono/issues/2156). So a path that
can be read in two ways is refused, whether or not such objects exist: the sender may have named one that is gone.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

PLACEHOLDER = "-"
"""In the place of an id in a path: the query parameter ``id`` has it."""

ID, FILENAME = "id", "filename"

_MAX_PARAMETERS = 100
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
# What follows is an id and, in the last four, what follows that is a filename with its slashes.
_COLLECTION = re.compile(
    r"(?P<before>/api/(?:manifests/[^/]+|styles|actors|training-data)/)(?P<id>[^/]*)(?P<rest>/.*)?", re.DOTALL
)
_FILE = re.compile(
    r"/api/(?:training-data/[^/]+/images|actors/[^/]+/training-data|styles/[^/]+/images|manifests/[^/]+/[^/]+/files)/"
)


class BadAddress(ValueError):
    """The query string is malformed, or the path can be read in two ways; ``parameter`` is the part at fault."""

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter


def address(template: str, id_: str, query: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """The path and the query that name a collection: ``template`` has ``{}`` in the place of its id."""
    given = dict(query or {})
    if _PLAIN.fullmatch(id_) and id_ not in {".", "..", PLACEHOLDER}:
        return template.format(id_), given
    return template.format(PLACEHOLDER), {ID: id_, **given}


def url(path: str, query: Mapping[str, object]) -> str:
    """A path with its query, in which a space is ``%20`` and a plus ``%2B``: no reader takes one for the other."""
    return f"{path}?{urlencode(query, safe='', quote_via=quote)}" if query else path


def id_in(manifest: str) -> str:
    """The id of the collection whose manifest is at that path and query."""
    path, _, raw = manifest.partition("?")
    last = path.rpartition("/")[2]
    return query_of(raw).get(ID, last) if last == PLACEHOLDER else unquote(last)


def query_of(raw: str) -> dict[str, str]:
    """The parameters of a raw query string. Raises ``BadAddress``: no UTF-8, or a parameter that is given twice.

    As the URL standard has it (https://url.spec.whatwg.org/#urlencoded-parsing): ``+`` is a space, and a ``%``
    that begins no escape is itself.
    """
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise BadAddress("query", "its percent-encoding is not UTF-8") from error
    except ValueError as error:
        raise BadAddress("query", f"it has more than {_MAX_PARAMETERS} parameters") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise BadAddress(name, "it is given more than once; give it once")
        found[name] = value
    return found


def route_of(raw_path: str, query: Mapping[str, str]) -> str:
    """The path to find a route by: the names in it percent-encoded, an id from the query in its place.

    Raises ``BadAddress`` where the path can be read in two ways, or path and query both give a name.
    """
    found = _COLLECTION.fullmatch(raw_path)
    if not found:
        return quote(raw_path, errors="replace")
    if problem := _ambiguity(raw_path):
        raise BadAddress("path", f"{problem}; {_advice(found)}")
    end = _end_of_names(raw_path)
    if end < len(raw_path) and FILENAME in query:
        raise BadAddress(FILENAME, "the path has a filename too; leave one of them out")
    path = quote(raw_path[:end]) + quote(raw_path[end:], safe="")
    if ID not in query:
        return path
    if found["id"] != PLACEHOLDER:
        raise BadAddress(ID, f"the path has an id too; write {PLACEHOLDER!r} in its place")
    if not query[ID]:
        raise BadAddress(ID, "it is empty")
    before = len(quote(found["before"]))
    return f"{path[:before]}{quote(query[ID], safe='')}{path[before + len(PLACEHOLDER) :]}"


def _end_of_names(path: str) -> int:
    """Where the filename begins; the whole length where there is none."""
    found = _FILE.match(path)
    return found.end() if found else len(path)


def _ambiguity(path: str) -> str | None:
    if unquote(path) != path:
        return "some gateways decode '%' escapes in a path and some do not, so this one can mean two names"
    if "\ufffd" in path or any(0xD800 <= ord(sign) <= 0xDFFF for sign in path):
        return "it has bytes that are not UTF-8"
    if any(part in {".", ".."} for part in path.split("/")):
        return "clients and gateways remove '.' and '..' from a path"
    return None


def _advice(found: re.Match[str]) -> str:
    """The form of the same request that can be read in one way only."""
    path = found["before"] + PLACEHOLDER
    rest = found["rest"] or ""
    if end := _FILE.match(f"{found['before']}x{rest}"):
        return f"name it in the query: {path}{rest[: end.end() - len(found['before']) - 2]}?id=…&filename=…"
    return f"name it in the query: {path}{rest}?id=…"
