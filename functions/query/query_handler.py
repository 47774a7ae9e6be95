"""Lambda: the HTTP API that answers from manifests. It reads, and may ask for sweeps; it cannot write."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.http.app import resolve
from s3_manifest.http.query_app import app, logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers an HTTP API request (payload 2.0)."""
    return resolve(app, event, context)
