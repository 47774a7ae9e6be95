"""The HTTP routes that change what is in S3: objects and sidecars, never a manifest."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query
from pydantic import Field, StrictBool, StrictStr, model_validator

from s3_manifest.aws import runtime
from s3_manifest.aws.threads import each
from s3_manifest.edits import edits, mutations
from s3_manifest.edits.mutations import edit_token
from s3_manifest.edits.uploads import Prompt
from s3_manifest.http import upload_routes
from s3_manifest.http.addressing import ID
from s3_manifest.http.api_docs import QUEUED, answers
from s3_manifest.http.edit_requests import (
    ChangeResponse,
    NoSuchCollection,
    actor_of,
    answered,
    check_not_cut_off,
    collection_of,
    etags,
    retry_policy,
)
from s3_manifest.http.web import ActorId, Answer, BadParameter, CollectionId, Kind, api, json_answer, path_of, problem
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import Frozen, timestamp
from s3_manifest.sidecars.formats import MAX_TITLE
from s3_manifest.storage.heads import is_there

app = api()
app.include_router(upload_routes.router)

MAX_FILES = 1000
"""Of one PATCH: each is looked at in S3 before any is edited."""


class FileUpdate(Frozen):
    """What is to be said of a file; null takes a field out, one that is left out stays as it is."""

    good: StrictBool | None = Field(default=None, description="Whether it is fit for training")
    prompt: Prompt | None = None
    labels: Annotated[tuple[Annotated[StrictStr, Field(max_length=200)], ...], Field(max_length=100)] | None = None
    hidden: StrictBool | None = Field(default=None, description="Whether it is left out of the manifest's files")

    @model_validator(mode="after")
    def _says_something(self) -> "FileUpdate":
        if not self.model_fields_set:
            raise ValueError(f"give at least one of {', '.join(type(self).model_fields)}")
        return self

    def said(self) -> Mapping[str, Any]:
        """The fields that were given."""
        return self.model_dump(mode="json", include=self.model_fields_set - {"files"})


class FilesUpdate(FileUpdate):
    """What is to be said of many files, by filename; or, with ``?filename=``, of that one, without ``files``."""

    files: Mapping[str, FileUpdate] | None = Field(default=None, min_length=1, max_length=MAX_FILES)

    @model_validator(mode="after")
    def _says_something(self) -> "FilesUpdate":
        return self  # by_filename knows what

    def by_filename(self, filename: str | None) -> Mapping[str, FileUpdate]:
        """The changes of each file. Raises ``BadParameter`` where they are neither of one file nor of many."""
        if filename is None:
            others = self.model_fields_set - {"files"}
            if self.files is None or others:
                name = min(others, default="files")
                raise BadParameter(name, f"{name}: without ?filename=, the body has 'files', and nothing else")
            return self.files
        if "files" in self.model_fields_set:
            raise BadParameter("files", "files: with ?filename=, the body is what to say of that file")
        if not self.model_fields_set:
            raise BadParameter("body", f"give at least one of {', '.join(FileUpdate.model_fields)}")
        return {filename: self}


class TitleUpdate(Frozen):
    """The collection's title; null takes it out."""

    title: Annotated[StrictStr, Field(max_length=MAX_TITLE)] | None


class DeleteFileResponse(ChangeResponse):
    """``deleted``: the object is gone from S3. ``hidden``: it stays, and is not among the manifest's files."""

    filename: str
    s3_key: str
    deleted: bool
    hidden: bool


class UpdateFilesResponse(ChangeResponse):
    """The sidecar that says so now, and of which files; ``attempts`` of writing it: 0 where it said so already."""

    s3_key: str
    etag: str
    attempts: int
    files: tuple[str, ...]


class SetTitleResponse(ChangeResponse):
    """The title that the collection has now."""

    title: str | None


class DeleteCollectionResponse(ChangeResponse):
    """How many objects were ``deleted``, or files ``hidden``. Unless it is ``complete``, repeat the request.

    ``kept`` are some of the keys that were written anew meanwhile.
    """

    deleted: int
    hidden: int
    kept: tuple[str, ...]
    complete: bool


Filename = Annotated[
    str,
    Path(
        description="The path below the collection's prefix, with its slashes. A name that gateways pass on in"
        " different ways, as one with '%', is refused: the query parameter 'filename' names any"
    ),
]
ExactFilename = Annotated[
    str, Query(alias="filename", min_length=1, description="The path below the collection's prefix, whatever it holds")
]
OneFilename = Annotated[
    str | None,
    Query(alias="filename", min_length=1, description="Only this file: the body is then what to say of it"),
]
IfMatch = Annotated[str | None, Header(alias="if-match", description="ETags: 412 unless the object has one of them")]
FromS3 = Annotated[
    bool, Query(description="Whether to delete the object; else it stays in S3, and is hidden, which can be undone")
]
Confirm = Annotated[str, Query(description="The full id of the collection: the deletion is meant")]
OneChange = Annotated[FileUpdate, Body()]
ManyChanges = Annotated[FilesUpdate, Body()]

