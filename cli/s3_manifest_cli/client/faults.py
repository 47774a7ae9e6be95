"""What S3 and its clients say no with, translated once into the package's errors."""

import re
from typing import NamedTuple

from awscrt.exceptions import AwsCrtError  # type: ignore[import-untyped]  # it says its types, and not that it does
from awscrt.s3 import S3ResponseError  # type: ignore[import-untyped]  # as above
from botocore.exceptions import BotoCoreError, ClientError

from s3_manifest.store import Conflict, OutcomeUnknown, ReadFailed, StoreError, WriteRefused

FAULTS = (ClientError, BotoCoreError, AwsCrtError)

_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,500})</Message>")
# Refusals that are none of the request itself: the next time it may go through.
_PASSING = frozenset({"RequestTimeout", "BadDigest", "SlowDown", "IncompleteBody"})

_TOO_MUCH = "AWS_ERROR_DEST_COPY_TOO_SMALL"
_FINAL = frozenset({_TOO_MUCH, "AWS_ERROR_S3_CANCELED"})


class NoRanges(ReadFailed):
    """The server sends all of an object, whatever part of it is asked for."""


class Fault(NamedTuple):
    """``status`` is HTTP's, 0 where no answer came; ``code`` is S3's, or the runtime's, or empty."""

    status: int
    code: str
    words: str


def fault_of(error: Exception) -> Fault:
    """What one of ``FAULTS`` says."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Fault(status, error.response.get("Error", {}).get("Code", ""), f"{status} {error}")
    if isinstance(error, S3ResponseError):
        code, message = (_text(pattern, error.body or b"") for pattern in (_CODE, _MESSAGE))
        told = ": ".join(part for part in (code, message) if part)
        return Fault(error.status_code, code, f"{error.status_code} {told}".strip())
    if isinstance(error, AwsCrtError):
        return Fault(0, error.name, f"{error.message} ({error.name})")
    return Fault(0, "", str(error))


def is_passing(error: Exception) -> bool:
    """Whether the same read may go well the next time: no answer came, or S3 was busy."""
    if not isinstance(error, AwsCrtError):
        return False
    fault = fault_of(error)
    return fault.code not in _FINAL and (fault.status in {0, 429} or fault.status >= 500)


def read_error(key: str, fault: Fault, *, is_known: bool) -> StoreError:
    """Of a read; ``is_known``: by If-Match, or a version's id, so that another object, or none, is a conflict."""
    if is_known and (fault.status == 412 or (fault.status == 404 and fault.code != "NoSuchBucket")):
        return Conflict(key, f"it is another object now, or gone ({fault.status}); look at the manifest again")
    # The runtime has room for what was asked for, and got more.
    error = NoRanges if fault.code == _TOO_MUCH else ReadFailed
    mend = _ARCHIVED if fault.code == "InvalidObjectState" else _READ_MENDS.get(fault.status, "")
    return error(key, f"not read: {fault.words}{mend}")


def write_error(key: str, fault: Fault, *, is_known: bool) -> StoreError:
    """Of a write; ``is_known``: of an object or an upload that was there, so that its absence is a conflict.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    if fault.status in (409, 412) or (fault.status == 404 and is_known and fault.code != "NoSuchBucket"):
        return Conflict(key, f"somebody else wrote it first ({fault.status})")
    if 400 <= fault.status < 500 and fault.status != 429 and fault.code not in _PASSING:
        mend = "; allow s3:PutObject on it, and kms:GenerateDataKey with its key" if fault.status == 403 else ""
        return WriteRefused(key, f"S3 refused to write it: {fault.words}{mend}")
    return OutcomeUnknown(key, f"whether it was written is not known: {fault.words}")


_ARCHIVED = "; restore it from its archive first"
_READ_MENDS = {
    403: "; allow s3:GetObject and s3:ListBucket on it, and kms:Decrypt with its key",
    400: "; an object encrypted with a customer-provided key (SSE-C) cannot be read",
}


def _text(pattern: re.Pattern[bytes], body: bytes) -> str:
    found = pattern.search(body)
    return found[1].decode(errors="replace") if found else ""
