"""Requests to one bucket through the AWS Common Runtime, which makes them concurrently in threads of its own.

botocore decides the endpoint and the credentials, so profiles, SSO and assumed roles work as everywhere. Proxies come
from the environment (``HTTPS_PROXY``). https://awslabs.github.io/aws-crt-python/api/s3.html
"""

import os
from collections.abc import Callable, Mapping
from io import IOBase
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import boto3
from awscrt import auth, http, s3  # type: ignore[import-untyped]  # it has types, but no py.typed
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
_SOME_KEY = "key"


class BucketEndpoint(NamedTuple):
    """Where a bucket is; ``path`` is the prefix of its keys' paths, and ends with ``/``."""

    host: str
    path: str
    is_tls: bool
    region: str


def endpoint_of(client: "S3Client", bucket: str) -> BucketEndpoint:
    """The endpoint that a client uses for a bucket. Makes no request. Raises ``Unavailable`` without credentials."""
    try:
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": _SOME_KEY})
    except REQUEST_ERRORS as error:
        raise unavailable(fault_of(error), f"bucket {bucket}: not reached") from error
    parts = urlsplit(url)
    path = parts.path.removesuffix(_SOME_KEY)
    return BucketEndpoint(parts.netloc, path, parts.scheme == "https", client.meta.region_name)


def in_bucket_region(client: "S3Client", session: boto3.Session, bucket: str) -> "S3Client":
    """The client, or one like it for the region of the bucket, which the runtime does not find by itself.

    Makes a request. If S3 does not name the region, it is the same client. Raises ``Unavailable``.
    """
    region: str | None
    try:
        region = client.head_bucket(Bucket=bucket).get("BucketRegion")
    except ClientError as error:
        # A refusal names the region too.
        region = error.response["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region")
    except REQUEST_ERRORS as error:
        raise unavailable(fault_of(error), f"bucket {bucket}: not reached") from error
    if region in (None, client.meta.region_name):
        return client
    return session.client("s3", region_name=region, config=client.meta.config)


class Response:
    """The response to a request; ``error`` is set at its end, and stays None if it succeeds."""

    etag = ""
    error: Exception | None = None

    def on_headers(self, headers: list[tuple[str, str]], **_: object) -> None:
        """Stores the ETag."""
        self.etag = next((value for name, value in headers if name.lower() == "etag"), "").strip('"')


class Request(NamedTuple):
    """A request; ``operation`` is its name in S3's API. A request with a ``Range`` sets ``range_size`` to its size.

    The runtime reads the ``body`` once, in its threads, and holds it until it is sent.
    """

    operation: str
    method: str
    key: str
    headers: Mapping[str, str]
    query: Mapping[str, str] = {}
    body: IOBase | None = None
    range_size: int | None = None


OnBody = Callable[[Response, bytes, int], None]


