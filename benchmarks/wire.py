"""A real boto3 client without the socket, so that measurements include boto3's own work.

botocore calls its ``before-send`` hook before it would open a connection. Here the hook answers from a bucket in
memory, in S3's own headers and XML. So production code builds, signs and checksums every request, and
parses and verifies every response.

    truth = MemoryStore()
    traffic = Traffic()                     # or TimedTraffic(time), in a task of a VirtualTime
    store = wired_store(truth, traffic)     # an S3Store, as runtime.store() makes it

It supports the requests of the package: GET, HEAD and PUT with their conditions, ListObjectsV2 and DeleteObjects, in
one bucket without versions; anything else is an error. It passes ``tests/contract`` except for the test of versions.
"""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from benchmarks import wire_xml
from benchmarks.traffic import Request, Traffic
from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Absent, HeadResult, Listing, Present, StoredObject

BUCKET = "images"
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
_CHECKSUMS = ("crc64nvme", "crc32", "crc32c", "sha1", "sha256")
_CODES: Mapping[int, str] = {304: "NotModified", 404: "NoSuchKey", 412: "PreconditionFailed"}


class Contents(Protocol):
    """The contents of a bucket, as ``memory.MemoryStore`` and ``synthetic.SyntheticObjects`` have them."""

    def head(self, key: str) -> HeadResult: ...
    def get(self, key: str) -> StoredObject | None: ...
    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing: ...
    def upload(self, key: str, body: bytes, **facts: Any) -> Present: ...  # noqa: ANN401
    def remove(self, key: str) -> None: ...


class _HttpRequest(NamedTuple):
    """A request as S3 would receive it."""

    method: str
    bucket: str
    key: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class _Response(NamedTuple):
    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


def wired_store(
    contents: Contents, traffic: Traffic, uncounted: Callable[[], AbstractContextManager[None]] = nullcontext
) -> S3Store:
    """A store whose requests are answered from ``contents``.

    The server's work runs in ``uncounted()``, so that only the client's is measured.
    """
    return S3Store(
        BUCKET, wired_client(contents, traffic, uncounted), wired_client(contents, traffic, uncounted, retries=False)
    )


def wired_client(
    contents: Contents,
    traffic: Traffic,
    uncounted: Callable[[], AbstractContextManager[None]] = nullcontext,
    *,
    retries: bool = True,
) -> Any:  # noqa: ANN401  # as boto3 has it
    """A boto3 client for S3, made as in the functions, whose requests are answered from ``contents``."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    client = s3_client(retries=retries)

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        body = _whole(request.body)
        with uncounted():
            http_request = _read(request, body)
            counted = _counted(http_request)
        traffic.begin(counted)
        with uncounted():
            response = _respond(contents, counted.method, http_request)
        # The content-length of a response to HEAD is not that of its body, which is empty.
        traffic.end(len(response.body), is_listing=counted.method == "LIST")
        return AWSResponse(request.url, response.status, dict(response.headers), _Raw(response.body))

    client.meta.events.register_first("before-send.s3", answer)
    return client


class _Raw(io.BytesIO):
    """A body with the interface of urllib3."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


def _whole(body: Any) -> bytes:  # noqa: ANN401  # whatever botocore sends
    """The body that would be sent; reading it computes a trailing checksum."""
    return body.read() if hasattr(body, "read") else body or b""


