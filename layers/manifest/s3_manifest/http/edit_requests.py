"""What the routes that change S3 share: who is edited, request and response models, and the response itself."""

from collections.abc import Mapping
from typing import Annotated, Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field, StrictBool, StrictStr, model_validator

from s3_manifest.aws import runtime
from s3_manifest.aws.threads import parallel_map
from s3_manifest.edits.collection_editor import CollectionEditor
from s3_manifest.edits.sidecar_editor import RetryPolicy
from s3_manifest.edits.uploads import Prompt
from s3_manifest.http.app import HttpResponse, json_response, path_of
from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection
from s3_manifest.manifest.model import Frozen
from s3_manifest.query.change_token import ChangeToken, revision_reflecting
from s3_manifest.query.cursors import BadParameter, encode_cursor
from s3_manifest.query.waiting import MAX_WAIT_SECONDS
from s3_manifest.sidecars.formats import MAX_TITLE
from s3_manifest.storage.snapshot import Snapshot

MAX_FILES = 1000
"""The limit of one PATCH: every file is looked up in S3 before any is edited."""


class AmbiguousPath(Exception):
    """The path may be the start of the name of another object; nothing was changed."""


class FileUpdate(Frozen):
    """New values of the fields of a file; null removes a field, and omitted fields stay as they are."""

    good: StrictBool | None = Field(default=None, description="Whether the file is fit for training")
    prompt: Prompt | None = None
    labels: Annotated[tuple[Annotated[StrictStr, Field(max_length=200)], ...], Field(max_length=100)] | None = None
    hidden: StrictBool | None = Field(default=None, description="Whether to leave it out of the manifest's files")

    @model_validator(mode="after")
    def _has_fields(self) -> "FileUpdate":
        if not self.model_fields_set:
            raise ValueError(f"set at least one of {', '.join(type(self).model_fields)}")
        return self


class FilesUpdate(FileUpdate):
    """Updates by filename in ``files``; or, with ``?filename=``, the update of that file, without ``files``."""

    files: Mapping[str, FileUpdate] | None = Field(default=None, min_length=1, max_length=MAX_FILES)

    @model_validator(mode="after")
    def _has_fields(self) -> "FilesUpdate":
        return self  # by_filename checks it

    def by_filename(self, filename: str | None) -> Mapping[str, FileUpdate]:
        """The updates by filename. Raises ``BadParameter`` for a mixture of the two forms."""
        if filename is None:
            others = self.model_fields_set - {"files"}
            if self.files is None or others:
                name = min(others, default="files")
                raise BadParameter(name, f"{name}: without ?filename=, the body must have 'files' and nothing else")
            return self.files
        if "files" in self.model_fields_set:
            raise BadParameter("files", "files: with ?filename=, the body must be the update of that file")
        if not self.model_fields_set:
            raise BadParameter("body", f"set at least one of {', '.join(FileUpdate.model_fields)}")
        return {filename: self}


class TitleUpdate(Frozen):
    """The new title of the collection; null removes it."""

    title: Annotated[StrictStr, Field(max_length=MAX_TITLE)] | None


class ChangeResponse(Frozen):
    """Whether the manifest reflects the change. If not yet, GET ``manifest``, which waits for it.

    ``revision`` is a revision that reflects the change, or null; ``reflects`` is a token for ``?reflects=``.
    """

    revision: int | None
    reflected: bool
    reflects: str | None
    manifest: str


class DeleteFileResponse(ChangeResponse):
    """``deleted``: the object is deleted from S3. ``hidden``: it stays, but not among the manifest's files."""

    filename: str
    s3_key: str
    deleted: bool
    hidden: bool


class UpdateFilesResponse(ChangeResponse):
    """The sidecar that has the updates, and the files. ``attempts`` of writing it: 0 if it had them already."""

    s3_key: str
    etag: str
    attempts: int
    files: tuple[str, ...]


class SetTitleResponse(ChangeResponse):
    """The title of the collection."""

    title: str | None


class DeleteCollectionResponse(ChangeResponse):
    """How many objects were ``deleted``, or files ``hidden``. Repeat the request until it is ``complete``.

    ``kept`` are some of the keys of objects that were replaced during the request.
    """

    deleted: int
    hidden: int
    kept: tuple[str, ...]
    complete: bool


def editor_of(collection: Collection, context: LambdaContext) -> CollectionEditor:
    """An editor that retries for as long as the invocation may run."""
    policy = RetryPolicy(seconds_left=lambda: context.get_remaining_time_in_millis() / 1000)
    return CollectionEditor(runtime.store(collection), runtime.collections(), collection, parallel_map, policy)


def change_response(collection: Collection, token: ChangeToken | None, **fields: Any) -> HttpResponse:  # noqa: ANN401  # any JSON
    """200, with the fields of the change, and whether the manifest reflects it; usually it does not yet."""
    snapshot = Snapshot(runtime.store(collection), parallel_map, collection)
    revision = revision_reflecting(snapshot, token) if token else None
    cursor = encode_cursor(token) if token else None
    manifest = path_of(collection, {"reflects": cursor, "wait": MAX_WAIT_SECONDS} if cursor else {})
    reflection = {"revision": revision, "reflected": revision is not None, "reflects": cursor, "manifest": manifest}
    return json_response(fields | reflection)


def check_not_truncated(collection: Collection, key: str) -> None:
    """Raises ``AmbiguousPath`` if the path may be truncated: an HTTP API decodes it and cuts it at a ``?``."""
    if len(key.encode()) >= MAX_KEY_BYTES:
        return
    if keys := runtime.store(collection).list(f"{key}?", limit=1).keys:
        raise AmbiguousPath(
            f"path: a gateway may have truncated the path of {keys[0]} at its '?'. Name the object in the query:"
            " ?filename=…, with '-' in place of the id and ?id=…"
        )
