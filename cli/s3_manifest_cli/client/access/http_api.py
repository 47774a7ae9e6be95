"""Requests to a deployed HTTP API, signed with AWS credentials or sent with a bearer token."""

import random
import re
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from s3_manifest.http import addressing
from s3_manifest.manifest.model import Frozen, first_problem
from s3_manifest.storage.aws_errors import NOT_AWS
from s3_manifest.storage.store import Fault
from s3_manifest_cli.client.access.aws_session import credentials_of
from s3_manifest_cli.client.access.explanations import unavailable
from s3_manifest_cli.errors import HistoryExpired, Invalid, NoSuchActor, NotFound, Refused, S3ManifestError, Unavailable

_TIMEOUT = urllib3.Timeout(connect=5, read=35)
_ERRORS = {400: Invalid, 404: NotFound, 409: Refused, 410: NotFound, 412: Refused, 413: Invalid}
# Seconds, with jitter, before a throttled request is repeated.
_RETRY_DELAYS = (0.5, 1.0, 2.0, 4.0)
_EMPTY_STATUSES = frozenset({204, 304})
# API Gateway itself answers with these statuses, without the API's body, when the API fails.
_GATEWAY_STATUSES = frozenset({401, 403, 429, 500, 502, 503, 504})
_SET_TOKEN = "Set S3_MANIFEST_API_TOKEN to a valid token, or unset it to sign with AWS credentials."  # noqa: S105
_REGION = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")
_GATEWAY_CODES = {
    "token included in the request is expired": "ExpiredToken",
    "token included in the request is invalid": "InvalidClientTokenId",
    "signature expired": "RequestTimeTooSkewed",
    "signature not yet current": "RequestTimeTooSkewed",
    "does not match the signature you provided": "SignatureDoesNotMatch",
    "scoped to a valid region": "AuthorizationHeaderMalformed",
    "explicit deny": "AccessDenied",
}

Shape = TypeVar("Shape", bound=BaseModel)
Value = TypeVar("Value")


