"""Lambda: jobs of the sweep queue in, manifests compared with S3."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.aws import runtime
from s3_manifest.aws.telemetry import count_commits, log_commit, metrics
from s3_manifest.manifest.jobs import JobsNotQueued, MalformedJob, decode_job
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.reconcile.announcements import AnnouncementFailed
from s3_manifest.storage.store import StoreError
from s3_manifest.sweep.sweep import SweepFailed, SweepResult, run_job

logger = Logger(service="sweep")

_FORESEEN = (SweepFailed, MalformedJob, StoreError, UnreadableManifest, AnnouncementFailed, JobsNotQueued)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Takes a batch of jobs from SQS: one message, as the template has it.

    Answers ``{"batchItemFailures": [{"itemIdentifier": …}]}``: those messages are delivered again.
    """
    failed = [record["messageId"] for record in event["Records"] if not _is_done(record, context)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _is_done(record: dict[str, Any], context: LambdaContext) -> bool:
    receives = int(record.get("attributes", {}).get("ApproximateReceiveCount", 2))
    # What is left at half time goes into a message of its own, lest it be cut off in the middle.
    half_time = context.get_remaining_time_in_millis() / 2000
    environment = runtime.environment(lambda: context.get_remaining_time_in_millis() / 1000)
    swept = SweepResult()
    try:
        run_job(environment, decode_job(record["body"]), half_time, repeated=receives > 1, swept=swept)
    except _FORESEEN as error:
        logger.error(  # noqa: TRY400  # foreseen: the reason says it all
            "failed", message_id=record["messageId"], attempt=receives, reason=str(error)
        )
        return False
    except Exception:
        logger.exception("crashed", message_id=record["messageId"], attempt=receives)
        return False
    finally:
        # What it mended before it failed is not found again.
        _log(swept)
        _measure(swept)
    return True


def _log(swept: SweepResult) -> None:
    collection = swept.collection.prefix if swept.collection else None
    for outcome in swept.results:
        log_commit(logger, outcome)
    if swept.drift:
        logger.warning(
            "drift",
            collection=collection,
            missing=swept.missing,
            unexpected=swept.unexpected,
            altered=swept.modified,
            keys=swept.drifted[:100],
        )
    if swept.repaired:
        logger.warning("repaired", collection=collection, objects=swept.repaired[:100])
    if swept.skipped:
        logger.warning("skipped", reason=swept.skipped)
    if swept.not_collected:
        logger.warning("no garbage was collected", collection=collection, reason=swept.not_collected)
    if swept.finished or swept.enqueued:
        logger.info(
            "swept" if swept.finished else "sweep goes on",
            collection=collection,
            progress=swept.progress and swept.progress.model_dump(exclude={"looks", "unreadable"}),
            enqueued=swept.enqueued,
            collected=swept.collected,
        )


def _measure(swept: SweepResult) -> None:
    with metrics("sweep") as told:
        count_commits(told, swept.results)
        told.add_metric("Drift", MetricUnit.Count, swept.drift)
        told.add_metric("DriftMissing", MetricUnit.Count, swept.missing)
        told.add_metric("DriftUnexpected", MetricUnit.Count, swept.unexpected)
        told.add_metric("DriftAltered", MetricUnit.Count, swept.modified)
        told.add_metric("Sweeps", MetricUnit.Count, int(swept.finished and swept.collection is not None))
