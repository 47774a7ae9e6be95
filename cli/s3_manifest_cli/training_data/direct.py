"""Training data directly in S3, with the user's AWS credentials and without the HTTP API.

Only data and sidecars are changed: the deployed stack writes the manifest.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import JsonValue

from s3_manifest.aws.threads import each
from s3_manifest.edits import edits, mutations
from s3_manifest.edits.edits import RetryPolicy
from s3_manifest.edits.planning import InvalidCollectionId, InvalidFilenames, plan_uploads
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.jobs import JobsNotQueued, Sweep
from s3_manifest.manifest.model import UnreadableManifest, timestamp
from s3_manifest.query import actors, training
from s3_manifest.query.change_token import ChangeToken, is_reflected, revision_reflecting
from s3_manifest.query.cursors import InvalidCursor, decode_cursor, encode_cursor
from s3_manifest.query.history import NoSuchRevision
from s3_manifest.query.training import ActorManifest
from s3_manifest.query.views import AnswerTooLarge
from s3_manifest.query.waiting import Clock, complete_since, wait_for_head
from s3_manifest.storage import heads
from s3_manifest.storage.heads import holds_objects
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import StoreError
from s3_manifest_cli.client.access.explanations import explain_manifest_error, explain_store_error
from s3_manifest_cli.client.manifests.direct import Enqueue
from s3_manifest_cli.errors import Invalid, NotFound, NotYet, Refused, Unavailable
from s3_manifest_cli.training_data.service import EditResult, ImageFields, UploadPlan

EDIT_SECONDS = 30
"""How long an edit is retried while others change the same sidecar."""

_CLOCK = Clock(time.monotonic, time.sleep)


class S3Service:
    """A ``TrainingDataService`` in one bucket. Without ``enqueue`` it cannot request sweeps, nor create manifests."""

    def __init__(self, store: S3Store, collections: Collections, enqueue: Enqueue | None) -> None:
        self._store = store
        self._collections = collections
        self._enqueue = enqueue

    def read(self, actor: str, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        with _api_errors():
            collection = self._collection(actor)
            head = heads.load(self._store, collection).head
            requested_at = timestamp(datetime.now(UTC))
            if head is None and not holds_objects(self._store, self._collections, collection):
                raise NotFound(f"there is no actor {collection.id}: S3 has neither a manifest nor objects")
            if head is None or force_rescan:
                created_at, asked_at = (None, requested_at) if force_rescan else (requested_at, None)
                kind, id_ = collection.kind, collection.id
                self._request_sweep(Sweep(kind=kind, id=id_, created_at=created_at, asked_at=asked_at))
            is_done = complete_since(requested_at if force_rescan else None)
            loaded, done = wait_for_head(self._store, collection, is_done, wait_seconds, _CLOCK)
            if not done:
                raise NotYet(f"{actor} is still being compared with S3. Try again later.")
            read = training.read(self._store, each, collection, loaded, training.actor_manifest)
        return ActorManifest.model_validate_json(read.json)

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        with _api_errors():
            collection = self._collection(actor)
            change_token = decode_cursor(reflects, ChangeToken)
            return wait_for_head(
                self._store,
                collection,
                lambda loaded: is_reflected(self._store, each, collection, loaded, change_token),
                wait_seconds,
                _CLOCK,
            ).holds

    def describe(self, actor: str, fields: Mapping[str, ImageFields]) -> EditResult:
        with _api_errors():
            collection = self._collection(actor)
            changes = {filename: dict[str, JsonValue](entry) for filename, entry in fields.items()}  # type: ignore[arg-type]  # a TypedDict of JSON
            edited = mutations.update_files(self._store, self._collections, each, collection, changes, _retry_policy())
            return self._edit_result(collection, mutations.edit_token(edited))

    def delete(self, actor: str, filename: str, etag: str | None) -> EditResult:
        only = frozenset([etag] if etag else [])
        with _api_errors():
            collection = self._collection(actor)
            _, change_token = mutations.delete_file(
                self._store, self._collections, collection, filename, only, _retry_policy()
            )
            return self._edit_result(collection, change_token)

    def plan(self, actor: str, request: UploadRequest) -> UploadPlan:
        with _api_errors():
            collection = self._collection(actor)
            plan = plan_uploads(self._store, self._collections, collection, request, datetime.now(UTC), _retry_policy())
        return UploadPlan(uploads=plan.uploads, generation=plan.generation)

    def _collection(self, actor: str) -> Collection:
        return actors.resolve(self._store, self._collections, each, actor)

    def _request_sweep(self, sweep: Sweep) -> None:
        if self._enqueue is None:
            raise Invalid(
                f"{sweep.id} cannot be compared with S3, because the sweep queue is unknown.",
                remedy="Pass sweep_queue_url, the stack's output SweepQueueUrl.",
            )
        self._enqueue([sweep])

    def _edit_result(self, collection: Collection, change_token: ChangeToken | None) -> EditResult:
        revision = revision_reflecting(self._store, each, collection, change_token) if change_token else None
        return EditResult(
            actor_name=collection.id, revision=revision, reflects=change_token and encode_cursor(change_token)
        )


def _retry_policy() -> RetryPolicy:
    end = time.monotonic() + EDIT_SECONDS
    return RetryPolicy(
        sleep=time.sleep,
        random=random.random,
        seconds_left=lambda: end - time.monotonic(),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


@contextmanager
def _api_errors() -> Iterator[None]:
    """Converts errors of the layer to those of this API."""
    try:
        yield
    except (actors.NoSuchActor, mutations.NoSuchFile, NoSuchRevision) as error:
        raise NotFound(str(error)) from error
    except (
        actors.AmbiguousActor,
        mutations.NewerUpload,
        mutations.EtagMismatch,
        edits.UnreadableSidecar,
        edits.SidecarTooLarge,
    ) as error:
        raise Refused(str(error)) from error
    except (InvalidCollectionId, InvalidFilenames, InvalidCursor, AnswerTooLarge, edits.InvalidEdit) as error:
        raise Invalid(str(error)) from error
    except StoreError as error:
        raise explain_store_error(error) from error
    except UnreadableManifest as error:
        raise explain_manifest_error(error) from error
    except (edits.TooManyConflicts, JobsNotQueued) as error:
        raise Unavailable(str(error)) from error
