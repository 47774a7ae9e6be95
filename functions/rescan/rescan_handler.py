"""Lambda: the HTTP requests that ask for sweeps. It may put jobs into the sweep queue, and nothing else."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.http.rescan_routes import app
from s3_manifest.http.web import Answer, problem, resolve
from s3_manifest.manifest.jobs import JobsNotQueued

logger = Logger(service="rescan")


@app.exception_handler(JobsNotQueued)
def unavailable(error: JobsNotQueued) -> Answer:
    """503: some may be queued all the same, which does no harm."""
    logger.error("unavailable", reason=str(error))
    return problem(503, "not everything could be queued; ask again. The function's log says why")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes an HTTP API request (payload 2.0); the routes of ``s3_manifest.http.rescan_routes`` answer it."""
    return resolve(app, event, context)
