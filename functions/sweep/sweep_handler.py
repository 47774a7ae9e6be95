"""Lambda: jobs of the sweep queue in. A placeholder for the template: every job is handed back, and ends as dead."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Reports every message of a batch as failed."""
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in event["Records"]]}
