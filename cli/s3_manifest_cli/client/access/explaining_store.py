"""A bucket as the client reads it: where S3 refuses a HEAD without saying why, a GET is asked for the reason.

The answer to a HEAD has no body, and so no error code: an expired session, a wrong region, a denied permission and an
object with a customer's key all are 400 or 403. https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

from typing import TYPE_CHECKING

from s3_manifest.storage.aws_faults import AWS_FAULTS, fault_of
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Fault, HeadResult, ReadFailed
from s3_manifest_cli.client.access.explanations import explain
from s3_manifest_cli.client.access.s3_errors import read_error

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


class ExplainingStore(S3Store):
    """One bucket, as ``S3Store``. Costs no request more unless a HEAD is refused."""

    def __init__(self, bucket: str, reads: "S3Client", writes: "S3Client") -> None:
        super().__init__(bucket, reads, writes)
        self._asks = reads
        self._general: dict[int, Fault] = {}

    def head(self, key: str) -> HeadResult:
        """What is at ``key`` now. Raises ``ReadFailed``, with S3's error code where a GET learns it."""
        try:
            return super().head(key)
        except ReadFailed as error:
            if error.fault is None or error.fault.code or not error.fault.status:
                raise
            fault = self._general.get(error.fault.status) or self._explained(key, error.fault)
            raise read_error(key, fault, is_known=False) from error

    def _explained(self, key: str, fault: Fault) -> Fault:
        try:
            self._asks.get_object(Bucket=self.bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except AWS_FAULTS as error:
            found = fault_of(error)
            if found.code and found.status != 404:
                fault = found
        if explain(fault).is_general:
            # It is the same for every key, and is asked for once.
            self._general[fault.status] = fault
        return fault
