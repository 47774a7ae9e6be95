"""Training data through a deployed HTTP API."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.http.addressing import FILENAME, address, id_in
from s3_manifest.query.training import ActorManifest
from s3_manifest_cli.client.access.http_api import MAX_WAIT_SECONDS, HttpApi, Reply, field, shaped
from s3_manifest_cli.errors import NotYet
from s3_manifest_cli.training_data.service import EditResult, ImageFields, UploadPlan

_ACTOR = "/api/training-data/{}"
_PAUSE_SECONDS = 1.0


class HttpService:
    """One deployment, through its HTTP API."""

    def __init__(self, api: HttpApi) -> None:
        self._api = api

    def read(self, actor: str, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        query = {"force_rescan": "true"} if force_rescan else {}
        verified_since = ""
        for wait in _waits(wait_seconds):
            reply = self._api.ask("GET", *address(_ACTOR, actor, query | {"wait": f"{wait:g}"}))
            if reply.status == 200:
                manifest = shaped(ActorManifest, reply)
                if (manifest.last_verified_at or "") >= verified_since:
                    return manifest
            elif force_rescan and not verified_since:
                # The sweep is asked for once, and from then on waited for.
                verified_since, query = field(reply, "requested_at", str), {}
        raise NotYet(f"{actor}: it is still being compared with S3; ask again")

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        for wait in _waits(wait_seconds):
            asked = address(_ACTOR, actor, {"reflects": reflects, "wait": f"{wait:g}"})
            reply = self._api.ask("GET", *asked)
            if reply.headers.get("x-manifest-reflected") == "true":
                return True
        return False

    def describe(self, actor: str, said: Mapping[str, ImageFields]) -> EditResult:
        asked = address("/api/actors/{}/training-data", actor)
        return self._done(self._api.ask("PATCH", *asked, body={"files": said}))

    def delete(self, actor: str, filename: str, etag: str | None) -> EditResult:
        asked = address(f"{_ACTOR}/images", actor, {FILENAME: filename, "delete_from_s3": "true"})
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        return self._done(self._api.ask("DELETE", *asked, headers=headers))

    def plan(self, actor: str, wish: UploadRequest) -> UploadPlan:
        body = wish.model_dump(mode="json", exclude_none=True)
        reply = self._api.ask("POST", *address(f"{_ACTOR}/uploads", actor), body=body)
        return shaped(
            UploadPlan, reply.model_copy(update={"body": {k: reply.body.get(k) for k in UploadPlan.model_fields}})
        )

    def _done(self, reply: Reply) -> EditResult:
        name = id_in(field(reply, "manifest", str))
        return shaped(
            EditResult, reply.model_copy(update={"body": {"actor_name": name, **_only(reply.body, EditResult)}})
        )


def _waits(seconds: float) -> Iterator[float]:
    """How long to have each request wait, until so many seconds are over; one request at least.

    A deployment may wait for less than is asked, so that others get their turn: there is a pause in between.
    """
    end = time.monotonic() + seconds
    while True:
        yield min(max(0.0, end - time.monotonic()), MAX_WAIT_SECONDS)
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(_PAUSE_SECONDS, left))


def _only(body: Mapping[str, Any], shape: type[BaseModel]) -> dict[str, Any]:
    return {name: body[name] for name in shape.model_fields if name in body}
