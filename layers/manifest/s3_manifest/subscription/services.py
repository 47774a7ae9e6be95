"""What a request of CloudFormation uses, and how it reports a request to AWS that failed."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage.store import ParallelMap, Store
from s3_manifest.subscription.retrying import RetriesExhausted, RetryPolicy, retry

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

T = TypeVar("T")

_LONGEST_WAIT_SECONDS = 5.0


class RequestFailed(Exception):
    """All attempts of a request to AWS failed; the message names the request and the cause."""


class Services(NamedTuple):
    """What a request uses.

    ``events`` makes its client on first use; ``store`` returns that of a bucket; ``warn`` logs a line.
    """

    s3: "S3Client"
    sqs: "SQSClient"
    events: Callable[[], "EventBridgeClient"]
    store: Callable[[str], Store]
    sweep_queue_url: str
    retry_policy: RetryPolicy
    parallel_map: ParallelMap
    now: Callable[[], Timestamp]
    warn: Callable[[str], None]

    def retry(self, action: str, attempt: Callable[[], T], permissions: str = "the action") -> T:
        """Repeats ``attempt`` until it succeeds. Raises ``RequestFailed``, and errors that waiting cannot cure."""
        try:
            return retry(attempt, self.retry_policy)
        except RetriesExhausted as error:
            remedy = f"; allow this role {permissions}, also in the organization's policies" if error.is_denied else ""
            raise RequestFailed(f"could not {action}: {error}{remedy}") from error

    def wait_until(self, moment: Timestamp) -> None:
        """Waits until a moment that is a few seconds away at most."""
        left = (datetime.fromisoformat(moment) - datetime.fromisoformat(self.now())).total_seconds()
        if left > 0:
            self.retry_policy.sleep(min(left, _LONGEST_WAIT_SECONDS))
