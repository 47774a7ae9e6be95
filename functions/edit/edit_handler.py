"""Lambda: the HTTP API that changes data in S3. It cannot write below the manifest root."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.http.app import resolve
from s3_manifest.http.edit_routes import app, logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers an HTTP API request (payload 2.0)."""
    return resolve(app, event, context)
