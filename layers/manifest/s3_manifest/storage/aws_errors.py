"""Botocore's errors as facts: HTTP status, error code, region, and whether the request was sent at all."""

from collections.abc import Mapping
from typing import Any

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import NameResolutionError

from s3_manifest.storage.store import Fault

AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError, KeyError, ValueError, RuntimeError)
"""What a call of botocore, and a look at its answer, may raise.

A parser's error is none of botocore's own family: it comes of an answer that breaks off, or is no XML. ``KeyError`` and
``ValueError``: the answer lacks what every answer of AWS has, as the login page of a network does. ``RuntimeError``:
credentials were renewed, and have expired all the same (``RefreshableCredentials`` of botocore).
"""

NOT_SENT = "RequestNotSent"
"""The code of a request that the HTTP library refuses to send, for what it holds."""

NOT_AWS = "NotAWS"
"""The code of an answer that AWS does not give."""

NO_ADDRESS = "NameResolutionError"
"""The code of a server whose name no DNS resolves."""

_BEFORE_SENDING = (
    exceptions.CredentialRetrievalError,
    exceptions.EndpointProviderError,
    exceptions.InvalidConfigError,
    exceptions.InvalidDNSNameError,
    exceptions.InvalidRegionError,
    exceptions.LoginError,
    exceptions.MetadataRetrievalError,
    exceptions.MissingDependencyException,
    exceptions.NoAuthTokenError,
    exceptions.NoCredentialsError,
    exceptions.NoRegionError,
    exceptions.ParamValidationError,
    exceptions.PartialCredentialsError,
    exceptions.ProfileNotFound,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
)


def parse_fault(error: Exception) -> Fault:
    """What one of ``AWS_FAULTS`` says.

    A HEAD's answer has no body, so its fault has no code; botocore gives the status instead.
    """
    if isinstance(error, ClientError):
        return _of_answer(error.response)
    if isinstance(error, BotoCoreError):
        return _of_library(error)
    if isinstance(error, RecursionError):  # botocore follows S3's redirects without end where none names a region
        return Fault(0, NOT_AWS, "redirects without end")
    if isinstance(error, RuntimeError):
        return Fault(0, "ExpiredToken" if "expired" in str(error) else "", str(error), is_sent=False)
    missing = f"it has no {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)
    return Fault(0, NOT_AWS, f"the answer is not one of AWS's: {missing}")


def _of_answer(answer: Mapping[str, Any]) -> Fault:
    about, found = answer.get("ResponseMetadata", {}), answer.get("Error", {})
    code = str(found.get("Code", ""))
    region = about.get("HTTPHeaders", {}).get("x-amz-bucket-region") or found.get("Region")
    status = about.get("HTTPStatusCode", 0)
    return Fault(status, "" if code.isdigit() else code, str(found.get("Message") or ""), region)


def _of_library(error: BotoCoreError) -> Fault:
    cause = error.kwargs.get("error")
    if isinstance(error, HTTPClientError) and isinstance(cause, ValueError | TypeError):
        # Python quotes the header, which may hold a secret.
        is_header = "header" in str(cause).lower()
        reason = "a header of the request holds a character that HTTP does not allow" if is_header else str(cause)
        return Fault(0, NOT_SENT, f"the HTTP library refuses to send it: {reason}", is_sent=False)
    if isinstance(error, EndpointConnectionError) and isinstance(cause, NameResolutionError):
        return Fault(0, NO_ADDRESS, str(error))
    return Fault(0, type(error).__name__, str(error), is_sent=not isinstance(error, _BEFORE_SENDING))
