"""The routes that change S3: objects and sidecars, never a manifest."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query

from s3_manifest.aws import runtime
from s3_manifest.edits.collection_editor import EtagMismatch, NewerUpload, NoSuchFile, TooManyFiles
from s3_manifest.edits.collection_json import set_title
from s3_manifest.edits.sidecar_editor import InvalidEdit, SidecarTooLarge, TooManyConflicts, UnreadableSidecar
from s3_manifest.http import edit_requests, upload_routes
from s3_manifest.http.addressing import ID
from s3_manifest.http.app import (
    ActorId,
    CollectionId,
    HttpResponse,
    Kind,
    NoSuchCollection,
    actor_in_path,
    answer_errors,
    answer_unavailable,
    collection_in_path,
    etags_in,
    new_app,
    path_of,
    problem,
    queue,
)
from s3_manifest.http.edit_requests import (
    FilesUpdate,
    FileUpdate,
    TitleUpdate,
    change_response,
    check_not_truncated,
    editor_of,
)
from s3_manifest.http.openapi import QUEUED, responses
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import JobsNotQueued, Sweep
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.query.actors import AmbiguousActor, NoSuchActor
from s3_manifest.query.cursors import BadParameter
from s3_manifest.storage.heads import exists
from s3_manifest.storage.store import StoreError

_RETRY = {"Retry-After": "1"}

logger = Logger(service="edit")
app = new_app()
app.include_router(upload_routes.router)
answer_errors(app, 400, InvalidEdit, parameter="body")
answer_errors(app, 404, NoSuchActor, NoSuchFile)
answer_errors(app, 409, AmbiguousActor, edit_requests.AmbiguousPath, NewerUpload, UnreadableSidecar)
answer_errors(app, 412, EtagMismatch, parameter="if-match")
answer_errors(app, 413, SidecarTooLarge, TooManyFiles)
answer_unavailable(
    app,
    logger,
    [StoreError, UnreadableManifest, JobsNotQueued],
    "S3 or the queue failed. Repeat the request; the function's log has the cause",
    _RETRY,
)


def conflicts(error: TooManyConflicts) -> HttpResponse:
    """503: a repeat may succeed, and does no harm if the edit was made."""
    logger.warning("busy", reason=str(error))
    return problem(503, str(error), _RETRY)


app.exception_handler(TooManyConflicts)(conflicts)

Filename = Annotated[
    str,
    Path(
        description="The path below the collection's prefix, with its slashes. A name that gateways pass on in"
        " different ways, such as one with '%', is refused: pass it in the query parameter 'filename'"
    ),
]
ExactFilename = Annotated[
    str, Query(alias="filename", min_length=1, description="The path below the collection's prefix; any name")
]
OnlyFilename = Annotated[
    str | None,
    Query(alias="filename", min_length=1, description="Only this file; the body is then the update of this file"),
]
IfMatch = Annotated[str | None, Header(alias="if-match", description="ETags: 412 unless the object has one of them")]
DeleteFromS3 = Annotated[
    bool, Query(description="Whether to delete the object. Otherwise it stays in S3 and is hidden, which can be undone")
]
Confirm = Annotated[str, Query(description="The full id of the collection, as a confirmation")]

_DELETE_FILE = responses({200: edit_requests.DeleteFileResponse}, 400, 404, 409, 412, 413, 503)
_DELETE_COLLECTION = responses({200: edit_requests.DeleteCollectionResponse}, 400, 404, 409, 413, 503)
_UPDATE_FILES = responses({200: edit_requests.UpdateFilesResponse}, 400, 404, 409, 413, 503)
_SET_TITLE = responses({200: edit_requests.SetTitleResponse}, 400, 404, 409, 413, 503)


@app.delete(
    "/api/training-data/<actor_id>/images/<filename>",
    summary="Hide or delete an image, named in the path",
    responses=_DELETE_FILE,
)
def delete_image_by_path(
    actor_id: ActorId, filename: Filename, delete_from_s3: DeleteFromS3 = False, if_match: IfMatch = None
) -> HttpResponse:
    """See the route of collections."""
    collection = actor_in_path(actor_id)
    return _delete_file(collection, _in_path(collection, filename), delete_from_s3, if_match)


@app.delete("/api/training-data/<actor_id>/images", summary="Hide or delete an image", responses=_DELETE_FILE)
def delete_image(
    actor_id: ActorId, filename: ExactFilename, delete_from_s3: DeleteFromS3 = False, if_match: IfMatch = None
) -> HttpResponse:
    """See the route of collections."""
    return _delete_file(actor_in_path(actor_id), filename, delete_from_s3, if_match)


@app.delete(
    "/api/manifests/<kind>/<collection_id>/files/<filename>",
    summary="Hide or delete a file, named in the path",
    responses=_DELETE_FILE,
)
def delete_file_by_path(
    kind: Kind,
    collection_id: CollectionId,
    filename: Filename,
    delete_from_s3: DeleteFromS3 = False,
    if_match: IfMatch = None,
) -> HttpResponse:
    """As with ``?filename=``, but only for names that every gateway passes on unchanged; 400 or 409 for others."""
    collection = collection_in_path(kind, collection_id)
    return _delete_file(collection, _in_path(collection, filename), delete_from_s3, if_match)


@app.delete("/api/manifests/<kind>/<collection_id>/files", summary="Hide or delete a file", responses=_DELETE_FILE)
def delete_file(
    kind: Kind,
    collection_id: CollectionId,
    filename: ExactFilename,
    delete_from_s3: DeleteFromS3 = False,
    if_match: IfMatch = None,
) -> HttpResponse:
    """A hidden file stays in S3, but not among the manifest's files; ``PATCH`` with ``{"hidden": false}`` undoes it.

    A deleted file is removed from ``prompt_metadata.json`` too; captions beside it stay. 409, or 412 with
    ``If-Match``: the object was replaced by a newer upload, and nothing was deleted.
    """
    return _delete_file(collection_in_path(kind, collection_id), filename, delete_from_s3, if_match)


@app.delete(
    "/api/training-data/<actor_id>", summary="Hide or delete all images of an actor", responses=_DELETE_COLLECTION
)
def delete_training_data(actor_id: ActorId, confirm: Confirm, delete_from_s3: DeleteFromS3 = False) -> HttpResponse:
    """See the route of collections."""
    return _delete_collection(actor_in_path(actor_id), confirm, delete_from_s3)


@app.delete("/api/manifests/<kind>/<collection_id>", summary="Hide or delete all files", responses=_DELETE_COLLECTION)
def delete_collection(
    kind: Kind, collection_id: CollectionId, confirm: Confirm, delete_from_s3: DeleteFromS3 = False
) -> HttpResponse:
    """With ``delete_from_s3`` all objects are deleted, captions and sidecars too, except those uploaded meanwhile.

    A request deletes for as long as it may run: repeat it until it is ``complete``.
    """
    return _delete_collection(collection_in_path(kind, collection_id), confirm, delete_from_s3)


@app.patch(
    "/api/actors/<actor_id>/training-data/<filename>", summary="Update an actor's image", responses=_UPDATE_FILES
)
def patch_image(actor_id: ActorId, filename: Filename, update: FileUpdate) -> HttpResponse:
    """See the route of collections."""
    collection = actor_in_path(actor_id)
    return _update_files(collection, {_in_path(collection, filename): update})


@app.patch("/api/styles/<style_id>/images/<filename>", summary="Update a style's image", responses=_UPDATE_FILES)
def patch_style_image(style_id: CollectionId, filename: Filename, update: FileUpdate) -> HttpResponse:
    """See the route of collections."""
    return patch_file("style", style_id, filename, update)


@app.patch("/api/manifests/<kind>/<collection_id>/files/<filename>", summary="Update a file", responses=_UPDATE_FILES)
def patch_file(kind: Kind, collection_id: CollectionId, filename: Filename, update: FileUpdate) -> HttpResponse:
    """Sets fields in ``prompt_metadata.json`` by compare-and-swap: concurrent edits are never lost.

    404: the file is not in S3. 400 or 409: the path is ambiguous; name the file with ``?filename=``.
    """
    collection = collection_in_path(kind, collection_id)
    return _update_files(collection, {_in_path(collection, filename): update})


@app.patch("/api/actors/<actor_id>/training-data", summary="Update an actor's images", responses=_UPDATE_FILES)
def patch_images(actor_id: ActorId, updates: FilesUpdate, filename: OnlyFilename = None) -> HttpResponse:
    """See the route of collections."""
    return _update_files(actor_in_path(actor_id), updates.by_filename(filename))


@app.patch("/api/styles/<style_id>/images", summary="Update a style's images", responses=_UPDATE_FILES)
def patch_style_images(style_id: CollectionId, updates: FilesUpdate, filename: OnlyFilename = None) -> HttpResponse:
    """See the route of collections."""
    return patch_files("style", style_id, updates, filename)


@app.patch("/api/manifests/<kind>/<collection_id>/files", summary="Update files", responses=_UPDATE_FILES)
def patch_files(
    kind: Kind, collection_id: CollectionId, updates: FilesUpdate, filename: OnlyFilename = None
) -> HttpResponse:
    """Updates many files, or only ``?filename=``; all or none. A 404 names the first file that is not in S3."""
    return _update_files(collection_in_path(kind, collection_id), updates.by_filename(filename))


@app.patch("/api/styles/<style_id>", summary="Set a style's title", responses=_SET_TITLE)
def patch_style(style_id: CollectionId, update: TitleUpdate) -> HttpResponse:
    """See the route of collections."""
    return patch_collection("style", style_id, update)


@app.patch("/api/manifests/<kind>/<collection_id>", summary="Set a collection's title", responses=_SET_TITLE)
def patch_collection(kind: Kind, collection_id: CollectionId, update: TitleUpdate) -> HttpResponse:
    """Sets the title in ``collection.json``. 404: the collection is empty."""
    collection = collection_in_path(kind, collection_id)
    if ID not in app.current_event.query_string_parameters:
        check_not_truncated(collection, runtime.collections().id_prefix(collection))
    _check_exists(collection)
    edit = set_title(editor_of(collection, app.lambda_context).sidecars, update.title)
    return change_response(collection, edit.token, title=update.title)


@app.post(
    "/api/training-data/<actor_id>/rescan",
    summary="Compare an actor's images with S3",
    responses=responses({202: QUEUED}, 400, 404, 409, 503),
)
def post_actor_rescan(actor_id: ActorId) -> HttpResponse:
    """202: queued, as with ``POST /api/manifests/actor/…/rescan``."""
    collection = actor_in_path(actor_id)
    return queue([Sweep(kind=collection.kind, id=collection.id)], 1, path_of(collection))


def _in_path(collection: Collection, filename: str) -> str:
    """The filename that a path names. Raises ``AmbiguousPath``."""
    decoded = unquote(filename)
    check_not_truncated(collection, collection.prefix + decoded)
    return decoded


def _check_exists(collection: Collection) -> None:
    if not exists(runtime.store(collection), runtime.collections(), collection):
        raise NoSuchCollection(f"{collection.kind} {collection.id} is empty")


def _delete_file(collection: Collection, filename: str, delete_from_s3: bool, if_match: str | None) -> HttpResponse:
    if "confirm" in app.current_event.query_string_parameters:
        # An id with a '/', decoded by a gateway, becomes the path of a file.
        raise BadParameter("confirm", "confirm: only for deleting a collection, and this path names a file")
    editor, etags = editor_of(collection, app.lambda_context), frozenset(etags_in(if_match))
    if delete_from_s3:
        deleted, token = editor.delete_file(filename, etags)
    else:
        deleted, token = False, editor.update_files({filename: {"hidden": True}}, etags).token
    fields = {"filename": filename, "s3_key": collection.prefix + filename, "deleted": deleted}
    return change_response(collection, token, **fields, hidden=not delete_from_s3)


def _delete_collection(collection: Collection, confirm: str, delete_from_s3: bool) -> HttpResponse:
    if confirm != collection.id:
        raise BadParameter("confirm", f"confirm: to delete all of {collection.prefix}, pass confirm={collection.id}")
    _check_exists(collection)
    editor = editor_of(collection, app.lambda_context)
    if not delete_from_s3:
        hidden, edit = editor.hide_all()
        return change_response(collection, edit.token, deleted=0, hidden=hidden, kept=[], complete=True)
    result = editor.delete_all()
    fields = {"deleted": result.deleted, "hidden": 0, "kept": result.kept[:100], "complete": result.complete}
    return change_response(collection, result.change_token, **fields)


def _update_files(collection: Collection, updates: Mapping[str, FileUpdate]) -> HttpResponse:
    fields = {filename: update.model_dump(mode="json", exclude_unset=True) for filename, update in updates.items()}
    edit = editor_of(collection, app.lambda_context).update_files(fields)
    return change_response(
        collection, edit.token, s3_key=edit.s3_key, etag=edit.etag, attempts=edit.attempts, files=list(fields)
    )
