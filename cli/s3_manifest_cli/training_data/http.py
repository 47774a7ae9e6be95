"""Training data through a deployed HTTP API; requests are signed with the user's AWS credentials, or carry a token."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from s3_manifest.model import Frozen, first_problem
from s3_manifest.training import ActorManifest
from s3_manifest.uploads import Uploads
from s3_manifest_cli.training_data.service import (
    Done,
    Invalid,
    NotFound,
    NotYet,
    Planned,
    Refused,
    Saying,
    TrainingDataError,
    Unavailable,
)

MAX_WAIT_SECONDS = 20
"""Of one request; a longer wait is made of several."""

_TIMEOUT = urllib3.Timeout(connect=5, read=35)
_ERRORS: dict[int, type[TrainingDataError]] = {
    400: Invalid,
    404: NotFound,
    409: Refused,
    412: Refused,
    413: Invalid,
}

Shape = TypeVar("Shape", bound=BaseModel)


class _Reply(Frozen):
    status: int
    headers: Mapping[str, str]
    body: Any


class HttpService:
    """``url`` is the stack's output ``ApiUrl``. With a ``token`` requests carry it; without one they are signed."""

    def __init__(self, url: str, session: boto3.Session, pool: urllib3.PoolManager, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._pool = pool
        self._token = token

    def read(self, actor: str, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        query = {"force_rescan": "true"} if force_rescan else {}
        verified_since = ""
        while True:
            wait = min(wait_seconds, MAX_WAIT_SECONDS)
            reply = self._ask("GET", _training_data(actor), query | {"wait": f"{wait:g}"})
            if reply.status == 200:
                manifest = _shaped(ActorManifest, reply)
                if (manifest.last_verified_at or "") >= verified_since:
                    return manifest
            elif force_rescan and not verified_since:
                # The sweep is asked for once, and from then on waited for.
                verified_since, query = reply.body["requested_at"], {}
            wait_seconds -= max(wait, 1)
            if wait_seconds <= 0:
                raise NotYet(f"{actor}: it is still being compared with S3; ask again")

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        while True:
            wait = min(wait_seconds, MAX_WAIT_SECONDS)
            reply = self._ask("GET", _training_data(actor), {"reflects": reflects, "wait": f"{wait:g}"})
            wait_seconds -= wait
            if reply.headers.get("x-manifest-reflected") == "true" or wait_seconds <= 0:
                return reply.headers.get("x-manifest-reflected") == "true"

    def describe(self, actor: str, said: Mapping[str, Saying]) -> Done:
        path = f"/api/actors/{_segment(actor)}/training-data"
        return self._done(self._ask("PATCH", path, body={"files": said}))

    def delete(self, actor: str, filename: str, etag: str | None) -> Done:
        path = f"{_training_data(actor)}/images/{_segment(filename)}"
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        return self._done(self._ask("DELETE", path, {"delete_from_s3": "true"}, headers=headers))

    def plan(self, actor: str, wish: Uploads) -> Planned:
        body = wish.model_dump(mode="json", exclude_none=True)
        reply = self._ask("POST", f"{_training_data(actor)}/uploads", body=body)
        return _shaped(Planned, reply.model_copy(update={"body": {k: reply.body[k] for k in Planned.model_fields}}))

    def _done(self, reply: _Reply) -> Done:
        name = str(reply.body["manifest"]).partition("?")[0].rpartition("/")[2]
        return _shaped(Done, reply.model_copy(update={"body": {"actor_name": name, **_only(reply.body, Done)}}))

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> _Reply:
        url = f"{self._url}{path}" + (f"?{urlencode(query)}" if query else "")
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
            raise _ERRORS.get(answer.status, Unavailable)(f"{detail} ({answer.status})")
        return _Reply(status=answer.status, headers={k.lower(): v for k, v in answer.headers.items()}, body=found)

    def _authorized(self, method: str, url: str, content: bytes | None, headers: dict[str, str]) -> dict[str, str]:
        if self._token:
            return headers | {"Authorization": f"Bearer {self._token}"}
        credentials = self._session.get_credentials()
        if credentials is None:
            raise Unavailable("there are no AWS credentials to sign the request with: configure them, or give a token")
        request = AWSRequest(method, url, data=content, headers=headers)
        SigV4Auth(credentials, "execute-api", self._session.region_name or "us-east-1").add_auth(request)
        return dict(request.headers)


def _training_data(actor: str) -> str:
    return f"/api/training-data/{_segment(actor)}"


def _segment(text: str) -> str:
    return quote(text, safe="")


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = from_json(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _only(body: Mapping[str, Any], shape: type[BaseModel]) -> dict[str, Any]:
    return {name: body[name] for name in shape.model_fields if name in body}


def _shaped(shape: type[Shape], reply: _Reply) -> Shape:
    try:
        return shape.model_validate(reply.body)
    except ValidationError as error:
        raise Unavailable(f"the API answered what this version does not read: {first_problem(error)}") from error