_DELETES_ONE = answers({200: DeleteFileResponse}, 400, 404, 409, 412, 413, 503)
_DELETES_ALL = answers({200: DeleteCollectionResponse}, 400, 404, 409, 413, 503)
_AMENDS = answers({200: UpdateFilesResponse}, 400, 404, 409, 413, 503)
_RETITLES = answers({200: SetTitleResponse}, 400, 404, 409, 413, 503)


@app.delete(
    "/api/training-data/<actor_id>/images/<filename>",
    summary="Hide or delete an image, named in the path",
    responses=_DELETES_ONE,
)
def delete_image_by_path(
    actor_id: ActorId, filename: Filename, delete_from_s3: FromS3 = False, if_match: IfMatch = None
) -> Answer:
    """Of an actor: see the route for any collection."""
    collection = actor_of(actor_id)
    return _deleted(collection, _in_path(collection, filename), delete_from_s3, if_match)


@app.delete("/api/training-data/<actor_id>/images", summary="Hide or delete an image", responses=_DELETES_ONE)
def delete_image(
    actor_id: ActorId, filename: ExactFilename, delete_from_s3: FromS3 = False, if_match: IfMatch = None
) -> Answer:
    """Of an actor: see the route for any collection."""
    return _deleted(actor_of(actor_id), filename, delete_from_s3, if_match)


@app.delete(
    "/api/manifests/<kind>/<collection_id>/files/<filename>",
    summary="Hide or delete a file, named in the path",
    responses=_DELETES_ONE,
)
def delete_file_by_path(
    kind: Kind,
    collection_id: CollectionId,
    filename: Filename,
    delete_from_s3: FromS3 = False,
    if_match: IfMatch = None,
) -> Answer:
    """As with ``?filename=``, for names that every gateway passes on alike; 400, or 409, for others."""
    collection = collection_of(kind, collection_id)
    return _deleted(collection, _in_path(collection, filename), delete_from_s3, if_match)


@app.delete("/api/manifests/<kind>/<collection_id>/files", summary="Hide or delete a file", responses=_DELETES_ONE)
def delete_file(
    kind: Kind,
    collection_id: CollectionId,
    filename: ExactFilename,
    delete_from_s3: FromS3 = False,
    if_match: IfMatch = None,
) -> Answer:
    """Hidden, it stays in S3 and is no more among the manifest's files; ``PATCH`` of ``{"hidden": false}`` undoes it.

    Deleted, what ``prompt_metadata.json`` says of it is taken out too; captions beside it
    stay. 409, or 412 with ``If-Match``: a newer upload is there, and nothing was deleted.
    """
    return _deleted(collection_of(kind, collection_id), filename, delete_from_s3, if_match)


@app.delete("/api/training-data/<actor_id>", summary="Hide or delete all of an actor's images", responses=_DELETES_ALL)
def delete_training_data(actor_id: ActorId, confirm: Confirm, delete_from_s3: FromS3 = False) -> Answer:
    """See the route for any collection."""
    return _emptied(actor_of(actor_id), confirm, delete_from_s3)


@app.delete("/api/manifests/<kind>/<collection_id>", summary="Hide or delete all files", responses=_DELETES_ALL)
def delete_collection(
    kind: Kind, collection_id: CollectionId, confirm: Confirm, delete_from_s3: FromS3 = False
) -> Answer:
    """Deleted are all objects of the collection, captions and sidecars too, but not what is uploaded meanwhile.

    It deletes for as long as one request may take: repeat it until it is ``complete``.
    """
    return _emptied(collection_of(kind, collection_id), confirm, delete_from_s3)


@app.patch(
    "/api/actors/<actor_id>/training-data/<filename>", summary="Say something of an actor's image", responses=_AMENDS
)
def patch_image(actor_id: ActorId, filename: Filename, change: OneChange) -> Answer:
    """See the route for any collection."""
    collection = actor_of(actor_id)
    return _amended(collection, {_in_path(collection, filename): change})


@app.patch("/api/styles/<style_id>/images/<filename>", summary="Say something of a style's image", responses=_AMENDS)
def patch_style_image(style_id: CollectionId, filename: Filename, change: OneChange) -> Answer:
    """See the route for any collection."""
    return patch_file("style", style_id, filename, change)


@app.patch(
    "/api/manifests/<kind>/<collection_id>/files/<filename>", summary="Say something of a file", responses=_AMENDS
)
def patch_file(kind: Kind, collection_id: CollectionId, filename: Filename, change: OneChange) -> Answer:
    """Set in ``prompt_metadata.json`` by compare-and-swap: of edits that are made at once none is lost.

    404: no such file is in S3. 400, or 409: the path can be read in two ways; name the file by ``?filename=``.
    """
    collection = collection_of(kind, collection_id)
    return _amended(collection, {_in_path(collection, filename): change})


@app.patch("/api/actors/<actor_id>/training-data", summary="Say something of an actor's images", responses=_AMENDS)
def patch_images(actor_id: ActorId, changes: ManyChanges, filename: OneFilename = None) -> Answer:
    """See the route for any collection."""
    return _amended(actor_of(actor_id), changes.by_filename(filename))


