"""Turns errors of botocore and of the AWS Common Runtime into faults and store errors that give the cause."""

import re
from typing import TYPE_CHECKING

from awscrt.exceptions import AwsCrtError  # type: ignore[import-untyped]  # it has types, and no marker that it has
from awscrt.s3 import S3ResponseError  # type: ignore[import-untyped]  # as above

from s3_manifest.storage import aws_errors
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Conflict, Fault, HeadResult, OutcomeUnknown, ReadFailed, StoreError, WriteRefused
from s3_manifest_cli.client.access.explanations import Explanation, explain

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

REQUEST_ERRORS = (*aws_errors.AWS_ERRORS, AwsCrtError)

OBJECT_CHANGED = (
    "Skipped: the object in S3 changed or was deleted after this manifest was written. Run status again in a few"
    " seconds."
)
VERSION_NOT_FOUND = "S3 no longer has this version."

# Refusals that do not depend on the request: a repeat may succeed.
_TRANSIENT = frozenset({"RequestTimeout", "BadDigest", "SlowDown", "IncompleteBody"})

_TOO_MUCH = "AWS_ERROR_DEST_COPY_TOO_SMALL"
_FINAL = frozenset({_TOO_MUCH, "AWS_ERROR_S3_CANCELED"})
# Requests that the runtime refuses to send, and failures before anything is sent.
_REFUSED = re.compile("AWS_ERROR_HTTP_INVALID_(HEADER|METHOD|PATH)")
_NOT_REACHED = re.compile("AWS_AUTH_SIGNING_|AWS_IO_TLS_ERROR_NEGOTIATION")


class NoRangeSupport(ReadFailed):
    """The server sends the whole object whatever range is requested."""


def fault_of(error: Exception) -> Fault:
    """The fault of one of ``REQUEST_ERRORS``."""
    if isinstance(error, S3ResponseError):
        code, message, region = (_element(error.body or b"", name) for name in (b"Code", b"Message", b"Region"))
        header = next((value for name, value in error.headers or () if name.lower() == "x-amz-bucket-region"), None)
        return Fault(error.status_code, code, message, header or region or None)
    if isinstance(error, AwsCrtError):
        is_refused = _REFUSED.match(error.name)
        code = aws_errors.NOT_SENT if is_refused else error.name
        is_sent = not (is_refused or _NOT_REACHED.match(error.name))
        return Fault(0, code, f"{error.message} ({error.name})", is_sent=is_sent)
    return aws_errors.parse_fault(error)


def is_retryable(error: Exception) -> bool:
    """Whether repeating a read may succeed: no answer came, or S3 was busy."""
    if not isinstance(error, AwsCrtError):
        return False
    fault = fault_of(error)
    return fault.code not in _FINAL and (fault.status in {0, 429} or fault.status >= 500)


def read_error(
    key: str, fault: Fault, *, is_conditional: bool, has_version: bool = False, bucket: str = ""
) -> StoreError:
    """The error of a read.

    ``is_conditional``: the request has If-Match, so a changed or missing object is a ``Conflict``. ``has_version``: it
    names a version too. ``bucket``, if given, is named in the error.
    """
    if is_conditional and (fault.status == 412 or (fault.status == 404 and fault.code != "NoSuchBucket")):
        is_missing_version = fault.code == "NoSuchVersion" or (has_version and fault.status == 404)
        return Conflict(key, VERSION_NOT_FOUND if is_missing_version else OBJECT_CHANGED, fault, bucket)
    # The runtime has room for the requested range, and received more.
    error = NoRangeSupport if fault.code == _TOO_MUCH else ReadFailed
    return error(key, _reason("not read", explain(fault)), fault, bucket)


def write_error(key: str, fault: Fault, *, is_conditional: bool) -> StoreError:
    """The error of a write. ``is_conditional``: it needs an existing object or upload; if that is gone, ``Conflict``.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    if fault.status in (409, 412) or (fault.status == 404 and is_conditional and fault.code != "NoSuchBucket"):
        return Conflict(key, OBJECT_CHANGED, fault)
    explanation = explain(fault, "s3:PutObject on it, and kms:GenerateDataKey with its key")
    if not fault.is_sent or (400 <= fault.status < 500 and fault.status != 429 and fault.code not in _TRANSIENT):
        return WriteRefused(key, _reason("not written", explanation), fault)
    return OutcomeUnknown(key, f"whether it was written is not known: {explanation.text}", fault)


def _reason(action: str, explanation: Explanation) -> str:
    return explanation.text if explanation.is_general else f"{action}: {explanation.text}"


def _element(body: bytes, name: bytes) -> str:
    match = re.search(b"<%b>([^<]{1,500})</%b>" % (name, name), body)
    return match[1].decode(errors="replace") if match else ""


class ExplainingStore(S3Store):
    """One bucket, as ``S3Store``. Where S3 refuses a HEAD without a reason, a GET fetches the reason.

    The answer to a HEAD has no body, and so no error code: an expired session, a wrong region, a denied permission and
    an object with a customer's key are all 400 or 403.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    """

    def __init__(self, bucket: str, reads: "S3Client", writes: "S3Client") -> None:
        super().__init__(bucket, reads, writes)
        self._general_faults: dict[int, Fault] = {}

    def head(self, key: str) -> HeadResult:
        """Observes ``key``. Raises ``ReadFailed``, with S3's error code where a GET returns one."""
        try:
            return super().head(key)
        except ReadFailed as error:
            fault = error.fault or Fault()
            if fault.status and not fault.code:
                fault = self._general_faults.get(fault.status) or self._find_code(key, fault)
            raise read_error(key, fault, is_conditional=False, bucket=self.bucket) from error

    def _find_code(self, key: str, fault: Fault) -> Fault:
        try:
            self._reads.get_object(Bucket=self.bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except aws_errors.AWS_ERRORS as error:
            answer = aws_errors.parse_fault(error)
            if answer.code and answer.status != 404:
                fault = answer
        if explain(fault).is_general:
            # It is the same for every key.
            self._general_faults[fault.status] = fault
        return fault
