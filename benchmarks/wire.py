"""S3 behind a real boto3 client, but for the socket: what is measured on top of it includes boto3's own work.

botocore asks its ``before-send`` hook for an answer before it would open a connection. Here it gets
one: from a bucket in memory, in S3's own headers and XML. So every request is made, signed and
check-summed, and every answer parsed and verified, by the code that does so in production.

    truth = MemoryStore()
    traffic = Traffic()                     # or TimedTraffic(time), in a task of a VirtualTime
    store = wired_store(truth, traffic)     # an S3Store, as runtime.store() makes it

It answers what the package asks of S3: GET, HEAD and PUT with their conditions, ListObjectsV2 and
DeleteObjects, in one bucket without versions; anything else is an error. Pointed at it, ``tests/contract``
passes but for its test of versions.
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
from s3_manifest.storage.store import Absent, HeadResult, Listing, Present, Stored

BUCKET = "images"
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
_CHECKSUMS = ("crc64nvme", "crc32", "crc32c", "sha1", "sha256")
_CODES: Mapping[int, str] = {304: "NotModified", 404: "NoSuchKey", 412: "PreconditionFailed"}


class Contents(Protocol):
    """What a bucket holds; ``memory.MemoryStore`` and ``synthetic.SyntheticObjects`` are such."""

    def head(self, key: str) -> HeadResult: ...
    def get(self, key: str) -> Stored | None: ...
    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing: ...
    def upload(self, key: str, body: bytes, **facts: Any) -> Present: ...  # noqa: ANN401
    def remove(self, key: str) -> None: ...


class _Asked(NamedTuple):
    """A request as it would arrive."""

    method: str
    bucket: str
    key: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


def wired_store(
    contents: Contents, traffic: Traffic, uncounted: Callable[[], AbstractContextManager[None]] = nullcontext
) -> S3Store:
    """A store whose requests are answered from ``contents``.

    What S3 would do runs in ``uncounted()``, for who measures what its client does.
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
    """A boto3 client for S3, as the functions make it, that is answered from ``contents``."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    client = s3_client(retries=retries)

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        body = _whole(request.body)
        with uncounted():
            asked = _read(request, body)
            named = _named(asked)
        traffic.begin(named)
        with uncounted():
            answered = _answer(contents, named.method, asked)
        # A HEAD's answer tells the length of a body that is not there.
        traffic.end(len(answered.body), is_listing=named.method == "LIST")
        return AWSResponse(request.url, answered.status, dict(answered.headers), _Raw(answered.body))

    client.meta.events.register_first("before-send.s3", answer)
    return client


class _Raw(io.BytesIO):
    """A body as urllib3 hands it out."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


def _whole(body: Any) -> bytes:  # noqa: ANN401  # whatever botocore sends
    """What would be sent; a check-sum that comes as a trailer is computed by the reading."""
    return body.read() if hasattr(body, "read") else body or b""


def _read(request: AWSPreparedRequest, body: bytes) -> _Asked:
    url = urlsplit(request.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    if "aws-chunked" in headers.get("content-encoding", ""):
        body, trailers = _unchunked(body)
        headers |= trailers
    parameters = dict(parse_qsl(url.query, keep_blank_values=True))
    return _Asked(request.method, url.netloc.partition(".")[0], unquote(url.path[1:]), parameters, headers, body)


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


def _named(asked: _Asked) -> Request:
    if not asked.key and "list-type" in asked.parameters:
        return Request("LIST", asked.parameters.get("prefix", ""))
    if asked.method == "POST" and "delete" in asked.parameters:
        return Request("DELETE", "", len(asked.body))
    assert asked.method in ("GET", "HEAD", "PUT"), asked
    assert asked.key, asked
    conditional = "if-match" in asked.headers or "if-none-match" in asked.headers
    return Request(asked.method, asked.key, len(asked.body), conditional)


def _answer(contents: Contents, method: str, asked: _Asked) -> _Answer:
    if asked.bucket != BUCKET:
        return _error(method, 404, "NoSuchBucket")
    if method == "LIST":
        return _xml(wire_xml.listing(contents.list, BUCKET, asked.parameters))
    if method == "DELETE":
        for key in wire_xml.keys_to_delete(asked.body):
            contents.remove(key)
        return _xml(wire_xml.DELETED)
    present = contents.head(asked.key)
    if status := _refusal(asked, None if isinstance(present, Absent) else present.etag):
        return _error(method, status, _CODES[status])
    if method == "PUT":
        return _put(contents, asked)
    assert isinstance(present, Present)
    stored = contents.get(asked.key) if method == "GET" else None
    headers = _headers_of(present, checksums=asked.headers.get("x-amz-checksum-mode") == "ENABLED")
    return _Answer(200, headers, stored.body if stored else b"")


def _refusal(asked: _Asked, current: str | None) -> int | None:
    """The status that a request gets whose condition does not hold, or whose object is not there."""
    wanted, unwanted = asked.headers.get("if-match"), asked.headers.get("if-none-match")
    if current is None:
        return 404 if wanted or asked.method != "PUT" else None
    if wanted and wanted.strip('"') != current:
        return 412
    if unwanted and unwanted.strip('"') in ("*", current):
        return 412 if asked.method == "PUT" else 304
    return None


def _put(contents: Contents, asked: _Asked) -> _Answer:
    checksum = {name: value for name in _CHECKSUMS if (value := asked.headers.get(f"x-amz-checksum-{name}"))}
    facts = {
        "content_type": asked.headers.get("content-type", "binary/octet-stream"),
        "storage_class": asked.headers.get("x-amz-storage-class", "STANDARD"),
        "metadata": {
            name.removeprefix("x-amz-meta-"): value
            for name, value in asked.headers.items()
            if name.startswith("x-amz-meta-")
        },
        "checksum": checksum | {"type": "FULL_OBJECT"} if checksum else None,
    }
    present = contents.upload(asked.key, asked.body, **facts)
    return _Answer(200, _always() | {"etag": f'"{present.etag}"', **_checksum_headers(present), "content-length": "0"})


def _headers_of(present: Present, *, checksums: bool) -> dict[str, str]:
    headers = _always() | {
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


def _always() -> dict[str, str]:
    return {
        "x-amz-id-2": "Vvag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==",
        "x-amz-request-id": "656c76696e6727732",
        "date": "Thu, 01 Jan 2026 00:00:00 GMT",
        "server": "AmazonS3",
        "x-amz-server-side-encryption": "AES256",
    }


def _error(method: str, status: int, code: str) -> _Answer:
    return _Answer(status, _always()) if method == "HEAD" or status == 304 else _xml(wire_xml.error(code), status)


def _xml(document: str, status: int = 200) -> _Answer:
    body = document.encode()
    return _Answer(status, _always() | {"content-type": "application/xml", "content-length": str(len(body))}, body)


@lru_cache(1000)
def _http_date(timestamp: str) -> str:
    return format_datetime(datetime.fromisoformat(timestamp), usegmt=True)