def _read(request: AWSPreparedRequest, body: bytes) -> _HttpRequest:
    url = urlsplit(request.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    if "aws-chunked" in headers.get("content-encoding", ""):
        body, trailers = _unchunked(body)
        headers |= trailers
    parameters = dict(parse_qsl(url.query, keep_blank_values=True))
    return _HttpRequest(request.method, url.netloc.partition(".")[0], unquote(url.path[1:]), parameters, headers, body)


def _unchunked(body: bytes) -> tuple[bytes, dict[str, str]]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html"""
    data, rest = [], body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            lines = rest.decode().split("\r\n")
            return b"".join(data), dict(line.split(":", 1) for line in lines if line)
        data.append(rest[:length])
        rest = rest[length + 2 :]


def _counted(request: _HttpRequest) -> Request:
    if not request.key and "list-type" in request.parameters:
        return Request("LIST", request.parameters.get("prefix", ""))
    if request.method == "POST" and "delete" in request.parameters:
        return Request("DELETE", "", len(request.body))
    assert request.method in ("GET", "HEAD", "PUT"), request
    assert request.key, request
    conditional = "if-match" in request.headers or "if-none-match" in request.headers
    return Request(request.method, request.key, len(request.body), conditional)


def _respond(contents: Contents, method: str, request: _HttpRequest) -> _Response:
    if request.bucket != BUCKET:
        return _error(method, 404, "NoSuchBucket")
    if method == "LIST":
        return _xml(wire_xml.listing(contents.list, BUCKET, request.parameters))
    if method == "DELETE":
        for key in wire_xml.keys_to_delete(request.body):
            contents.remove(key)
        return _xml(wire_xml.DELETED)
    present = contents.head(request.key)
    if status := _refusal(request, None if isinstance(present, Absent) else present.etag):
        return _error(method, status, _CODES[status])
    if method == "PUT":
        return _put(contents, request)
    assert isinstance(present, Present)
    stored = contents.get(request.key) if method == "GET" else None
    headers = _headers_of(present, checksums=request.headers.get("x-amz-checksum-mode") == "ENABLED")
    return _Response(200, headers, stored.body if stored else b"")


def _refusal(request: _HttpRequest, current: str | None) -> int | None:
    """The error status if the condition of the request fails, or its object does not exist."""
    if_match, if_none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if current is None:
        return 404 if if_match or request.method != "PUT" else None
    if if_match and if_match.strip('"') != current:
        return 412
    if if_none_match and if_none_match.strip('"') in ("*", current):
        return 412 if request.method == "PUT" else 304
    return None


def _put(contents: Contents, request: _HttpRequest) -> _Response:
    checksum = {name: value for name in _CHECKSUMS if (value := request.headers.get(f"x-amz-checksum-{name}"))}
    facts = {
        "content_type": request.headers.get("content-type", "binary/octet-stream"),
        "storage_class": request.headers.get("x-amz-storage-class", "STANDARD"),
        "metadata": {
            name.removeprefix("x-amz-meta-"): value
            for name, value in request.headers.items()
            if name.startswith("x-amz-meta-")
        },
        "checksum": checksum | {"type": "FULL_OBJECT"} if checksum else None,
    }
    present = contents.upload(request.key, request.body, **facts)
    return _Response(
        200, _common_headers() | {"etag": f'"{present.etag}"', **_checksum_headers(present), "content-length": "0"}
    )


def _headers_of(present: Present, *, checksums: bool) -> dict[str, str]:
    headers = _common_headers() | {
        "last-modified": _http_date(present.last_modified),
        "etag": f'"{present.etag}"',
        "accept-ranges": "bytes",
        "content-type": present.content_type or "binary/octet-stream",
        "content-length": str(present.size),
    }
    if present.storage_class != "STANDARD":
        headers["x-amz-storage-class"] = present.storage_class
    if present.archived and present.storage_class not in _ARCHIVES:
        headers["x-amz-archive-status"] = "ARCHIVE_ACCESS"
    if present.version_id:
        headers["x-amz-version-id"] = present.version_id
    if checksums:
        headers |= _checksum_headers(present)
    return headers | {f"x-amz-meta-{name}": value for name, value in present.metadata.items()}


def _checksum_headers(present: Present) -> dict[str, str]:
    return {f"x-amz-checksum-{name}": value for name, value in (present.checksum or {}).items()}


def _common_headers() -> dict[str, str]:
    return {
        "x-amz-id-2": "Vvag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==",
        "x-amz-request-id": "656c76696e6727732",
        "date": "Thu, 01 Jan 2026 00:00:00 GMT",
        "server": "AmazonS3",
        "x-amz-server-side-encryption": "AES256",
    }


def _error(method: str, status: int, code: str) -> _Response:
    return (
        _Response(status, _common_headers())
        if method == "HEAD" or status == 304
        else _xml(wire_xml.error(code), status)
    )


def _xml(document: str, status: int = 200) -> _Response:
    body = document.encode()
    return _Response(
        status, _common_headers() | {"content-type": "application/xml", "content-length": str(len(body))}, body
    )


@lru_cache(1000)
def _http_date(timestamp: str) -> str:
    return format_datetime(datetime.fromisoformat(timestamp), usegmt=True)
