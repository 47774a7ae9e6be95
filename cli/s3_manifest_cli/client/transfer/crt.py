"""Requests to one bucket through the AWS Common Runtime, which makes many at once in threads of its own.

Where the bucket is, and with whose credentials, is botocore's to say: profiles, SSO and assumed roles are as
anywhere else. Proxies are those of the environment (``HTTPS_PROXY``).
https://awslabs.github.io/aws-crt-python/api/s3.html
"""

import itertools
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote, urlencode, urlsplit

import boto3
from awscrt import auth, http, s3  # type: ignore[import-untyped]  # it says its types, and not that it does
from awscrt import io as crt_io
from awscrt.exceptions import AwsCrtError  # type: ignore[import-untyped]  # as above
from botocore.exceptions import ClientError

from s3_manifest_cli.client.access.aws_session import credentials_of
from s3_manifest_cli.client.access.explanations import unavailable
from s3_manifest_cli.client.access.s3_errors import REQUEST_ERRORS, fault_of
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.errors import Invalid

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_CONNECT_MS = 3000
_ANY = "key"


class Place(NamedTuple):
    """Where a bucket is: ``path`` is that of its keys, and ends with ``/``."""

    host: str
    path: str
    is_tls: bool
    region: str


def place_of(client: "S3Client", bucket: str) -> Place:
    """Where a client finds a bucket. Makes no request. Raises ``Unavailable`` where there are no credentials."""
    try:
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": _ANY})
    except REQUEST_ERRORS as error:
        raise unavailable(fault_of(error), f"bucket {bucket}: not reached") from error
    parts = urlsplit(url)
    return Place(parts.netloc, parts.path.removesuffix(_ANY), parts.scheme == "https", client.meta.region_name)


def in_its_region(client: "S3Client", session: boto3.Session, bucket: str) -> "S3Client":
    """A client as the one given, for the region that the bucket is in, which the runtime does not find by itself.

    Where nobody may ask that, it is the same. Makes a request. Raises ``Unavailable``.
    """
    region: str | None
    try:
        region = client.head_bucket(Bucket=bucket).get("BucketRegion")
    except ClientError as fault:
        # A refusal tells the region too.
        region = fault.response["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region")
    except REQUEST_ERRORS as error:
        raise unavailable(fault_of(error), f"bucket {bucket}: not reached") from error
    if region in (None, client.meta.region_name):
        return client
    return session.client("s3", region_name=region, config=client.meta.config)


class Answer:
    """What came of a request; ``error`` is set when it has ended, and None where it went well."""

    def __init__(self) -> None:
        self.status = 0
        self.etag = ""
        self.error: Exception | None = None

    def begins(self, status_code: int, headers: list[tuple[str, str]], **_: object) -> None:
        """Takes the answer's headers."""
        self.status = status_code
        self.etag = next((value for name, value in headers if name.lower() == "etag"), "").strip('"')


class Body(Protocol):
    """Bytes to be sent. The runtime reads them once, in its threads, and keeps them itself until they are sent."""

    def readinto(self, into: memoryview, /) -> int:
        """Puts the bytes that follow into the buffer; how many, 0 at the end."""
        ...


class Request(NamedTuple):
    """``operation`` is S3's name for it. ``whole`` is how many bytes of an object are asked for with a ``Range``."""

    operation: str
    method: str
    key: str
    headers: Mapping[str, str]
    query: Mapping[str, str] = {}
    body: Body | None = None
    whole: int | None = None


Received = Callable[[Answer, bytes, int], None]


