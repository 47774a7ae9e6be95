"""The AWS clients of an examination, and one error for every request that fails."""

from collections.abc import Callable, Container
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.aws_errors import AWS_ERRORS, parse_fault
from s3_manifest_cli.client.access.explanations import explain
from s3_manifest_cli.errors import Invalid

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_CONFIG = Config(retries={"mode": "standard"}, connect_timeout=3, read_timeout=20, max_pool_connections=64)

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"})
UNSUPPORTED = frozenset(
    {"NotImplemented", "InvalidAction", "UnknownOperationException", "MethodNotAllowed", "501", "405"}
)
"""Error codes of a server that lacks an operation."""

MISSING = frozenset({"ResourceNotFoundException", "ResourceNotFound", "NotFoundException", "NotFound"})
"""Error codes for a resource that does not exist, of all services but S3."""

# IAM names some services and actions differently: https://docs.aws.amazon.com/service-authorization/latest/reference/
_SERVICES = {"monitoring": "cloudwatch"}
_ACTIONS = {
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "DeleteObjects": "DeleteObject and s3:DeleteObjectVersion",
}


class RequestFailed(Exception):
    """A request failed, so a check has no result. ``remedy``: what makes it succeed, if that is known."""

    def __init__(self, reason: str, remedy: str = "", code: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.code = code


class Clients:
    """AWS clients of one session, made on first use; thread-safe. Raises ``Invalid`` for a malformed endpoint."""

    def __init__(self, session: boto3.Session, endpoint: str | None = None) -> None:
        self.session = session
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._lock = Lock()

    @property
    def s3(self) -> "S3Client":
        """S3, with retries."""
        return self._client("s3", partial(s3_client, self._endpoint, session=self.session))  # type: ignore[no-any-return]

    @property
    def s3_writes(self) -> "S3Client":
        """S3, without retries: for conditional writes."""
        make = partial(s3_client, self._endpoint, retries=False, session=self.session)
        return self._client("s3 writes", make)  # type: ignore[no-any-return]

    def client(self, service: str) -> Any:  # noqa: ANN401  # as boto3 has it
        """Returns the client of another service, by its boto3 name."""
        make: Any = partial(self.session.client, service, endpoint_url=self._endpoint, config=_CONFIG)
        return self._client(service, make)

    def _client(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401
        # Clients are thread-safe, the session that makes them is not.
        with self._lock:
            if name not in self._clients:
                try:
                    self._clients[name] = make()
                except ValueError as error:
                    raise Invalid(f"{error}: write the endpoint as http://host:port or https://host") from error
            return self._clients[name]


def send(call: Callable[..., Any], *, absent: Container[str] = (), **parameters: object) -> Any:  # noqa: ANN401
    """Returns a method's answer; None for an error code or HTTP status in ``absent``. Raises ``RequestFailed``."""
    try:
        return call(**parameters)
    except AWS_ERRORS as error:
        remedy = ""
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code in absent or str(status) in absent:
                return None
            remedy = _remedy(call, error.operation_name, code)
        fault = parse_fault(error)
        known = explain(fault)
        message, remedy = known[:2] if known.is_general else (str(error), remedy)
        raise RequestFailed(message, remedy, fault.code) from error


def _remedy(call: Callable[..., Any], operation: str, code: str) -> str:
    if code in _DENIED:
        service = call.__self__.meta.service_model.signing_name  # type: ignore[attr-defined]  # a client's method
        return allow(f"{_SERVICES.get(service, service)}:{_ACTIONS.get(operation, operation)}")
    return "this server does not support the request" if code in UNSUPPORTED else ""


def allow(actions: str) -> str:
    """Returns the remedy for permissions that the user of the command lacks."""
    return f"allow {actions} to your IAM identity (aws sts get-caller-identity shows it), and run doctor again"
