"""What the query function answers where it cannot answer what it was asked: a problem document each."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from s3_manifest.http.fetch import InvalidToken, NoSuchManifest
from s3_manifest.http.web import Answer, problem
from s3_manifest.manifest.collections import IdTooLong
from s3_manifest.manifest.jobs import JobsNotQueued
from s3_manifest.manifest.model import BrokenObjects, UnreadableManifest
from s3_manifest.query.actors import AmbiguousActor, NoSuchActor
from s3_manifest.query.cursors import InvalidCursor
from s3_manifest.query.history import HistoryGone, NoSuchRevision
from s3_manifest.query.reads import ManifestChanged
from s3_manifest.query.views import AnswerTooLarge
from s3_manifest.storage.store import ReadFailed


def answer_problems(app: APIGatewayHttpResolver, logger: Logger) -> None:
    """Lets the app answer each of these errors by its status, wherever it is raised."""

    def unavailable(error: Exception) -> Answer:
        """Not read is not the same as not there."""
        logger.error("unavailable", reason=str(error))
        if isinstance(error, BrokenObjects):
            return problem(
                503,
                "part of the manifest is missing or damaged. The next sweep repairs it from S3; to repair it now, POST"
                " a rescan of this collection. The function's log names the objects",
            )
        return problem(503, "the manifest cannot be read at the moment; the function's log says why")

    def not_queued(error: JobsNotQueued) -> Answer:
        """It may be queued all the same, which does no harm."""
        logger.error("unavailable", reason=str(error))
        return problem(503, "a sweep could not be asked for; ask again. The function's log says why")

    app.exception_handler([ReadFailed, UnreadableManifest])(unavailable)
    app.exception_handler(JobsNotQueued)(not_queued)
    app.exception_handler(InvalidCursor)(lambda error: problem(400, str(error), parameter="cursor"))
    app.exception_handler(InvalidToken)(lambda error: problem(400, str(error), parameter="reflects"))
    app.exception_handler([NoSuchManifest, NoSuchRevision, NoSuchActor, IdTooLong])(
        lambda error: problem(404, str(error))
    )
    app.exception_handler(AmbiguousActor)(lambda error: problem(409, str(error)))
    app.exception_handler(ManifestChanged)(_changed)
    app.exception_handler(HistoryGone)(lambda error: problem(410, str(error), oldest=error.oldest))
    app.exception_handler(AnswerTooLarge)(lambda error: problem(413, str(error)))


def _changed(error: ManifestChanged) -> Answer:
    return problem(409, f"{error}; begin again without a cursor", parameter="cursor")
