"""Training data in S3 itself, with the user's own AWS credentials: no HTTP API is needed.

The manifest is the deployed stack's to write; what is changed here, as everywhere, is data and sidecars.
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

PATIENCE_SECONDS = 30
"""How long an edit takes its turn beside others."""

_CLOCK = Clock(time.monotonic, time.sleep)


class S3Service:
    """One bucket. Without ``enqueue`` no sweep can be asked for: a manifest must be there, and is read as it is."""

    def __init__(self, store: S3Store, collections: Collections, enqueue: Enqueue | None) -> None:
        self._store = store
        self._collections = collections
        self._enqueue = enqueue

    def read(self, actor: str, *, force_rescan: bool, wait_seconds: float) -> ActorManifest:
        with _told():
            collection = self._resolved(actor)
            head = heads.load(self._store, collection).head
            requested_at = timestamp(datetime.now(UTC))
            if head is None and not holds_objects(self._store, self._collections, collection):
                raise NotFound(f"there is no actor {collection.id}: neither a manifest, nor any object in S3")
            if head is None or force_rescan:
                made_at, asked_at = (None, requested_at) if force_rescan else (requested_at, None)
                kind, id_ = collection.kind, collection.id
                self._ask_for(Sweep(kind=kind, id=id_, created_at=made_at, asked_at=asked_at))
            is_done = complete_since(requested_at if force_rescan else None)
            loaded, done = wait_for_head(self._store, collection, is_done, wait_seconds, _CLOCK)
            if not done:
                raise NotYet(f"{actor}: it is still being compared with S3; ask again")
            read = training.read(self._store, each, collection, loaded, training.actor_manifest)
        return ActorManifest.model_validate_json(read.json)

    def shows(self, actor: str, reflects: str, wait_seconds: float) -> bool:
        with _told():
            collection = self._resolved(actor)
            change_token = decode_cursor(reflects, ChangeToken)
            return wait_for_head(
                self._store,
                collection,
                lambda now: is_reflected(self._store, each, collection, now, change_token),
                wait_seconds,
                _CLOCK,
            ).holds

    def describe(self, actor: str, said: Mapping[str, ImageFields]) -> EditResult:
        with _told():
            collection = self._resolved(actor)
            fields = {filename: dict[str, JsonValue](one) for filename, one in said.items()}  # type: ignore[arg-type]  # a TypedDict of JSON
            edited = mutations.update_files(self._store, self._collections, each, collection, fields, _patience())
            return self._done(collection, mutations.edit_token(edited))

    def delete(self, actor: str, filename: str, etag: str | None) -> EditResult:
        only = frozenset([etag] if etag else [])
        with _told():
            collection = self._resolved(actor)
            _, change_token = mutations.delete_file(
                self._store, self._collections, collection, filename, only, _patience()
            )
            return self._done(collection, change_token)

    def plan(self, actor: str, wish: UploadRequest) -> UploadPlan:
        with _told():
            collection = self._resolved(actor)
            plan = plan_uploads(self._store, self._collections, collection, wish, datetime.now(UTC), _patience())
        return UploadPlan(uploads=plan.uploads, generation=plan.generation)

    def _resolved(self, actor: str) -> Collection:
        return actors.resolve(self._store, self._collections, each, actor)

    def _ask_for(self, sweep: Sweep) -> None:
        if self._enqueue is None:
            raise Invalid(
                f"{sweep.id} is to be compared with S3, which only the stack can do: give sweep_queue_url, its output"
                " SweepQueueUrl"
            )
        self._enqueue([sweep])

    def _done(self, collection: Collection, change_token: ChangeToken | None) -> EditResult:
        revision = revision_reflecting(self._store, each, collection, change_token) if change_token else None
        return EditResult(
            actor_name=collection.id, revision=revision, reflects=change_token and encode_cursor(change_token)
        )


def _patience() -> RetryPolicy:
    end = time.monotonic() + PATIENCE_SECONDS
    return RetryPolicy(
        sleep=time.sleep,
        random=random.random,
        seconds_left=lambda: end - time.monotonic(),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


@contextmanager
def _told() -> Iterator[None]:
    """The package's errors as this API names them."""
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
