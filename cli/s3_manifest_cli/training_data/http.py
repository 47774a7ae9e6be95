"""Training data over the HTTP API of a deployment."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, cast

from s3_manifest.edits.planning import UploadPlan
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.http.addressing import FILENAME, address, id_in
from s3_manifest.query import training
from s3_manifest.query.actors import KIND, is_number
from s3_manifest.query.waiting import MAX_WAIT_SECONDS
from s3_manifest.sidecars.content import known_fields
from s3_manifest_cli.client.access.http_api import HttpApi, Response, field, optional_field, parse
from s3_manifest_cli.errors import NoSuchActor, NotFound, NotYet
from s3_manifest_cli.training_data.location import ActorLocation, NamedLocation
from s3_manifest_cli.training_data.results import ActorManifest, EditResult
from s3_manifest_cli.training_data.service import ImageFields

_ACTOR = "/api/training-data/{}"
_MANIFEST = f"/api/manifests/{KIND}/{{}}"
_PAUSE_SECONDS = 1.0


class HttpService(NamedTuple):
    """A ``Service`` over HTTP. Methods raise ``S3ManifestError``."""

    api: HttpApi

    def locate(self, actor: str) -> ActorLocation:
        if not is_number(actor):
            # One file of the manifest is enough, and also the answer about a large manifest is small.
            with suppress(NotFound):
                return _location(self.api.request("GET", *address(_MANIFEST, actor, {"limit": "1"})))
        try:
            return _location(self.api.request("GET", *address(_ACTOR, actor, {"wait": "0"})))
        except NoSuchActor as error:
            return ActorLocation(error.s3_bucket, error.s3_prefix)

    def read(self, actor: str, location: NamedLocation, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        if force_rescan and not location.is_empty:
            location.check(actor, self.locate(actor))
        query = {"force_rescan": "true"} if force_rescan else {}
        verified_since = ""
        for wait in _waits(wait_seconds):
            try:
                response = self.api.request("GET", *address(_ACTOR, actor, query | {"wait": f"{wait:g}"}))
            except NoSuchActor as error:
                location.check(actor, ActorLocation(error.s3_bucket, error.s3_prefix))
                raise
            if not location.is_empty:
                location.check(actor, _location(response))
            if response.status == 200:
                manifest = parse(training.ActorManifest, response.body)
                if (manifest.last_verified_at or "") >= verified_since:
                    return cast("ActorManifest", response.body)
            elif force_rescan and not verified_since:
                # The rescan is requested once, and then awaited.
                verified_since, query = field(response, "requested_at", str), {}
        raise NotYet(f"{actor} is still being compared with S3. Try again later.")

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        for wait in _waits(wait_seconds):
            path = address(_ACTOR, actor, {"reflects": reflects, "wait": f"{wait:g}"})
            response = self.api.request("GET", *path)
            if response.headers.get("x-manifest-reflected") == "true":
                return True
        return False

    def describe(self, actor: str, fields: Mapping[str, ImageFields]) -> EditResult:
        path = address("/api/actors/{}/training-data", actor)
        return self._edit_result(self.api.request("PATCH", *path, body={"files": fields}))

    def delete(self, actor: str, filename: str, etag: str | None) -> EditResult:
        path = address(f"{_ACTOR}/images", actor, {FILENAME: filename, "delete_from_s3": "true"})
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        return self._edit_result(self.api.request("DELETE", *path, headers=headers))

    def plan(self, actor: str, request: UploadRequest) -> UploadPlan:
        body = request.model_dump(mode="json", exclude_none=True)
        response = self.api.request("POST", *address(f"{_ACTOR}/uploads", actor), body=body)
        return parse(UploadPlan, known_fields(response.body, UploadPlan))

    def _edit_result(self, response: Response) -> EditResult:
        return EditResult(
            actor_name=id_in(field(response, "manifest", str)),
            revision=optional_field(response, "revision", int),
            reflects=optional_field(response, "reflects", str),
        )


def _location(response: Response) -> ActorLocation:
    return ActorLocation(field(response, "s3_bucket", str), field(response, "s3_prefix", str))


def _waits(seconds: float) -> Iterator[float]:
    """The wait of each request until so many seconds have passed; at least one request.

    A deployment may wait less than requested, to serve others; so there is a pause between requests.
    """
    end = time.monotonic() + seconds
    while True:
        yield min(max(0.0, end - time.monotonic()), MAX_WAIT_SECONDS)
        remaining = end - time.monotonic()
        if remaining <= 0:
            return
        time.sleep(min(_PAUSE_SECONDS, remaining))
