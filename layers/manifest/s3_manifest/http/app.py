"""What all HTTP routes share: the app, requests with their scopes, JSON responses and RFC 9457 problems."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic_core import from_json

from s3_manifest.aws import runtime
from s3_manifest.aws.settings import settings
from s3_manifest.aws.threads import parallel_map
from s3_manifest.http import addressing
from s3_manifest.manifest.collections import Collection, IdTooLong
from s3_manifest.manifest.encoding import json_bytes
from s3_manifest.manifest.jobs import Job
from s3_manifest.manifest.lenient_json import read_json
from s3_manifest.manifest.model import timestamp
from s3_manifest.query import actors
from s3_manifest.query.answers import MAX_RESPONSE_BYTES, escaped_size
from s3_manifest.query.cursors import BadParameter

HttpResponse = Response[Any]
Right = Literal["read", "edit", "delete"]

_OR_QUERY = "; or '-', with the id in the query parameter 'id'"

Kind = Annotated[str, Path(description="The kind of collection")]
CollectionId = Annotated[str, Path(description=f"The id, percent-encoded{_OR_QUERY}")]
ActorId = Annotated[
    str, Path(description=f"The full name (0042_european_30_male), or the number with or without zeros{_OR_QUERY}")
]

_RIGHTS: tuple[Right, ...] = ("read", "edit", "delete")
_RIGHT_BY_METHOD: Mapping[str, Right] = {"GET": "read", "HEAD": "read", "POST": "edit", "PATCH": "edit"}
# Preserves bytes that are not UTF-8 until the JSON reader refuses them.
_BYTES = "surrogateescape"
_MAX_DETAIL = 4000
# The rest is for headers.
_MAX_BODY_BYTES = MAX_RESPONSE_BYTES - 20_000


class NoSuchCollection(Exception):
    """The collection cannot exist, or is empty."""


class MissingScope(Exception):
    """The token lacks ``scope``."""

    def __init__(self, scope: str, right: Right) -> None:
        super().__init__(f"the token lacks the scope {scope}, required to {right}. Request a token with that scope")
        self.scope = scope


def new_app() -> APIGatewayHttpResolver:
    """An app that validates parameters and bodies by their annotations: 400 names the first invalid one."""
    app = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=_decode)
    app.exception_handler(RequestValidationError)(_validation_problem)
    app.exception_handler(BadParameter)(_bad_parameter)
    app.exception_handler(MissingScope)(_scope_problem)
    answer_errors(app, 404, IdTooLong, NoSuchCollection)
    app.not_found(lambda _error: problem(404, "no such route; /api/openapi.json lists the routes"))
    return app


def answer_errors(app: APIGatewayHttpResolver, status: int, *errors: type[Exception], **members: str) -> None:
    """Answers these errors with a status, their text, and these members of the problem."""
    app.exception_handler(list(errors))(lambda error: problem(status, str(error), {}, **members))


def answer_unavailable(
    app: APIGatewayHttpResolver,
    logger: Logger,
    errors: list[type[Exception]],
    detail: str,
    headers: Mapping[str, str] = {},
) -> None:
    """Answers these errors with 503 and this detail; the log has the cause."""

    def answer(error: Exception) -> HttpResponse:
        logger.error("unavailable", reason=str(error))
        return problem(503, detail, headers)

    app.exception_handler(errors)(answer)


def resolve(app: APIGatewayHttpResolver, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers an HTTP API request (payload 2.0), if its token has the scope that the method requires.

    Query parameters are read from the raw query string, because gateways decode and join ``queryStringParameters``.
    A filename in a path is one parameter, including its slashes. A body is read as JSON whatever its ``Content-Type``:
    curl sends a form type by default, which the HTTP API passes on in base64.
    """
    try:
        require_scope(event, _RIGHT_BY_METHOD.get(event["requestContext"]["http"]["method"], "delete"))
        query = addressing.query_of(event.get("rawQueryString") or "")
        path = addressing.route_of(event["rawPath"], query)
    except MissingScope as error:
        return _lambda_response(_scope_problem(error))
    except BadParameter as error:
        return _lambda_response(_bad_parameter(error))
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode(errors=_BYTES)
    decoded = {
        "rawPath": path,
        "queryStringParameters": query,
        "headers": event["headers"] | {"content-type": "application/json"},
        "body": body,
        "isBase64Encoded": False,
    }
    response = app.resolve(event | decoded, context)
    # Routes keep below the limit; if one does not, Lambda would answer 502.
    if escaped_size(str(response.get("body") or "").encode()) > _MAX_BODY_BYTES:
        return _lambda_response(problem(413, "the answer is too large for Lambda. Ask for less, as with a lower limit"))
    return response


def require_scope(event: Mapping[str, Any], right: Right) -> None:
    """Raises ``MissingScope`` unless the token of an HTTP API request has the scope for this right.

    An HTTP API compares scopes by route, so by method, and cannot see that a POST replaces objects. Therefore every
    request is checked again here, and some by what they do.
    """
    if (scope := required_scope(right)) and scope not in set(_scopes(event)):
        raise MissingScope(scope, right)


