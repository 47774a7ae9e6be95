"""The OpenAPI document: the schemas of responses, and one document of several apps."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import Field
from pydantic_core import from_json, to_json

from s3_manifest import __version__
from s3_manifest.http.addressing import ID
from s3_manifest.manifest.model import Frozen

Responses = dict[int, OpenAPIResponse]

_GATEWAYS: dict[str, Any] = {
    "application/json": {"schema": {"type": "object", "properties": {"message": {"type": "string"}}}}
}

_PROBLEM: dict[str, Any] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}

_DESCRIPTIONS = {
    200: "The result",
    202: "In progress; poll the manifest",
    304: "Not modified (If-None-Match)",
    400: "A parameter or the body is invalid; nothing was changed",
    404: "Not found; nothing was changed",
    409: "Conflict with the present state: the detail has the cause and the remedy; nothing was changed",
    410: "No longer kept",
    412: "The object has none of the ETags in If-Match; nothing was changed",
    413: "Too large for one answer, request or sidecar: the detail states which",
    503: "S3 or the queue is unavailable, or concurrent edits conflict; repeat the request",
}

_NUMBER, _TEXT, _OPTIONAL_TEXT = {"type": "integer"}, {"type": "string"}, {"type": ["string", "null"]}
_FLAG, _OBJECTS = {"type": "boolean"}, {"type": "array", "items": {"type": "object"}}

_ID_IN_PATH = re.compile(r"{(collection_id|style_id|actor_id)}")
_ID_IN_QUERY = {
    "name": ID,
    "in": "query",
    "required": False,
    "description": "The id, percent-encoded, where the path has '-' in its place",
    "schema": {"type": "string", "minLength": 1},
}


def _object(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": dict(properties)}


MANIFEST = _object(
    {
        **dict.fromkeys(("schema", "revision", "total_files", "total_size_bytes"), _NUMBER),
        **dict.fromkeys(("kind", "s3_bucket", "s3_prefix", "commit", "last_change"), _TEXT),
        **dict.fromkeys(("created_at", "last_synced"), _TEXT),
        **dict.fromkeys(("generations", "sidecars", "files"), _OBJECTS),
        **dict.fromkeys(("last_verified_at", "cursor"), _OPTIONAL_TEXT),
        "complete": _FLAG,
        "left_out": {"type": "array", "items": _TEXT},
    },
    "files",
    "cursor",
    "left_out",
)
CATALOG = _object({**dict.fromkeys(("collections", "problems"), _OBJECTS), "cursor": _OPTIONAL_TEXT})
CHANGES = _object({"kind": _TEXT, "since": _NUMBER, "next": _NUMBER, "more": _FLAG, "revision": _NUMBER})
QUEUED = _object(
    {"status": _TEXT, "collections": {"type": ["integer", "string"]}, "manifest": _TEXT, "requested_at": _TEXT}
)
IN_PROGRESS = _object(dict.fromkeys(("status", "manifest", "requested_at", "s3_bucket", "s3_prefix"), _TEXT))
NOT_FOUND = _object({"error": _TEXT, "message": _TEXT}, "error")
DOCUMENT = _object({"openapi": _TEXT, "paths": {"type": "object"}})


class ProblemDetails(Frozen):
    """RFC 9457. ``parameter`` is present if a part of the request is invalid, ``oldest`` with 410.

    A 404 for an actor names the bucket and the prefix that it would have.
    """

    title: str
    status: int
    detail: str = Field(description="The cause and the remedy")
    parameter: str = Field(default="", description="The part of the request that is invalid")
    oldest: int = Field(
        default=0,
        description="With 410: the first later revision whose changes are kept. To follow the manifest, continue with"
        " since= one less",
    )
    s3_bucket: str = Field(default="", description="With 404 for an actor: the bucket that it would be in")
    s3_prefix: str = Field(default="", description="With 404 for an actor: the prefix that it would have")


def responses(schemas: Mapping[int, Any], *problems: int) -> Responses:
    """The responses of a route: by status, those with JSON and its schema or model, and the problems.

    The router gives a 304 a body; ``document`` removes it.
    """
    return {status: _response(status, "application/json", schema) for status, schema in schemas.items()} | {
        status: _response(status, "application/problem+json", ProblemDetails) for status in problems
    }


def document(*apps: APIGatewayHttpResolver) -> str:
    """The routes of all apps as one OpenAPI document, JSON."""
    documents = (from_json(app.get_openapi_json_schema(title="S3 Manifest", version=__version__)) for app in apps)
    return to_json(corrected(merged(documents))).decode()


def merged(documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One OpenAPI document of all their routes. Different schemas of the same name are renamed."""
    result, *others = documents
    schemas = result["components"]["schemas"]
    for number, other in enumerate(others, 2):
        names = [name for name, schema in other["components"]["schemas"].items() if schemas.get(name, schema) != schema]
        text = to_json(other)
        for name in names:
            text = text.replace(_ref(name), _ref(f"{name}{number}"))
        renamed = from_json(text)
        for path, methods in renamed["paths"].items():
            result["paths"].setdefault(path, {}).update(methods)
        for name, schema in renamed["components"]["schemas"].items():
            schemas[f"{name}{number}" if name in names else name] = schema
    return result


def corrected(document: dict[str, Any]) -> dict[str, Any]:
    """The document as the API behaves, where the router claims otherwise.

    The router claims 422, which is 400 here, bodies in responses without one, and parameters that may be null. The
    HTTP API adds 401, 403, 404 and 429, which it answers before any function is called.
    """
    operations = ((path, operation) for path, methods in document["paths"].items() for operation in methods.values())
    for path, operation in operations:
        if _ID_IN_PATH.search(path):
            operation.setdefault("parameters", []).append(dict(_ID_IN_QUERY))
        operation["responses"].pop("422", None)
        operation["responses"].get("304", {}).pop("content", None)
        operation["responses"] |= {
            "401": {"description": "The request has no valid token", "content": _GATEWAYS},
            "403": {"description": "Not signed, or the token lacks the scope", "content": _GATEWAYS | _PROBLEM},
            "429": {"description": "Too many requests; repeat it later", "content": _GATEWAYS},
        }
        if "404" in operation["responses"]:
            operation["responses"]["404"]["content"] = _GATEWAYS | operation["responses"]["404"]["content"]
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            if choices := schema.pop("anyOf", None):
                (given,) = (choice for choice in choices if choice != {"type": "null"})
                parameter["schema"] = schema | given
    return document


def _ref(name: str) -> bytes:
    return b'"#/components/schemas/%s"' % name.encode()


def _response(status: int, content_type: str, schema: Any) -> OpenAPIResponse:  # noqa: ANN401  # a schema, or a model
    content: dict[str, Any] = {"schema": schema} if isinstance(schema, dict) else {"model": schema}
    return {"description": _DESCRIPTIONS[status], "content": {content_type: content}}  # type: ignore[dict-item]
