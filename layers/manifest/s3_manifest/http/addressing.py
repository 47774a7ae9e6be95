"""How a request names a collection and a file unambiguously.

The raw query string can name anything: ``?id=`` is the id where the path has ``-`` in its place, and ``?filename=`` the
filename. It arrives as it was sent, and is decoded once, here.

A path is a convenience for names that every gateway passes on unchanged. An HTTP API decodes ``rawPath`` and truncates
it at a decoded ``?``; other gateways keep ``%25``, or every escape
(https://github.com/middleapi/standard-server/pull/93, https://github.com/honojs/hono/issues/2156). So an ambiguous path
is refused, whether or not such objects exist: the sender may have named one that is deleted.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from s3_manifest.query.cursors import BadParameter

PLACEHOLDER = "-"
"""In place of an id in a path: the query parameter ``id`` has the id."""

ID, FILENAME = "id", "filename"

NO_MANIFEST = "there is no manifest of "
"""How the detail of a 404 for a missing manifest begins. The client recognizes such a 404 by it."""

_MAX_PARAMETERS = 100
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
_COLLECTION = re.compile(
    r"(?P<before>/api/(?:manifests/[^/]+|styles|actors|training-data)/)(?P<id>[^/]*)(?P<rest>/.*)?", re.DOTALL
)
_FILE = re.compile(
    r"/api/(?:training-data/[^/]+/images|actors/[^/]+/training-data|styles/[^/]+/images|manifests/[^/]+/[^/]+/files)/"
)


def address(template: str, id_: str, query: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """The path and the query that name a collection; ``template`` has ``{}`` in place of the id."""
    if _PLAIN.fullmatch(id_) and id_ not in {".", "..", PLACEHOLDER}:
        return template.format(id_), dict(query or {})
    return template.format(PLACEHOLDER), {ID: id_, **(query or {})}


def url(path: str, query: Mapping[str, object]) -> str:
    """A path with its query, in which a space is ``%20`` and a plus is ``%2B``, so that neither is ambiguous."""
    return f"{path}?{urlencode(query, safe='', quote_via=quote)}" if query else path


def id_in(manifest: str) -> str:
    """The id of the collection whose manifest has this path and query."""
    path, _, raw = manifest.partition("?")
    last = path.rpartition("/")[2]
    return query_of(raw).get(ID, last) if last == PLACEHOLDER else unquote(last)


def query_of(raw: str) -> dict[str, str]:
    """The parameters of a raw query string. Raises ``BadParameter``: it is not UTF-8, or repeats a parameter.

    As in the URL standard (https://url.spec.whatwg.org/#urlencoded-parsing), ``+`` is a space, and a ``%`` that begins
    no escape is a ``%``.
    """
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise BadParameter("query", "query: its percent-encoding is not UTF-8") from error
    except ValueError as error:
        raise BadParameter("query", f"query: it has more than {_MAX_PARAMETERS} parameters") from error
    query: dict[str, str] = {}
    for name, value in pairs:
        if name in query:
            raise BadParameter(name, f"{name}: it is repeated; pass it once")
        query[name] = value
    return query


def route_of(raw_path: str, query: Mapping[str, str]) -> str:
    """The path to match with routes: its names percent-encoded, and an id from the query in its place.

    Raises ``BadParameter`` where the path is ambiguous, or path and query both give a name.
    """
    match = _COLLECTION.fullmatch(raw_path)
    if not match:
        return quote(raw_path, errors="replace")
    if reason := _ambiguity(raw_path):
        raise BadParameter("path", f"path: {reason}. {_advice(match)}")
    file = _FILE.match(raw_path)
    if file and file.end() < len(raw_path) and FILENAME in query:
        raise BadParameter(FILENAME, f"{FILENAME}: the path has a filename too; omit one of them")
    end = file.end() if file else len(raw_path)
    path = quote(raw_path[:end]) + quote(raw_path[end:], safe="")
    if ID not in query:
        return path
    if match["id"] != PLACEHOLDER:
        raise BadParameter(ID, f"{ID}: the path has an id too; put {PLACEHOLDER!r} in its place")
    if not query[ID]:
        raise BadParameter(ID, f"{ID}: it is empty")
    start = len(quote(match["before"]))
    return f"{path[:start]}{quote(query[ID], safe='')}{path[start + len(PLACEHOLDER) :]}"


def _ambiguity(path: str) -> str | None:
    if unquote(path) != path:
        return "some gateways decode '%' escapes in a path and some do not, so this path is ambiguous"
    if "\ufffd" in path or any(0xD800 <= ord(character) <= 0xDFFF for character in path):
        return "it has bytes that are not UTF-8"
    if any(part in {".", ".."} for part in path.split("/")):
        return "clients and gateways remove '.' and '..' from a path"
    return None


def _advice(match: re.Match[str]) -> str:
    """The unambiguous form of the same request."""
    path, rest = match["before"] + PLACEHOLDER, match["rest"] or ""
    if file := _FILE.match(f"{match['before']}x{rest}"):
        return f"Use the query: {path}{rest[: file.end() - len(match['before']) - 2]}?id=…&filename=…"
    return f"Use the query: {path}{rest}?id=…"
