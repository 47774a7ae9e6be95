"""Requests to a deployed HTTP API, signed with the user's AWS credentials or with a bearer token."""

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
from s3_manifest.storage.aws_faults import NOT_AWS
from s3_manifest.storage.store import Fault
from s3_manifest_cli.client.access.aws_session import credentials_of
from s3_manifest_cli.client.access.explanations import unavailable
from s3_manifest_cli.errors import HistoryExpired, Invalid, NotFound, Refused, S3ManifestError, Unavailable

MAX_WAIT_SECONDS = 20
"""Of one request; a longer wait is made of several."""

_TIMEOUT = urllib3.Timeout(connect=5, read=35)
_ERRORS: dict[int, type[S3ManifestError]] = {
    400: Invalid,
    404: NotFound,
    409: Refused,
    410: NotFound,
    412: Refused,
    413: Invalid,
}
# Seconds, with jitter, before a request that was throttled is repeated.
_WAITS = (0.5, 1.0, 2.0, 4.0)
_EMPTY = frozenset({204, 304})
# Statuses that a gateway answers with a body of its own, or none, when the API or what is behind it fails.
_GATEWAYS = frozenset({401, 403, 429, 500, 502, 503, 504})
_TOKEN = "Set S3_MANIFEST_API_TOKEN to a token that is valid now, or unset it to sign with AWS credentials."  # noqa: S105  # no password
_REGION = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")
_MESSAGES = {
    "token included in the request is expired": "ExpiredToken",
    "token included in the request is invalid": "InvalidClientTokenId",
    "signature expired": "RequestTimeTooSkewed",
    "signature not yet current": "RequestTimeTooSkewed",
    "does not match the signature you provided": "SignatureDoesNotMatch",
    "scoped to a valid region": "AuthorizationHeaderMalformed",
    "explicit deny": "AccessDenied",
}

Shape = TypeVar("Shape", bound=BaseModel)
Field = TypeVar("Field")