class Requests:
    """Requests to one bucket. The cancellation ends those in progress, and lets no other begin.

    With ``retries`` a request is made up to six times if there is no response or S3 is busy.
    """

    def __init__(
        self, endpoint: BucketEndpoint, session: boto3.Session, cancellation: Cancellation, *, retries: bool
    ) -> None:
        self._endpoint = endpoint
        self._cancellation = cancellation
        self._credentials = credentials_of(session)
        self._signing: tuple[object, auth.AwsSigningConfig] | None = None
        self._client = s3.S3Client(
            region=endpoint.region,
            tls_mode=s3.S3RequestTlsMode.ENABLED if endpoint.is_tls else s3.S3RequestTlsMode.DISABLED,
            tls_connection_options=_tls() if endpoint.is_tls else None,
            retry_config=s3.S3RetryConfig(retry_mode=s3.S3RetryMode.STANDARD if retries else s3.S3RetryMode.NONE),
            connect_timeout_ms=_CONNECT_MS,
        )
        # By id: a callback with the request itself would keep it, and its body, until the next garbage collection.
        self._active: dict[int, s3.S3Request] = {}
        cancellation.on_cancel(self.cancel)

    def send(self, request: Request) -> Response:
        """Makes a request, and waits for its end. Raises ``Cancelled``."""
        responses: SimpleQueue[Response] = SimpleQueue()
        self.begin(request, responses.put)
        return responses.get()

    def begin(self, request: Request, on_end: Callable[[Response], None], on_body: OnBody | None = None) -> None:
        """Begins a request; ``on_end`` gets its response at the end. Raises ``Cancelled``.

        ``on_body`` gets the bytes of the response and their offset in the object. The runtime calls both in its few
        threads, or ``on_end`` in this one if the request cannot begin; an error of ``on_body`` is that of the response.
        """
        self._cancellation.check()
        response = Response()
        try:
            signing = self._signing_config()
        except REQUEST_ERRORS as error:
            response.error = error
            on_end(response)
            return

        def on_done(error: Exception | None, **_: object) -> None:
            is_cancelled = isinstance(error, AwsCrtError) and error.name == "AWS_ERROR_S3_CANCELED"
            response.error = Cancelled() if is_cancelled and self._cancellation.is_requested else error
            on_end(response)

        crt_request = self._client.make_request(
            type=s3.S3RequestType.DEFAULT if request.range_size is None else s3.S3RequestType.GET_OBJECT,
            operation_name=request.operation,
            request=self._http_request(request),
            signing_config=signing,
            # With this part size it is one request, and its bytes arrive as one block.
            part_size=request.range_size,
            on_headers=response.on_headers,
            on_body=on_body and (lambda chunk, offset, **_: on_body(response, chunk, offset)),
            on_done=on_done,
        )
        number = id(crt_request)
        self._active[number] = crt_request
        crt_request.finished_future.add_done_callback(lambda _: self._active.pop(number, None))
        if self._cancellation.is_requested:
            crt_request.cancel()

    def cancel(self) -> None:
        """Cancels the requests in progress."""
        for request in list(self._active.values()):
            request.cancel()

    def close(self) -> None:
        """Cancels the requests in progress, and waits for their end."""
        self.cancel()
        for request in list(self._active.values()):
            request.finished_future.exception()

    def _http_request(self, request: Request) -> http.HttpRequest:
        path = self._endpoint.path + quote(request.key, safe="/~")
        if request.query:
            path += "?" + urlencode(request.query, quote_via=quote)
        headers = http.HttpHeaders([("Host", self._endpoint.host), *request.headers.items()])
        body = None if request.body is None else crt_io.InputStream(request.body)
        return http.HttpRequest(request.method, path, headers, body)

    def _signing_config(self) -> auth.AwsSigningConfig:
        """The signing of a request. Each request calls this, because errors in the runtime's threads would be lost.

        botocore renews the credentials before they expire, in one thread at a time. Raises one of ``REQUEST_ERRORS`` if
        they have expired and cannot be renewed.
        """
        frozen = self._credentials.get_frozen_credentials()
        # Set as one tuple: other threads read it.
        if (current := self._signing) is None or current[0] != frozen:
            # With these the runtime does not call into Python.
            provider = auth.AwsCredentialsProvider.new_static(frozen.access_key, frozen.secret_key, frozen.token)
            signing = s3.create_default_s3_signing_config(region=self._endpoint.region, credential_provider=provider)
            self._signing = current = (frozen, signing)
        return current[1]


def _tls() -> crt_io.TlsConnectionOptions | None:
    """TLS options for the certificates in botocore's variable ``AWS_CA_BUNDLE``; None without it."""
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if not bundle:
        return None
    options = crt_io.TlsContextOptions()
    try:
        options.override_default_trust_store_from_path(ca_filepath=bundle)
        return crt_io.ClientTlsContext(options).new_connection_options()
    except (OSError, RuntimeError) as error:
        raise Invalid(f"AWS_CA_BUNDLE names {bundle}, which holds no certificates: {error}") from error
