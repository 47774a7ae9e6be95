"""The answers of the HTTP routes, as the OpenAPI document tells of them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import Field
from pydantic_core import from_json, to_json

from s3_manifest.http.addressing import ID
from s3_manifest.manifest.model import Frozen

Responses = dict[int, OpenAPIResponse]

_GATEWAYS: dict[str, Any] = {
    "application/json": {"schema": {"type": "object", "properties": {"message": {"type": "string"}}}}
}

_PROBLEM: dict[str, Any] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}

_MEANINGS = {
    200: "What was asked for, or what was done",
    202: "It is under way; ask again at the manifest",
    304: "It is still what the caller has (If-None-Match)",
    400: "A parameter, or the body, is wrong; nothing was changed",
    404: "It is not there; nothing was changed",
    409: "The request does not go with what is there: the detail says why, and the mend; nothing was changed",
    410: "It is not kept any more",
    412: "The object is none of those in If-Match; nothing was changed",
    413: "It does not fit into one answer, request or sidecar: the detail says what does",
    503: "S3 or the queue does not do it at the moment, or others kept changing the same; repeat the request",
}

_NUMBER, _TEXT, _FLAG, _OBJECTS = (
    {"type": "integer"},
    {"type": "string"},
    {"type": "boolean"},
    {"type": "array", "items": {"type": "object"}},
)


_ID_IN_PATH = re.compile(r"{(collection_id|style_id|actor_id)}")
_ID_IN_QUERY = {
    "name": ID,
    "in": "query",
    "required": False,
    "description": "What the path has '-' for: any id, as one query parameter, percent-encoded",
    "schema": {"type": "string", "minLength": 1},
}


def _object(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": dict(properties)}


MANIFEST = _object(
    {
        "schema": _NUMBER,
        "kind": _TEXT,
        "s3_bucket": _TEXT,
        "s3_prefix": _TEXT,
        "created_at": _TEXT,
        "last_synced": _TEXT,
        "last_verified_at": {"type": ["string", "null"]},
        "complete": _FLAG,
        "revision": _NUMBER,
        "commit": _TEXT,
        "last_change": _TEXT,
        "total_files": _NUMBER,
        "total_size_bytes": _NUMBER,
        "generations": _OBJECTS,
        "sidecars": _OBJECTS,
        "files": _OBJECTS,
        "cursor": {"type": ["string", "null"]},
        "left_out": {"type": "array", "items": _TEXT},
    },
    "files",
    "cursor",
    "left_out",
)
CATALOG = _object({"collections": _OBJECTS, "cursor": {"type": ["string", "null"]}})
CHANGES = _object({"kind": _TEXT, "since": _NUMBER, "next": _NUMBER, "more": _FLAG, "revision": _NUMBER})
QUEUED = _object(
    {"status": _TEXT, "collections": {"type": ["integer", "string"]}, "manifest": _TEXT, "requested_at": _TEXT}
)
UNDER_WAY = _object({"status": _TEXT, "manifest": _TEXT, "requested_at": _TEXT})
NOT_FOUND = _object({"error": _TEXT, "message": _TEXT}, "error")
DOCUMENT = _object({"openapi": _TEXT, "paths": {"type": "object"}})


class ProblemDetails(Frozen):
    """RFC 9457. ``parameter`` is left out where it is about no part of the request, ``oldest`` but with 410."""

    title: str
    status: int
    detail: str = Field(description="What is wrong, and what to do about it")
    parameter: str = Field(default="", description="Which part of the request it is about")
    oldest: int = Field(
        default=0,
        description="With 410: the first revision after what is not kept whose change may be told; to follow the"
        " manifest, go on with since= one less",
    )


def answers(good: Mapping[int, Any], *problems: int) -> Responses:
    """What a route may answer: by status those of JSON, each with its schema or model, and its problems.

    A 304 has no body, whatever the router says of it: ``tidied`` takes that out.
    """
    return {status: _answer(status, "application/json", shape) for status, shape in good.items()} | {
        status: _answer(status, "application/problem+json", ProblemDetails) for status in problems
    }


def joined(documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One OpenAPI document of all their routes. Schemas that have a name in common, and nothing else, get another."""
    whole, *others = documents
    schemas = whole["components"]["schemas"]
    for number, other in enumerate(others, 2):
        names = [name for name, schema in other["components"]["schemas"].items() if schemas.get(name, schema) != schema]
        renamed = to_json(other)
        for name in names:
            renamed = renamed.replace(_ref(name), _ref(f"{name}{number}"))
        more = from_json(renamed)
        for path, methods in more["paths"].items():
            whole["paths"].setdefault(path, {}).update(methods)
        for name, schema in more["components"]["schemas"].items():
            schemas[f"{name}{number}" if name in names else name] = schema
    return whole


def _ref(name: str) -> bytes:
    return b'"#/components/schemas/%s"' % name.encode()


def tidied(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document without what the router says and the routes do not do, and with what the HTTP API does.

    The router promises 422 where ours answer 400, bodies to answers that have none, and parameters that
    may be null: a parameter is left out instead. The HTTP API refuses requests, and paths that it does
    not take, before any function is called.
    """
    for path, operation in ((path, one) for path, methods in document["paths"].items() for one in methods.values()):
        if _ID_IN_PATH.search(path):
            operation.setdefault("parameters", []).append(dict(_ID_IN_QUERY))
        operation["responses"].pop("422", None)
        operation["responses"].get("304", {}).pop("content", None)
        operation["responses"] |= {
            "401": {"description": "It has no valid token", "content": _GATEWAYS},
            "403": {"description": "It is not signed, or its token lacks the scope", "content": _GATEWAYS | _PROBLEM},
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


def _answer(status: int, content_type: str, shape: Any) -> OpenAPIResponse:  # noqa: ANN401  # a schema, or a model
    described: dict[str, Any] = {"schema": shape} if isinstance(shape, dict) else {"model": shape}
    return {"description": _MEANINGS[status], "content": {content_type: described}}  # type: ignore[dict-item]
