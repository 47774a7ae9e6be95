"""Botocore's errors as ``Fault``: HTTP status, error code, region, and whether the request was sent."""

from collections.abc import Mapping
from typing import Any

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import NameResolutionError

from s3_manifest.storage.store import Fault

AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError, KeyError, ValueError, RuntimeError)
"""What a botocore call, and reading its response, may raise.

``ResponseParserError``, which is no ``BotoCoreError``: the response is truncated or is not XML. ``KeyError`` and
``ValueError``: the response, such as the login page of a network, lacks what every AWS response has.
``RuntimeError``: renewed credentials have already expired (``RefreshableCredentials`` of botocore).
"""

NOT_SENT = "RequestNotSent"
"""The code of a request that the HTTP library rejects for its content."""

NOT_AWS = "NotAWS"
"""The code of a response that does not come from AWS."""

NO_ADDRESS = "NameResolutionError"
"""The code of a host name that DNS does not resolve."""

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
    """The fault behind one of ``AWS_ERRORS``.

    The response to a HEAD has no body and so no error code; botocore puts the status in its place.
    """
    if _is_endless(error):
        return Fault(0, NOT_AWS, "the redirects never end")
    if isinstance(error, ClientError):
        return _response_fault(error.response)
    if isinstance(error, BotoCoreError):
        return _library_fault(error)
    if isinstance(error, RuntimeError):
        return Fault(0, "ExpiredToken" if "expired" in str(error) else "", str(error), is_sent=False)
    problem = f"it has no {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)
    return Fault(0, NOT_AWS, f"the response is not from AWS: {problem}")


def _is_endless(error: BaseException | None) -> bool:
    """Whether botocore followed S3's redirects forever, which it does if none names a region.

    Where the stack ends is chance: within its HTTP session, botocore wraps the ``RecursionError`` in another error.
    """
    while error is not None and not isinstance(error, RecursionError):
        error = error.__cause__ or error.__context__
    return error is not None


def _response_fault(response: Mapping[str, Any]) -> Fault:
    http, error = response.get("ResponseMetadata", {}), response.get("Error", {})
    code = str(error.get("Code", ""))
    region = http.get("HTTPHeaders", {}).get("x-amz-bucket-region") or error.get("Region")
    status = http.get("HTTPStatusCode", 0)
    return Fault(status, "" if code.isdigit() else code, str(error.get("Message") or ""), region)


def _library_fault(error: BotoCoreError) -> Fault:
    cause = error.kwargs.get("error")
    if isinstance(error, HTTPClientError) and isinstance(cause, ValueError | TypeError):
        # Python's message quotes the header, which may hold a secret.
        is_header = "header" in str(cause).lower()
        reason = "a header of the request holds a character that HTTP does not allow" if is_header else str(cause)
        return Fault(0, NOT_SENT, f"the HTTP library rejects the request: {reason}", is_sent=False)
    if isinstance(error, EndpointConnectionError) and isinstance(cause, NameResolutionError):
        return Fault(0, NO_ADDRESS, str(error))
    return Fault(0, type(error).__name__, str(error), is_sent=not isinstance(error, _BEFORE_SENDING))
