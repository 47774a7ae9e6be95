"""Training data directly in S3, with the user's AWS credentials and without the HTTP API.

Only data and sidecars are changed: the deployed stack writes the manifest.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import from_json

from s3_manifest.aws.threads import parallel_map
from s3_manifest.edits.collection_editor import CollectionEditor, EtagMismatch, NewerUpload, NoSuchFile
from s3_manifest.edits.planning import UploadPlan, plan_uploads
from s3_manifest.edits.sidecar_editor import (
    InvalidEdit,
    RetryPolicy,
    SidecarTooLarge,
    TooManyConflicts,
    UnreadableSidecar,
)
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import timestamp
from s3_manifest.query import actors, training
from s3_manifest.query.answers import AnswerTooLarge
from s3_manifest.query.change_token import ChangeToken, is_reflected, revision_reflecting
from s3_manifest.query.cursors import BadParameter, decode_cursor, encode_cursor
from s3_manifest.query.waiting import SYSTEM_CLOCK, complete_since, wait_for_head
from s3_manifest.storage.heads import has_objects
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest_cli.client.manifests.direct import Enqueue, translated_errors
from s3_manifest_cli.errors import Invalid, NoSuchActor, NotFound, NotYet, Refused, Unavailable
from s3_manifest_cli.training_data.location import ActorLocation, NamedLocation
from s3_manifest_cli.training_data.results import ActorManifest, EditResult
from s3_manifest_cli.training_data.service import ImageFields

EDIT_SECONDS = 30
"""How long an edit is retried while others change the same sidecar."""


class S3Service(NamedTuple):
    """A ``Service`` directly in S3.

    Without ``enqueue`` it cannot request sweeps, nor create manifests.
    """

    stores: Mapping[str, S3Store]
    collections: Collections
    enqueue: Enqueue | None

    def locate(self, actor: str) -> ActorLocation:
        with self._actor(actor) as collection:
            return ActorLocation(collection.bucket, collection.prefix)

    def read(self, actor: str, location: NamedLocation, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        with self._actor(actor) as collection:
            location.check(actor, ActorLocation(collection.bucket, collection.prefix))
            head = self._snapshot(collection).reload().head
            requested_at = timestamp(datetime.now(UTC))
            if head is None and not has_objects(self.stores[collection.bucket], self.collections, collection):
                message = f"there is no actor {collection.id}: S3 has neither a manifest nor objects"
                raise NoSuchActor(message, collection.bucket, collection.prefix)
            if head is None or force_rescan:
                reason = {"asked_at" if force_rescan else "created_at": requested_at}
                self._request_sweep(Sweep(kind=collection.kind, id=collection.id, **reason))
            is_done = complete_since(requested_at if force_rescan else None)
            wait = wait_for_head(self._snapshot(collection), is_done, wait_seconds, SYSTEM_CLOCK)
            if not wait.is_met:
                raise NotYet(f"{actor} is still being compared with S3. Try again later.")
            document = training.read(wait.snapshot, training.actor_manifest)
        data: ActorManifest = from_json(document.json)
        return data

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        with self._actor(actor) as collection:
            token = decode_cursor(reflects, ChangeToken)
            snapshot = self._snapshot(collection)
            return wait_for_head(snapshot, lambda now: is_reflected(now, token), wait_seconds, SYSTEM_CLOCK).is_met

    def describe(self, actor: str, fields: Mapping[str, ImageFields]) -> EditResult:
        with self._actor(actor) as collection:
            updates = {filename: dict[str, JsonValue](entry) for filename, entry in fields.items()}  # type: ignore[arg-type]  # a TypedDict of JSON
            return self._edit_result(collection, self._editor(collection).update_files(updates).token)

    def delete(self, actor: str, filename: str, etag: str | None) -> EditResult:
        etags = frozenset([etag] if etag else [])
        with self._actor(actor) as collection:
            _, token = self._editor(collection).delete_file(filename, etags)
            return self._edit_result(collection, token)

    def plan(self, actor: str, request: UploadRequest) -> UploadPlan:
        with self._actor(actor) as collection:
            return plan_uploads(
                self._editor(collection), request, self.stores[collection.bucket].presigned_put, datetime.now(UTC)
            )

    def _snapshot(self, collection: Collection) -> Snapshot:
        return Snapshot(self.stores[collection.bucket], parallel_map, collection)

    def _editor(self, collection: Collection) -> CollectionEditor:
        end = time.monotonic() + EDIT_SECONDS
        policy = RetryPolicy(seconds_left=lambda: end - time.monotonic())
        return CollectionEditor(self.stores[collection.bucket], self.collections, collection, parallel_map, policy)

    def _request_sweep(self, sweep: Sweep) -> None:
        if self.enqueue is None:
            raise Invalid(
                f"{sweep.id} cannot be compared with S3, because the sweep queue is unknown.",
                remedy="Pass stack (S3_MANIFEST_STACK), or sweep_queue_url (S3_MANIFEST_SWEEP_QUEUE_URL), its output"
                " SweepQueueUrl.",
            )
        self.enqueue([sweep])

    def _edit_result(self, collection: Collection, token: ChangeToken | None) -> EditResult:
        revision = revision_reflecting(self._snapshot(collection), token) if token else None
        return EditResult(actor_name=collection.id, revision=revision, reflects=encode_cursor(token) if token else None)

    @contextmanager
    def _actor(self, name: str) -> Iterator[Collection]:
        """The actor's collection. Errors of the layer in the block become those of this API."""
        with translated_errors():
            try:
                yield actors.resolve(self.stores, self.collections, parallel_map, name)
            except NoSuchFile as error:
                raise NotFound(str(error)) from error
            except (NewerUpload, EtagMismatch, UnreadableSidecar, SidecarTooLarge) as error:
                raise Refused(str(error)) from error
            except (BadParameter, AnswerTooLarge, InvalidEdit) as error:
                raise Invalid(str(error)) from error
            except TooManyConflicts as error:
                raise Unavailable(str(error)) from error
