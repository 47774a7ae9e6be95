"""AWS, as an examination asks it: clients of one session, and botocore's errors told in one way."""

from collections.abc import Callable, Container
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.aws_faults import AWS_FAULTS, fault_of
from s3_manifest_cli.client.access.explanations import explain
from s3_manifest_cli.errors import Invalid

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_CONFIG = Config(retries={"mode": "standard"}, connect_timeout=3, read_timeout=20, max_pool_connections=64)

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"})
_UNKNOWN = frozenset({"NotImplemented", "InvalidAction", "UnknownOperationException", "MethodNotAllowed", "501", "405"})

# Where IAM's name of an action is not the API's: https://docs.aws.amazon.com/service-authorization/latest/reference/
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


class Unanswered(Exception):
    """A question that got no answer: nothing is known. ``mend`` says what it takes, as far as that is known."""

    def __init__(self, reason: str, mend: str = "", code: str = "") -> None:
        super().__init__(reason)
        self.mend = mend
        self.code = code


class Clients:
    """Clients of AWS's services, made when they are first asked for; for several threads.

    Raises ``Invalid`` where the endpoint is none.
    """

    def __init__(self, session: boto3.Session, endpoint: str | None = None) -> None:
        self._session = session
        self._endpoint = endpoint
        self._made: dict[str, Any] = {}
        self._lock = Lock()

    @property
    def s3(self) -> "S3Client":
        """S3, with retries."""
        return self._made_once("s3", lambda: s3_client(self._endpoint, session=self._session))  # type: ignore[no-any-return]

    @property
    def s3_writes(self) -> "S3Client":
        """S3, for conditional writes: it does not retry by itself."""
        return self._made_once("s3 writes", lambda: s3_client(self._endpoint, retries=False, session=self._session))  # type: ignore[no-any-return]

    def of(self, service: str) -> Any:  # noqa: ANN401  # as boto3 has it
        """Another service, by boto3's name of it."""
        return self._made_once(
            service,
            lambda: self._session.client(service, endpoint_url=self._endpoint, config=_CONFIG),  # type: ignore[call-overload]  # the stubs want a literal
        )

    def _made_once(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401
        # A session is not for several threads at once, unlike the clients it makes.
        with self._lock:
            if name not in self._made:
                try:
                    self._made[name] = make()
                except ValueError as error:
                    raise Invalid(f"{error}: write the endpoint as http://host:port or https://host") from error
            return self._made[name]


def asked(call: Callable[..., Any], *, absent: Container[str] = (), **parameters: object) -> Any:  # noqa: ANN401
    """What a client's method answers; None where the error's code, or its HTTP status, is one of ``absent``.

    Raises ``Unanswered``.
    """
    try:
        return call(**parameters)
    except ClientError as fault:
        code = str(fault.response.get("Error", {}).get("Code", ""))
        status = fault.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code in absent or str(status) in absent:
            return None
        raise _unanswered(fault, str(fault), _mend(call, fault, code)) from fault
    except AWS_FAULTS as fault:
        raise _unanswered(fault, str(fault)) from fault


def _unanswered(error: Exception, reason: str, mend: str = "") -> Unanswered:
    """With the cause and the remedy that are told of the code, where it is none of this one question."""
    fault = fault_of(error)
    told = explain(fault)
    return Unanswered(*(told[:2] if told.is_general else (reason, mend)), fault.code)


def _mend(call: Callable[..., Any], fault: ClientError, code: str) -> str:
    if code in _DENIED:
        service = call.__self__.meta.service_model.signing_name  # type: ignore[attr-defined]  # a client's method
        operation = fault.operation_name
        return f"allow {_SERVICES.get(service, service)}:{_ACTIONS.get(operation, operation)} to whoever runs this"
    return "this server has no such request" if code in _UNKNOWN else ""