@app.patch("/api/styles/<style_id>/images", summary="Say something of a style's images", responses=_AMENDS)
def patch_style_images(style_id: CollectionId, changes: ManyChanges, filename: OneFilename = None) -> Answer:
    """See the route for any collection."""
    return patch_files("style", style_id, changes, filename)


@app.patch("/api/manifests/<kind>/<collection_id>/files", summary="Say something of files", responses=_AMENDS)
def patch_files(kind: Kind, collection_id: CollectionId, changes: ManyChanges, filename: OneFilename = None) -> Answer:
    """Of many, or of the one that ``?filename=`` names: in one edit, or none. 404 names the first that is not in S3."""
    return _amended(collection_of(kind, collection_id), changes.by_filename(filename))


@app.patch("/api/styles/<style_id>", summary="Set a style's title", responses=_RETITLES)
def patch_style(style_id: CollectionId, titled: Annotated[TitleUpdate, Body()]) -> Answer:
    """See the route for any collection."""
    return patch_collection("style", style_id, titled)


@app.patch("/api/manifests/<kind>/<collection_id>", summary="Set a collection's title", responses=_RETITLES)
def patch_collection(kind: Kind, collection_id: CollectionId, titled: Annotated[TitleUpdate, Body()]) -> Answer:
    """In its ``collection.json``. 404: there is nothing in the collection."""
    collection, store = collection_of(kind, collection_id), runtime.store()
    if ID not in app.current_event.query_string_parameters:
        check_not_cut_off(runtime.collections().begins(collection))
    if not is_there(store, runtime.collections(), collection):
        raise NoSuchCollection(f"there is no {collection.kind} {collection.id}")
    edited = edits.set_title(store, collection, titled.title, retry_policy(app.lambda_context))
    return answered(collection, edit_token(edited), title=titled.title)


@app.post(
    "/api/training-data/<actor_id>/rescan",
    summary="Compare an actor's images with what is in S3",
    responses=answers({202: QUEUED}, 400, 404, 409, 503),
)
def post_actor_rescan(actor_id: ActorId) -> Answer:
    """202: it is queued, as by ``POST /api/manifests/actor/…/rescan``."""
    collection, requested_at = actor_of(actor_id), timestamp(datetime.now(UTC))
    runtime.enqueue([Sweep(kind=collection.kind, id=collection.id)])
    queued = {"status": "queued", "collections": 1, "manifest": path_of(collection), "requested_at": requested_at}
    return json_answer(202, queued)


def _in_path(collection: Collection, filename: str) -> str:
    """The filename that a path names. Raises ``AmbiguousPath``."""
    named = unquote(filename)
    check_not_cut_off(collection.prefix + named)
    return named


def _deleted(collection: Collection, filename: str, delete_from_s3: bool, if_match: str | None) -> Answer:
    if "confirm" in app.current_event.query_string_parameters:
        # An id with a '/' in it, decoded on its way, makes the path of a file.
        raise BadParameter("confirm", "confirm: it deletes a whole collection, and this path names a file")
    where = runtime.store(), runtime.collections(), collection, filename, etags(if_match)
    if delete_from_s3:
        deleted, change_token = mutations.delete_file(*where, retry_policy(app.lambda_context))
    else:
        deleted, change_token = False, edit_token(mutations.hide_file(*where, retry_policy(app.lambda_context)))
    done = {"filename": filename, "s3_key": collection.prefix + filename, "deleted": deleted}
    return answered(collection, change_token, **done, hidden=not delete_from_s3)


def _emptied(collection: Collection, confirm: str, delete_from_s3: bool) -> Answer:
    store = runtime.store()
    if confirm != collection.id:
        detail = f"confirm: to delete all of {collection.prefix}, it has to be {collection.id}"
        return problem(400, detail, parameter="confirm")
    if not is_there(store, runtime.collections(), collection):
        raise NoSuchCollection(f"there is no {collection.kind} {collection.id}")
    if not delete_from_s3:
        hidden, edited = mutations.hide_all(store, runtime.collections(), collection, retry_policy(app.lambda_context))
        return answered(collection, edit_token(edited), deleted=0, hidden=hidden, kept=[], complete=True)
    found = mutations.delete_all(store, runtime.collections(), collection, retry_policy(app.lambda_context))
    done = {"deleted": found.deleted, "hidden": 0, "kept": found.kept[:100], "complete": found.complete}
    return answered(collection, found.change_token, **done)


def _amended(collection: Collection, changes: Mapping[str, FileUpdate]) -> Answer:
    said = {filename: change.said() for filename, change in changes.items()}
    edited = mutations.update_files(
        runtime.store(), runtime.collections(), each, collection, said, retry_policy(app.lambda_context)
    )
    done = {"s3_key": edited.s3_key, "etag": edited.etag, "attempts": edited.attempts, "files": list(said)}
    return answered(collection, edit_token(edited), **done)
