"""What S3 and its clients answer instead of a fact, translated once into the package's errors."""

import re

from awscrt.exceptions import AwsCrtError  # type: ignore[import-untyped]  # it says its types, and not that it does
from awscrt.s3 import S3ResponseError  # type: ignore[import-untyped]  # as above

from s3_manifest.storage import aws_faults
from s3_manifest.storage.store import Conflict, Fault, OutcomeUnknown, ReadFailed, StoreError, WriteRefused
from s3_manifest_cli.client.access.explanations import Explanation, explain

REQUEST_ERRORS = (*aws_faults.AWS_FAULTS, AwsCrtError)

_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,500})</Message>")
_REGION = re.compile(rb"<Region>([^<]{1,50})</Region>")
# Refusals that are none of the request itself: the next time it may go through.
_PASSING = frozenset({"RequestTimeout", "BadDigest", "SlowDown", "IncompleteBody"})

_TOO_MUCH = "AWS_ERROR_DEST_COPY_TOO_SMALL"
_FINAL = frozenset({_TOO_MUCH, "AWS_ERROR_S3_CANCELED"})
# What the runtime refuses to send, and what is over before anything is sent.
_REFUSED = re.compile("AWS_ERROR_HTTP_INVALID_(HEADER|METHOD|PATH)")
_NOT_REACHED = re.compile("AWS_AUTH_SIGNING_|AWS_IO_TLS_ERROR_NEGOTIATION")


class NoRangeSupport(ReadFailed):
    """The server sends all of an object, whatever part of it is asked for."""


def fault_of(error: Exception) -> Fault:
    """What one of ``REQUEST_ERRORS`` says."""
    if isinstance(error, S3ResponseError):
        body = error.body or b""
        code, message, region = (_text(pattern, body) for pattern in (_CODE, _MESSAGE, _REGION))
        told = next((value for name, value in error.headers or () if name.lower() == "x-amz-bucket-region"), None)
        return Fault(error.status_code, code, message, told or region or None)
    if isinstance(error, AwsCrtError):
        is_refused = _REFUSED.match(error.name)
        code = aws_faults.NOT_SENT if is_refused else error.name
        is_sent = not (is_refused or _NOT_REACHED.match(error.name))
        return Fault(0, code, f"{error.message} ({error.name})", is_sent=is_sent)
    return aws_faults.fault_of(error)


def is_retryable(error: Exception) -> bool:
    """Whether the same read may go well the next time: no answer came, or S3 was busy."""
    if not isinstance(error, AwsCrtError):
        return False
    fault = fault_of(error)
    return fault.code not in _FINAL and (fault.status in {0, 429} or fault.status >= 500)


def read_error(key: str, fault: Fault, *, is_known: bool, is_version: bool = False) -> StoreError:
    """Of a read.

    ``is_known``: by If-Match, so that another object, or none, is a conflict; ``is_version``: by a version's id too.
    """
    if is_known and (fault.status == 412 or (fault.status == 404 and fault.code != "NoSuchBucket")):
        is_gone = fault.code == "NoSuchVersion" or (is_version and fault.status == 404)
        return Conflict(key, OBJECT_VERSION_GONE if is_gone else OBJECT_CHANGED, fault)
    # The runtime has room for what was asked for, and got more.
    error = NoRangeSupport if fault.code == _TOO_MUCH else ReadFailed
    return error(key, _reason("not read", explain(fault)), fault)


OBJECT_CHANGED = (
    "Skipped: the object in S3 changed or was deleted after this manifest was written. Run status again in a few"
    " seconds."
)
"""Of an object that is another one than the manifest has, or gone."""

OBJECT_VERSION_GONE = "S3 no longer has this version."


def write_error(key: str, fault: Fault, *, is_known: bool) -> StoreError:
    """Of a write; ``is_known``: of an object or an upload that was there, so that its absence is a conflict.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    if fault.status in (409, 412) or (fault.status == 404 and is_known and fault.code != "NoSuchBucket"):
        return Conflict(key, OBJECT_CHANGED, fault)
    told = explain(fault, "s3:PutObject on it, and kms:GenerateDataKey with its key")
    if not fault.is_sent or (400 <= fault.status < 500 and fault.status != 429 and fault.code not in _PASSING):
        return WriteRefused(key, _reason("not written", told), fault)
    return OutcomeUnknown(key, f"whether it was written is not known: {_joined(told)}", fault)


def _reason(what: str, told: Explanation) -> str:
    return _joined(told) if told.is_general else f"{what}: {_joined(told)}"


def _joined(told: Explanation) -> str:
    return f"{told.message} {told.remedy}".strip()


def _text(pattern: re.Pattern[bytes], body: bytes) -> str:
    found = pattern.search(body)
    return found[1].decode(errors="replace") if found else ""
