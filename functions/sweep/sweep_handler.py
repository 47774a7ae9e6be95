"""Lambda: runs the jobs of the sweep queue, which compare manifests with S3."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.aws import runtime
from s3_manifest.aws.messaging import receives
from s3_manifest.aws.telemetry import report_sweep
from s3_manifest.manifest.jobs import JobsNotQueued, MalformedJob, decode_job
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.reconcile.environment import AnnouncementFailed
from s3_manifest.storage.store import StoreError
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepFailed, SweepResult

logger = Logger(service="sweep")

_EXPECTED = (SweepFailed, MalformedJob, StoreError, UnreadableManifest, AnnouncementFailed, JobsNotQueued)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Runs a batch of jobs from SQS (the template delivers one message at a time).

    Returns ``{"batchItemFailures": [{"itemIdentifier": …}]}``: SQS delivers those messages again.
    """
    failed = [record["messageId"] for record in event["Records"] if not _succeeds(record, context)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _succeeds(record: dict[str, Any], context: LambdaContext) -> bool:
    attempt = receives(record.get("attributes", {}))
    # At half time the remainder goes into a new message, so that the function is not cut off in the middle.
    half_time = context.get_remaining_time_in_millis() / 2000
    environment = runtime.environment(lambda: context.get_remaining_time_in_millis() / 1000)
    result = SweepResult()
    try:
        run_job(environment, decode_job(record["body"]), half_time, repeated=attempt > 1, result=result)
    except _EXPECTED as error:
        logger.error(  # noqa: TRY400  # no traceback: the reason is complete
            "failed", message_id=record["messageId"], attempt=attempt, reason=str(error)
        )
        return False
    except Exception:
        logger.exception("crashed", message_id=record["messageId"], attempt=attempt)
        return False
    finally:
        # Also after a failure: the repeat does not find again what this attempt repaired.
        report_sweep(logger, result)
    return True
