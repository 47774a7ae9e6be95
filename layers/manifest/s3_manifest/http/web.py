"""What the HTTP functions share: a router whose every error is a problem document, paths, and ETags."""

import base64
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic_core import from_json, to_json

from s3_manifest import __version__
from s3_manifest.http import addressing, scopes
from s3_manifest.http.addressing import BadAddress
from s3_manifest.http.api_docs import joined, tidied
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.encoding import json_bytes
from s3_manifest.manifest.lenient_json import read_json
from s3_manifest.query.truncation import MAX_RESPONSE_BYTES, escaped_size

Answer = Response[Any]

_OR_QUERY = "; or '-', and the query parameter 'id' has it"

Kind = Annotated[str, Path()]
CollectionId = Annotated[str, Path(description=f"The id, percent-encoded{_OR_QUERY}")]
ActorId = Annotated[
    str, Path(description=f"The full name, as in 0042_european_30_male, the padded number, or the number{_OR_QUERY}")
]

# Keeps what is no UTF-8 for whoever reads the JSON to refuse.
_BYTES = "surrogateescape"

_MAX_DETAIL = 4000
# Beside it are the headers.
_MAX_BODY_BYTES = MAX_RESPONSE_BYTES - 20_000


class BadParameter(ValueError):
    """A parameter that is wrong in itself, or beside another: ``name`` says which, the text how."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class BodyIsNotJson(ValueError):
    """A request's body is not JSON, or holds what few readers of JSON take; the text says where."""


def api() -> APIGatewayHttpResolver:
    """A router that checks parameters and bodies by their annotations: 400 names the first one that is wrong."""
    app = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=_decoded)
    app.exception_handler(RequestValidationError)(_bad_parameter)
    app.exception_handler(BodyIsNotJson)(_bad_body)
    app.exception_handler(BadParameter)(lambda error: problem(400, str(error), parameter=error.name))
    app.exception_handler(scopes.MissingScope)(_missing_scope)
    app.not_found(_no_such_route)
    return app


def resolve(app: APIGatewayHttpResolver, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers an HTTP API request (payload 2.0), if its token has the scope that the method requires.

    Query parameters are those of the raw query string: gateways decode ``queryStringParameters``, and join
    those that are given twice. What names a file in a path is one parameter, its slashes included.

    A body is JSON whatever its ``Content-Type`` says: curl, told nothing, calls it a form, which the
    HTTP API hands on in base64.
    """
    try:
        scopes.require_for_method(event)
    except scopes.MissingScope as error:
        return _unrouted(_missing_scope(error))
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode(errors=_BYTES)
    try:
        query = addressing.query_of(event.get("rawQueryString") or "")
        path = addressing.route_of(event["rawPath"], query)
    except BadAddress as error:
        return _unrouted(problem(400, str(error), parameter=error.parameter))
    taken = {
        "rawPath": path,
        "queryStringParameters": query,
        "headers": event["headers"] | {"content-type": "application/json"},
        "body": body,
        "isBase64Encoded": False,
    }
    answered = app.resolve(event | taken, context)
    # Each route keeps its answers below this; Lambda would make a 502 of one that does not.
    if escaped_size(str(answered.get("body") or "").encode()) > _MAX_BODY_BYTES:
        return _unrouted(problem(413, "the answer is too large for Lambda; ask for less of it, as by a smaller limit"))
    return answered


def _unrouted(answer: Answer) -> dict[str, Any]:
    """An answer of no route, as Lambda returns it."""
    return {
        "statusCode": answer.status_code,
        "headers": dict(answer.headers),
        "body": answer.body,
        "isBase64Encoded": False,
        "cookies": [],
    }


def openapi(*apps: APIGatewayHttpResolver) -> str:
    """The routes of all of them as one OpenAPI document, JSON."""
    described = (from_json(app.get_openapi_json_schema(title="S3 Manifest", version=__version__)) for app in apps)
    return to_json(tidied(joined(described))).decode()


def path_of(collection: Collection, query: Mapping[str, object] | None = None) -> str:
    """Where its manifest is read, with these parameters."""
    return addressing.url(*addressing.address(f"/api/manifests/{collection.kind}/{{}}", collection.id, query))


def tags_of(header: str | None) -> list[str]:
    """The ETags in ``If-Match`` or ``If-None-Match``, without their quotes; among them ``*`` if it is there."""
    return [tag.strip().removeprefix("W/").strip('"') for tag in (header or "").split(",") if tag.strip()]


def json_answer(status: int, body: dict[str, Any]) -> Answer:
    """An answer of JSON."""
    return Response(status, "application/json", json_bytes(body).decode())


def json_text(body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """200, with what is JSON already."""
    return Response(200, "application/json", body.decode(), headers=dict(headers or {}))


def problem(status: int, detail: str, **more: str | int) -> Answer:
    """RFC 9457's application/problem+json; ``more`` are its extension members. What is quoted in it may be cut."""
    told = {name: _short(value) if isinstance(value, str) else value for name, value in more.items()}
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": _short(detail), **told}
    return Response(status, "application/problem+json", json_bytes(body).decode())


def _short(text: str) -> str:
    return text if len(text) <= _MAX_DETAIL else f"{text[:_MAX_DETAIL]}…"


def _decoded(body: str) -> Any:  # noqa: ANN401  # any JSON
    # The standard library's reader gives up on deep nesting with an error of its own.
    written = body.encode(errors=_BYTES)
    try:
        value = from_json(written, allow_inf_nan=False)
        # 1e999 is JSON too, and no number that can be written again.
        problems = read_json(written).problems
    except ValueError as error:
        raise BodyIsNotJson(f"the body is not JSON: {error}") from error
    if problems:
        raise BodyIsNotJson(f"the body: {problems[0]}")
    return value


def _bad_parameter(error: RequestValidationError) -> Answer:
    first = error.errors()[0]
    # After where it is: query, path, body.
    name = ".".join(map(str, first["loc"][1:])) or "body"
    return problem(400, f"{name}: {first['msg']}", parameter=name)


def _bad_body(error: BodyIsNotJson) -> Answer:
    return problem(400, str(error), parameter="body")


def _missing_scope(error: scopes.MissingScope) -> Answer:
    """403, as https://www.rfc-editor.org/rfc/rfc6750#section-3.1 has it."""
    answer = problem(403, str(error))
    answer.headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
    return answer


def _no_such_route(_error: NotFoundError) -> Answer:
    return problem(404, "there is no such route; /api/openapi.json lists them")