def required_scope(right: Right) -> str:
    """The scope for this right; empty where every valid token, or IAM, suffices.

    A right without a scope of its own requires that of the next weaker right: who may not read may not delete.
    """
    config = settings()
    scopes = {"read": config.jwt_read_scope, "edit": config.jwt_edit_scope, "delete": config.jwt_delete_scope}
    weaker = _RIGHTS[: _RIGHTS.index(right) + 1]
    return next((scopes[name] for name in reversed(weaker) if scopes[name]), "")


def collection_in_path(kind: str, collection_id: str) -> Collection:
    """The collection that the segments of a path name. Raises ``IdTooLong``, ``NoSuchCollection``."""
    kind, collection_id = unquote(kind), unquote(collection_id)
    runtime.collections().check_id(kind, collection_id)
    if collection := runtime.collections().lookup(kind, collection_id):
        return collection
    raise NoSuchCollection(f"{kind} {collection_id} cannot be a collection")


def actor_in_path(actor_id: str) -> Collection:
    """The actor that a segment of a path names, by its name or number. Raises as ``actors.resolve``."""
    return actors.resolve(runtime.stores(), runtime.collections(), parallel_map, unquote(actor_id))


def path_of(collection: Collection, query: Mapping[str, object] | None = None) -> str:
    """The path of its manifest, with these query parameters."""
    return addressing.url(*addressing.address(f"/api/manifests/{collection.kind}/{{}}", collection.id, query))


def etags_in(header: str | None) -> list[str]:
    """The ETags in ``If-Match`` or ``If-None-Match``, without quotes; ``*`` is one of them if it is given."""
    return [tag.strip().removeprefix("W/").strip('"') for tag in (header or "").split(",") if tag.strip()]


def json_response(body: Mapping[str, Any] | bytes, status: int = 200, headers: Mapping[str, str] = {}) -> HttpResponse:
    """A response with a JSON object, given as such or encoded."""
    text = body if isinstance(body, bytes) else json_bytes(body)
    return Response(status, "application/json", text.decode(), headers=dict(headers))


def queue(jobs: Sequence[Job], collections: int | str, manifest: str) -> HttpResponse:
    """202, once sweeps of so many collections are queued. ``manifest`` is the path to poll."""
    requested_at = timestamp(datetime.now(UTC))
    runtime.enqueue(jobs)
    body = {"status": "queued", "collections": collections, "manifest": manifest, "requested_at": requested_at}
    return json_response(body, 202)


def problem(status: int, detail: str, headers: Mapping[str, str] = {}, **members: str | int) -> HttpResponse:
    """An ``application/problem+json`` (RFC 9457) with extension members; long texts are truncated."""
    extensions = {name: _truncate(value) if isinstance(value, str) else value for name, value in members.items()}
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": _truncate(detail), **extensions}
    return Response(status, "application/problem+json", json_bytes(body).decode(), headers=dict(headers))


def _lambda_response(response: HttpResponse) -> dict[str, Any]:
    """A response that no route made, as Lambda returns it."""
    return {
        "statusCode": response.status_code,
        "headers": dict(response.headers),
        "body": response.body,
        "isBase64Encoded": False,
        "cookies": [],
    }


def _scopes(event: Mapping[str, Any]) -> Iterator[str]:
    """The scopes of the token, which the HTTP API has verified.

    ``scopes`` is null where the route requires none; claims are strings, and an array of them has the form ``[a b]``:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
    """
    token = event["requestContext"].get("authorizer", {}).get("jwt") or {}
    yield from token.get("scopes") or ()
    for claim in ("scope", "scp"):
        text = str((token.get("claims") or {}).get(claim) or "")
        yield from (text[1:-1] if text.startswith("[") and text.endswith("]") else text).split()


def _truncate(text: str) -> str:
    return text if len(text) <= _MAX_DETAIL else f"{text[:_MAX_DETAIL]}…"


def _decode(body: str) -> Any:  # noqa: ANN401  # any JSON
    """The body; refuses what many readers of JSON refuse."""
    # The standard library's reader raises RecursionError for deep nesting.
    written = body.encode(errors=_BYTES)
    try:
        value = from_json(written, allow_inf_nan=False)
        # 1e999 is JSON too, but cannot be written again.
        problems = read_json(written).problems
    except ValueError as error:
        raise BadParameter("body", f"the body is not JSON: {error}") from error
    if problems:
        raise BadParameter("body", f"the body: {problems[0]}")
    return value


def _bad_parameter(error: BadParameter) -> HttpResponse:
    return problem(400, str(error), parameter=error.parameter)


def _validation_problem(error: RequestValidationError) -> HttpResponse:
    first = error.errors()[0]
    # The first part of the location is query, path or body.
    name = ".".join(map(str, first["loc"][1:])) or "body"
    return problem(400, f"{name}: {first['msg']}", parameter=name)


def _scope_problem(error: MissingScope) -> HttpResponse:
    """403, in the form of https://www.rfc-editor.org/rfc/rfc6750#section-3.1."""
    challenge = f'Bearer error="insufficient_scope", scope="{error.scope}"'
    return problem(403, str(error), {"WWW-Authenticate": challenge})