class Reply(Frozen):
    """An answer that is not an error. Names of headers are in lower case; ``body`` is empty where there was no JSON."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


class HttpApi:
    """``url`` is the stack's output ``ApiUrl``. With a ``token`` requests carry it; without one they are signed."""

    def __init__(self, url: str, session: boto3.Session, token: str | None = None) -> None:
        """Makes no request. Raises ``Unavailable`` where that cannot be the URL of an API."""
        self._url = _checked(url)
        self._session = session
        self._pool = urllib3.PoolManager(maxsize=8)
        self._token = token

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer, of a status below 400. Raises ``S3ManifestError`` with the API's own words otherwise."""
        try:
            url = self._url + addressing.url(path, query or {})
            content = None if body is None else to_json(body)
        except ValueError as error:  # half of a surrogate pair
            raise Invalid(f"a name or text that no request can hold: {error}") from error
        given = dict(headers or {}) | ({"Content-Type": "application/json"} if content else {})
        try:
            answer = self._answer(method, url, content, given)
        except urllib3.exceptions.HTTPError as error:
            raise _unreached(self._url, error) from error
        except ValueError as error:  # it quotes the header, and that may be the token
            reason = "a header of the request holds a character that HTTP does not allow"
            raise Unavailable(f"{self._url}: {reason}.", remedy=_TOKEN) from error
        found = _decoded(answer.data)
        if answer.status >= 400:
            raise self._error(answer, found)
        if found is None and answer.status not in _EMPTY:
            raise self._no_api(answer)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(status=answer.status, headers=headers, body=found or {})

    def _answer(
        self, method: str, url: str, content: bytes | None, headers: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """The answer. Where there are too many requests it is asked again: no function has seen the request."""
        waits = iter(_WAITS)
        while True:
            signed = self._authorized(method, url, content, headers)
            answer = self._pool.request(method, url, body=content, headers=signed, timeout=_TIMEOUT)
            if answer.status != 429 or (wait := next(waits, None)) is None:
                return answer
            time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311  # nothing is secret about it

    def _error(self, answer: urllib3.BaseHTTPResponse, body: Mapping[str, Any] | None) -> S3ManifestError:
        """What an answer of a status from 400 on says."""
        if body is None and answer.status not in _GATEWAYS:
            return self._no_api(answer)
        found = body or {}
        detail = str(found.get("detail") or found.get("message") or answer.reason)
        if answer.status == 410 and isinstance(oldest := found.get("oldest"), int):
            return HistoryExpired(f"{detail} ({answer.status})", oldest)
        if answer.status in _ERRORS:
            return _ERRORS[answer.status](f"{detail} ({answer.status})")
        if "detail" in found:
            return Unavailable(f"{detail} ({answer.status})", code=str(answer.status))
        fault = Fault(answer.status, _gateway_code(answer.status, detail), detail)
        if answer.status == 401:
            return Unavailable(f"{self._url} does not accept the token ({answer.status}).", remedy=_TOKEN, code="401")
        return unavailable(fault, self._url, "execute-api:Invoke on the API, or pass the token that it wants")

    def _no_api(self, answer: urllib3.BaseHTTPResponse) -> Unavailable:
        kind = (answer.headers.get("content-type") or "").partition(";")[0] or "no JSON"
        return Unavailable(
            f"{self._url} answered {answer.status} with {kind}, as the S3 Manifest API does not.",
            remedy="If your network has a login page (captive portal), open a browser and log in; otherwise check"
            " --api-url.",
            code=NOT_AWS,
        )

    def _authorized(self, method: str, url: str, content: bytes | None, headers: dict[str, str]) -> dict[str, str]:
        if self._token:
            return headers | {"Authorization": f"Bearer {self._token}"}
        credentials = credentials_of(self._session)
        request = AWSRequest(method, url, data=content, headers=headers)
        SigV4Auth(credentials, "execute-api", self._region()).add_auth(request)
        return dict(request.headers)

    def _region(self) -> str:
        """The API's own region, as its host names it: the user's may be another."""
        found = _REGION.search(urlsplit(self._url).hostname or "")
        return found[1] if found else self._session.region_name or "us-east-1"


def _checked(url: str) -> str:
    """The URL without the ``/`` at its end. Raises ``Unavailable`` where it is none of HTTP."""
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


def _unreached(url: str, error: urllib3.exceptions.HTTPError) -> Unavailable:
    """What urllib3 says, by the name of its error: of several attempts, the last one's."""
    if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason:
        error = error.reason if isinstance(error.reason, urllib3.exceptions.HTTPError) else error
    found = unavailable(Fault(0, type(error).__name__, f'"{url}": {error}'), f"{url}: no answer")
    remedy = re.sub("(--region and )?--endpoint-url", "--api-url", found.remedy)
    return Unavailable(found.message, remedy=remedy, code=found.code)


def _gateway_code(status: int, message: str) -> str:
    """AWS's error code, as far as the message of API Gateway, which tells no code, shows it."""
    text = message.lower()
    return next((code for phrase, code in _MESSAGES.items() if phrase in text), "AccessDenied" if status == 403 else "")


def _decoded(body: bytes) -> dict[str, Any] | None:
    """The JSON object; None where it is none."""
    try:
        found = from_json(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def field(reply: Reply, name: str, kind: type[Field]) -> Field:
    """A field of the answer. Raises ``Unavailable`` where a newer or other API answered."""
    found = reply.body.get(name)
    if isinstance(found, kind):
        return found
    raise Unavailable(f"the API answered what this version does not read: it has no {name}")


def shaped(shape: type[Shape], reply: Reply) -> Shape:
    """What the answer says, checked. Raises ``Unavailable`` where a newer or other API answered."""
    try:
        return shape.model_validate(reply.body)
    except ValidationError as error:
        raise Unavailable(f"the API answered what this version does not read: {first_problem(error)}") from error
