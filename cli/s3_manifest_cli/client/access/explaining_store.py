"""A bucket for the client: where S3 refuses a HEAD without a reason, a GET fetches the reason.

The answer to a HEAD has no body, and so no error code: an expired session, a wrong region, a denied permission and an
object with a customer's key are all 400 or 403. https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

from typing import TYPE_CHECKING

from s3_manifest.storage.aws_errors import AWS_ERRORS, parse_fault
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Fault, HeadResult, ReadFailed
from s3_manifest_cli.client.access.explanations import explain
from s3_manifest_cli.client.access.s3_errors import read_error

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


class ExplainingStore(S3Store):
    """One bucket, as ``S3Store``. Makes an extra request only if a HEAD is refused."""

    def __init__(self, bucket: str, reads: "S3Client", writes: "S3Client") -> None:
        super().__init__(bucket, reads, writes)
        self._client = reads
        self._general_faults: dict[int, Fault] = {}

    def head(self, key: str) -> HeadResult:
        """Observes ``key``. Raises ``ReadFailed``, with S3's error code where a GET returns one."""
        try:
            return super().head(key)
        except ReadFailed as error:
            if error.fault is None or error.fault.code or not error.fault.status:
                raise
            fault = self._general_faults.get(error.fault.status) or self._find_code(key, error.fault)
            raise read_error(key, fault, is_conditional=False) from error

    def _find_code(self, key: str, fault: Fault) -> Fault:
        try:
            self._client.get_object(Bucket=self.bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except AWS_ERRORS as error:
            answer = parse_fault(error)
            if answer.code and answer.status != 404:
                fault = answer
        if explain(fault).is_general:
            # It is the same for every key.
            self._general_faults[fault.status] = fault
        return fault