class Requests:
    """One bucket. ``cancellation`` ends what is under way, and nothing begins after it.

    With ``retries`` a request is made up to six times where no answer came or S3 was busy.
    """

    def __init__(self, place: Place, session: boto3.Session, cancellation: Cancellation, *, retries: bool) -> None:
        self._place = place
        self._cancellation = cancellation
        self._credentials = _Credentials(session, place.region)
        self._client = s3.S3Client(
            region=place.region,
            tls_mode=s3.S3RequestTlsMode.ENABLED if place.is_tls else s3.S3RequestTlsMode.DISABLED,
            tls_connection_options=_tls() if place.is_tls else None,
            retry_config=s3.S3RetryConfig(retry_mode=s3.S3RetryMode.STANDARD if retries else s3.S3RetryMode.NONE),
            connect_timeout_ms=_CONNECT_MS,
        )
        # By number: what knew the request itself would keep it, and its body, until the next garbage collection.
        self._active: dict[int, s3.S3Request] = {}
        self._numbers = itertools.count()
        cancellation.on_cancel(self.cancel)

    def answer(self, request: Request, received: Received | None = None) -> Answer:
        """Makes a request, and waits for its end; ``received`` as for ``begin``. Raises ``Cancelled``."""
        over = threading.Lock()
        over.acquire()
        answer = self.begin(request, lambda _: over.release(), received)
        over.acquire()
        return answer

    def begin(self, request: Request, ended: Callable[[Answer], None], received: Received | None = None) -> Answer:
        """Begins a request; its answer, which ``ended`` gets when all is over. Raises ``Cancelled``.

        ``received`` gets the answer's bytes and their offset in the object. Both are called in the runtime's threads,
        of which there are few (``ended`` here already where nothing could begin); an error that ``received`` raises is
        the answer's.
        """
        self._cancellation.check()
        answer = Answer()
        try:
            signing = self._credentials.signing()
        except REQUEST_ERRORS as fault:
            answer.error = fault
            ended(answer)
            return answer

        def on_done(error: Exception | None, **_: object) -> None:
            answer.error = error and self._told(error)
            ended(answer)

        made = self._client.make_request(
            type=s3.S3RequestType.DEFAULT if request.whole is None else s3.S3RequestType.GET_OBJECT,
            operation_name=request.operation,
            request=self._http(request),
            signing_config=signing,
            # So it is one request, and its bytes come as one block.
            part_size=request.whole,
            on_headers=answer.begins,
            on_body=received and (lambda chunk, offset, **_: received(answer, chunk, offset)),
            on_done=on_done,
        )
        number = next(self._numbers)
        self._active[number] = made
        made.finished_future.add_done_callback(lambda _: self._active.pop(number, None))
        if self._cancellation.is_requested:
            made.cancel()
        return answer

    def cancel(self) -> None:
        """Ends what is under way."""
        for request in list(self._active.values()):
            request.cancel()

    def wait(self) -> None:
        """Waits until nothing is under way."""
        for request in list(self._active.values()):
            request.finished_future.exception()

    def _http(self, request: Request) -> http.HttpRequest:
        path = self._place.path + quote(request.key, safe="/~")
        if request.query:
            path += "?" + urlencode(request.query, quote_via=quote)
        headers = http.HttpHeaders([("Host", self._place.host), *request.headers.items()])
        body = None if request.body is None else crt_io.InputStream(_Stream(request.body))
        return http.HttpRequest(request.method, path, headers, body)

    def _told(self, error: Exception) -> Exception:
        if self._cancellation.is_requested and isinstance(error, AwsCrtError) and error.name == "AWS_ERROR_S3_CANCELED":
            return Cancelled()
        return error


class _Stream:
    """A ``Body`` as the runtime wants it: it asks for a method that it does not use."""

    def __init__(self, body: Body) -> None:
        self.readinto = body.readinto

    def read(self, size: int) -> bytes:
        block = bytearray(size)
        return bytes(block[: self.readinto(memoryview(block))])


class _Credentials:
    """The session's. Botocore renews them before they expire, one thread at a time."""

    def __init__(self, session: boto3.Session, region: str) -> None:
        self._found, self._region = credentials_of(session), region
        self._made: tuple[object, auth.AwsSigningConfig] | None = None

    def signing(self) -> auth.AwsSigningConfig:
        """How a request is signed now: for each one anew, as nobody hears what is raised in the runtime's threads.

        Raises one of ``REQUEST_ERRORS`` where they have ended and there are no new ones.
        """
        frozen = self._found.get_frozen_credentials()
        # Both at once: other threads read them.
        if (made := self._made) is None or made[0] != frozen:
            # The runtime need not call into Python for these.
            provider = auth.AwsCredentialsProvider.new_static(frozen.access_key, frozen.secret_key, frozen.token)
            made = (frozen, s3.create_default_s3_signing_config(region=self._region, credential_provider=provider))
            self._made = made
        return made[1]


def _tls() -> crt_io.TlsConnectionOptions | None:
    """With botocore's own variable for certificates that the machine does not know."""
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if not bundle:
        return None
    options = crt_io.TlsContextOptions()
    try:
        options.override_default_trust_store_from_path(ca_filepath=bundle)
        return crt_io.ClientTlsContext(options).new_connection_options()
    except (OSError, RuntimeError) as error:
        raise Invalid(f"AWS_CA_BUNDLE names {bundle}, which holds no certificates: {error}") from error
