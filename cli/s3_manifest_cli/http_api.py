"""Requests to a deployed HTTP API, signed with the user's AWS credentials or with a bearer token."""

from collections.abc import Mapping
from typing import Any, TypeVar

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from s3_manifest import addressing
from s3_manifest.model import Frozen, first_problem
from s3_manifest_cli.errors import Invalid, NotFound, NotKept, Refused, S3ManifestError, Unavailable

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

Shape = TypeVar("Shape", bound=BaseModel)


class Reply(Frozen):
    """An answer that is not an error. Names of headers are in lower case; ``body`` is empty where there was no JSON."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


class HttpApi:
    """``url`` is the stack's output ``ApiUrl``. With a ``token`` requests carry it; without one they are signed."""

    def __init__(self, url: str, session: boto3.Session, token: str | None = None) -> None:
        self._url = url.rstrip("/")
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
        url = self._url + addressing.url(path, query or {})
        content = None if body is None else to_json(body)
        given = dict(headers or {}) | ({"Content-Type": "application/json"} if content else {})
        try:
            answer = self._pool.request(
                method, url, body=content, headers=self._authorized(method, url, content, given), timeout=_TIMEOUT
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"{self._url}: {error}") from error
        found = _decoded(answer.data)
        if answer.status >= 400:
            detail = found.get("detail") or found.get("message") or answer.reason
            raise _error(answer.status, f"{detail} ({answer.status})", found)
        return Reply(status=answer.status, headers={k.lower(): v for k, v in answer.headers.items()}, body=found)

    def _authorized(self, method: str, url: str, content: bytes | None, headers: dict[str, str]) -> dict[str, str]:
        if self._token:
            return headers | {"Authorization": f"Bearer {self._token}"}
        credentials = self._session.get_credentials()
        if credentials is None:
            raise Unavailable("there are no AWS credentials to sign the request with: configure them, or give a token")
        request = AWSRequest(method, url, data=content, headers=headers)
        SigV4Auth(credentials, "execute-api", self._session.region_name or "us-east-1").add_auth(request)
        return dict(request.headers)


def _error(status: int, reason: str, body: Mapping[str, Any]) -> S3ManifestError:
    if status == 410 and isinstance(oldest := body.get("oldest"), int):
        return NotKept(reason, oldest)
    return _ERRORS.get(status, Unavailable)(reason)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = from_json(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def shaped(shape: type[Shape], reply: Reply) -> Shape:
    """What the answer says, checked. Raises ``Unavailable`` where a newer or other API answered."""
    try:
        return shape.model_validate(reply.body)
    except ValidationError as error:
        raise Unavailable(f"the API answered what this version does not read: {first_problem(error)}") from error
