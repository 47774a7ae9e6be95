"""Lambda: the HTTP requests that change what is in S3. It may not write below the manifest root."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.edits.edits import InvalidEdit, SidecarTooLarge, TooManyConflicts, UnreadableSidecar
from s3_manifest.edits.mutations import EtagMismatch, NewerUpload, NoSuchFile, TooManyFiles
from s3_manifest.http.edit_requests import AmbiguousPath, NoSuchCollection
from s3_manifest.http.edit_routes import app
from s3_manifest.http.web import Answer, problem, resolve
from s3_manifest.manifest.collections import IdTooLong
from s3_manifest.manifest.jobs import JobsNotQueued
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.query.actors import AmbiguousActor, NoSuchActor
from s3_manifest.storage.store import StoreError

logger = Logger(service="edit")


@app.exception_handler([NoSuchActor, NoSuchCollection, NoSuchFile, IdTooLong])
def not_there(error: Exception) -> Answer:
    """404: there is none; nothing was changed."""
    return problem(404, str(error))


@app.exception_handler([AmbiguousActor, AmbiguousPath, NewerUpload, UnreadableSidecar])
def conflict(error: Exception) -> Answer:
    """409: what is there is not what it takes; nothing was changed."""
    return problem(409, str(error))


@app.exception_handler(InvalidEdit)
def not_as_wanted(error: InvalidEdit) -> Answer:
    """400: what was to be written would be read otherwise, or not at all; nothing was changed."""
    return problem(400, str(error), parameter="body")


@app.exception_handler(EtagMismatch)
def precondition_failed(error: EtagMismatch) -> Answer:
    """412: ``If-Match`` names another object; nothing was changed."""
    return problem(412, str(error), parameter="if-match")


@app.exception_handler([SidecarTooLarge, TooManyFiles])
def too_large(error: Exception) -> Answer:
    """413: it does not fit into a sidecar; that was not changed."""
    return problem(413, str(error))


@app.exception_handler(TooManyConflicts)
def busy(error: TooManyConflicts) -> Answer:
    """503: it may be done the next time, and does no harm if it was done already."""
    logger.warning("busy", reason=str(error))
    return _try_again(str(error))


@app.exception_handler([StoreError, UnreadableManifest, JobsNotQueued])
def unavailable(error: Exception) -> Answer:
    """503: S3 or SQS did not answer with a fact. A repeat goes on where this ended."""
    logger.error("unavailable", reason=str(error))
    return _try_again("S3 or the queue did not do it; repeat the request. The function's log says why")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes an HTTP API request (payload 2.0); the routes of ``s3_manifest.http.edit_routes`` answer it."""
    return resolve(app, event, context)


def _try_again(detail: str) -> Answer:
    answer = problem(503, detail)
    answer.headers["Retry-After"] = "1"
    return answer
