"""Lambda: the HTTP API that asks for sweeps. It can put jobs into the sweep queue, and nothing else."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.http.app import resolve
from s3_manifest.http.rescan_routes import app, logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers an HTTP API request (payload 2.0)."""
    return resolve(app, event, context)