class Response(Frozen):
    """A response without an error. Header names are in lower case; ``body`` is empty if there was no JSON."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


class HttpApi:
    """``url`` is the stack's output ``ApiUrl``. Requests carry the ``token``, or are signed if there is none."""

    def __init__(self, url: str, session: boto3.Session, token: str | None = None) -> None:
        """Makes no request. Raises ``Unavailable`` where that cannot be the URL of an API."""
        self._url = _checked_url(url)
        self._session = session
        # Threads share it; above this, urllib3 warns of each connection that it discards.
        self._pool = urllib3.PoolManager(maxsize=64)
        self._token = token

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Makes a request. Raises ``S3ManifestError`` with the API's own words for a status from 400 on."""
        try:
            url = self._url + addressing.url(path, query or {})
            content = None if body is None else to_json(body)
        except ValueError as error:  # half of a surrogate pair
            raise Invalid(f"A name or text cannot be sent: {error}.") from error
        sent = dict(headers or {}) | ({"Content-Type": "application/json"} if content else {})
        try:
            response = self._send(method, url, content, sent)
        except urllib3.exceptions.HTTPError as error:
            raise _no_response(self._url, error) from error
        except ValueError as error:  # its text has the header, which may be the token
            reason = "a header of the request holds a character that HTTP does not allow"
            raise Unavailable(f"{self._url}: {reason}.", remedy=_SET_TOKEN) from error
        document = _decoded(response.data)
        if response.status >= 400:
            raise self._error(response, document)
        if document is None and response.status not in _EMPTY_STATUSES:
            raise self._not_the_api(response)
        received = {name.lower(): value for name, value in response.headers.items()}
        return Response(status=response.status, headers=received, body=document or {})

    def _send(self, method: str, url: str, content: bytes | None, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Repeats a throttled request, which no function has received."""
        delays = iter(_RETRY_DELAYS)
        while True:
            authorized = self._authorize(method, url, content, headers)
            response = self._pool.request(method, url, body=content, headers=authorized, timeout=_TIMEOUT)
            if response.status != 429 or (delay := next(delays, None)) is None:
                return response
            time.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # it need not be secret

    def _error(self, response: urllib3.BaseHTTPResponse, document: Mapping[str, Any] | None) -> S3ManifestError:
        if document is None and response.status not in _GATEWAY_STATUSES:
            return self._not_the_api(response)
        document = document or {}
        detail = str(document.get("detail") or document.get("message") or response.reason)
        message = f"{detail} ({response.status})"
        if response.status in _ERRORS:
            return _request_error(response.status, message, document)
        if "detail" in document:
            return Unavailable(message, code=str(response.status))
        if response.status == 401:
            return Unavailable(f"{self._url} does not accept the token (401).", remedy=_SET_TOKEN, code="401")
        # API Gateway sends no error code; its message gives AWS's.
        default = "AccessDenied" if response.status == 403 else ""
        code = next((code for phrase, code in _GATEWAY_CODES.items() if phrase in detail.lower()), default)
        fault = Fault(response.status, code, detail)
        return unavailable(fault, self._url, "execute-api:Invoke on the API, or pass the token that it requires")

    def _not_the_api(self, response: urllib3.BaseHTTPResponse) -> Unavailable:
        kind = (response.headers.get("content-type") or "").partition(";")[0] or "no JSON"
        return Unavailable(
            f"{self._url} answered {response.status} with {kind}, so it is not the S3 Manifest API.",
            remedy="If your network has a login page (captive portal), open a browser and log in; otherwise check"
            " --api-url.",
            code=NOT_AWS,
        )

    def _authorize(self, method: str, url: str, content: bytes | None, headers: dict[str, str]) -> dict[str, str]:
        if self._token:
            return headers | {"Authorization": f"Bearer {self._token}"}
        request = AWSRequest(method, url, data=content, headers=headers)
        # The API's own region, which its host names, may differ from the user's.
        region = _REGION.search(urlsplit(self._url).hostname or "")
        name = region[1] if region else self._session.region_name or "us-east-1"
        SigV4Auth(credentials_of(self._session), "execute-api", name).add_auth(request)
        return dict(request.headers)


def _request_error(status: int, message: str, document: Mapping[str, Any]) -> S3ManifestError:
    """The error of a request that the API refused; the problem's members become its attributes."""
    match status, document:
        case 410, {"oldest": int(oldest)}:
            return HistoryExpired(message, oldest)
        case 404, {"s3_bucket": str(bucket), "s3_prefix": str(prefix)}:
            return NoSuchActor(message, bucket, prefix)
        case _:
            return _ERRORS[status](message)


def _checked_url(url: str) -> str:
    """The URL without a ``/`` at its end. Raises ``Unavailable`` where it is not an HTTP URL."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if is_url and url.isprintable() and " " not in url:
        return url.rstrip("/")
    raise Unavailable(
        f"{url!r} is not the URL of an API.",
        remedy="Pass --api-url https://…, the stack's output ApiUrl.",
        code="invalid_url",
    )


def _no_response(url: str, error: urllib3.exceptions.HTTPError) -> Unavailable:
    """Explains urllib3's error by its class name; of several attempts, the last one's."""
    if isinstance(error, urllib3.exceptions.MaxRetryError) and isinstance(error.reason, urllib3.exceptions.HTTPError):
        error = error.reason
    explained = unavailable(Fault(0, type(error).__name__, f'"{url}": {error}'), f"{url}: no answer")
    remedy = re.sub("(--region and )?--endpoint-url", "--api-url", explained.remedy)
    return Unavailable(explained.message, remedy=remedy, code=explained.code)


def _decoded(body: bytes) -> dict[str, Any] | None:
    """The JSON object; None where the body is something else."""
    try:
        document = from_json(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def unreadable_response(reason: str) -> Unavailable:
    """The error of a response in an unknown format: a newer API, or another one."""
    return Unavailable(
        f"The API's response is not readable: {reason}.",
        remedy="Check --api-url, and use the same version of the client and the stack.",
    )


def field(response: Response, name: str, kind: type[Value]) -> Value:
    """A field of the response. Raises ``Unavailable`` where it is missing."""
    value = response.body.get(name)
    if isinstance(value, kind):
        return value
    raise unreadable_response(f"it has no {name}")


def optional_field(response: Response, name: str, kind: type[Value]) -> Value | None:
    """A field of the response that may be null. Raises ``Unavailable`` where it has another type."""
    return None if response.body.get(name) is None else field(response, name, kind)


def parse(shape: type[Shape], fields: object) -> Shape:
    """The fields of a response as a model. Raises ``Unavailable`` where they are not of that shape."""
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        raise unreadable_response(first_problem(error)) from error
