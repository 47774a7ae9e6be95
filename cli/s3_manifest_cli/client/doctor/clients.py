"""The AWS clients of an examination, and one error for every request that fails."""

from collections.abc import Callable, Container
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.aws_errors import AWS_ERRORS, parse_fault
from s3_manifest_cli.client.access.explanations import explain
from s3_manifest_cli.errors import Invalid, Unavailable

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


class Clients:
    """AWS clients of one session; thread-safe. Raises ``Invalid`` for a malformed endpoint.

    ``s3_writes`` makes no retries: it is for conditional writes.
    """

    def __init__(self, session: boto3.Session, endpoint: str | None = None) -> None:
        self.session = session
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._lock = Lock()
        try:
            self.s3 = s3_client(endpoint, session=session)
            self.s3_writes = s3_client(endpoint, retries=False, session=session)
        except ValueError as error:
            raise Invalid(f"{error}: write the endpoint as http://host:port or https://host") from error

    def client(self, service: str) -> Any:  # noqa: ANN401  # as boto3 has it
        """Returns the client of another service, by its boto3 name."""
        # Clients are thread-safe, the session that makes them is not.
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.session.client(service, endpoint_url=self._endpoint, config=_CONFIG)  # type: ignore[call-overload]
            return self._clients[service]


def send(call: Callable[..., Any], *, absent: Container[str] = (), **parameters: object) -> Any:  # noqa: ANN401
    """Returns a method's answer; None for an error code or HTTP status in ``absent``. Raises ``Unavailable``."""
    try:
        return call(**parameters)
    except AWS_ERRORS as error:
        fault = parse_fault(error)
        if fault.code in absent or str(fault.status) in absent:
            return None
        message, remedy, is_general = explain(fault)
        code = fault.code or str(fault.status or "")
        if not is_general:
            message, remedy = str(error), _remedy(call, code)
        raise Unavailable(message, remedy=remedy, code=code) from error


def _remedy(call: Callable[..., Any], code: str) -> str:
    if code in _DENIED:
        meta = call.__self__.meta  # type: ignore[attr-defined]  # a client's method
        service, operation = meta.service_model.signing_name, meta.method_to_api_mapping[call.__name__]
        return allow(f"{_SERVICES.get(service, service)}:{_ACTIONS.get(operation, operation)}")
    return "this server does not support the request" if code in UNSUPPORTED else ""


def allow(actions: str) -> str:
    """Returns the remedy for permissions that the user of the command lacks."""
    return f"allow {actions} to your IAM identity (aws sts get-caller-identity shows it), and run doctor again"
