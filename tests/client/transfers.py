"""Shared by the tests of transfers: a bucket on a real server, and a proxy that can break requests to it."""

import contextlib
import hashlib
import http.client
import ipaddress
import itertools
import random
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from s3_manifest.aws.clients import s3_client
from s3_manifest_cli.client.transfer.cancellation import Cancellation
from s3_manifest_cli.client.transfer.concurrency import MemoryBudget
from s3_manifest_cli.client.transfer.download import DownloadRequest
from s3_manifest_cli.client.transfer.objects import Objects, ObjectVersion
from s3_manifest_cli.client.verify.proofs import ExpectedContent
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY, Platform

BUCKET = "transfers"
_numbers = itertools.count()


@cache
def session() -> boto3.Session:
    """A shared session: creating one loads botocore's model of S3, which takes longer than a test."""
    return boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def random_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


class Bucket(NamedTuple):
    """A new bucket; ``client`` is independent of the client under test."""

    name: str
    endpoint: str
    client: Any

    def objects(
        self, endpoint: str | None = None, cancellation: Cancellation | None = None, memory: int = 64 << 20
    ) -> Objects:
        cancellation = cancellation or Cancellation()
        budget = MemoryBudget(memory, cancellation)
        return Objects(self.name, session(), endpoint or self.endpoint, cancellation=cancellation, budget=budget)

    def put(self, key: str, body: bytes, **more: Any) -> str:
        return self.client.put_object(Bucket=self.name, Key=key, Body=body, **more)["ETag"].strip('"')

    def body(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", ())]

    def unfinished(self) -> list[str]:
        return [
            upload["UploadId"] for upload in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ())
        ]


def download_request(key: str, size: int, etag: str, md5: str | None, version_id: str | None = None) -> DownloadRequest:
    return DownloadRequest(ObjectVersion(key, etag, version_id), ExpectedContent(size, md5, etag))


def fresh_bucket(platform: Platform) -> Bucket:
    client = _client(platform.endpoint)
    name = f"{BUCKET}-{next(_numbers)}"
    client.create_bucket(Bucket=name)
    return Bucket(name, platform.endpoint, client)


@cache
def _client(endpoint: str) -> Any:
    return s3_client(endpoint, session=session())


class ProxyRequest(NamedTuple):
    """A request as the proxy received it."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def key(self) -> str:
        return urlsplit(self.path).path

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class Reply(NamedTuple):
    """A response; the connection breaks after ``cut`` bytes of its body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: int | None = None


def refusal(status: int, code: str) -> Reply:
    return Reply(status, [("Content-Type", "application/xml")], f"<Error><Code>{code}</Code></Error>".encode())


class Proxy:
    """A proxy between a client and S3. ``before`` may respond instead of S3; ``sent`` alters
    the body of a request, and ``after`` the response."""

    def __init__(self, endpoint: str, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[ProxyRequest] = []
        self.before: Callable[[ProxyRequest], Reply | None] = lambda _: None
        self.sent: Callable[[ProxyRequest, bytes], bytes] = lambda _, body: body
        self.after: Callable[[ProxyRequest, Reply], Reply] = lambda _, reply: reply
        self._upstream = urlsplit(endpoint).netloc
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def of(self, method: str, key: str = "") -> list[ProxyRequest]:
        return [request for request in self.seen if request.method == method and request.key.endswith(key)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: ProxyRequest, body: bytes) -> Reply:
        self.seen.append(request)
        if reply := self.before(request):
            return reply
        connection = http.client.HTTPConnection(self._upstream)
        try:
            connection.request(request.method, request.path, self.sent(request, body), request.headers)
            answer = connection.getresponse()
            response = Reply(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()
        return self.after(request, response)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = owner._answer(ProxyRequest(self.command, self.path, headers), body)
                length = dict(reply.headers).get("Content-Length") if self.command == "HEAD" else str(len(reply.body))
                self.send_response(reply.status)
                for name, value in reply.headers:
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                if self.command == "HEAD":
                    return
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(reply.body[: reply.cut])
                self.close_connection = reply.cut is not None

            do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _any  # noqa: N815  # http.server's names

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        return Handler


def self_signed(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key; ``alone.pem`` beside it holds only the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "with-key.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(private + certificate_pem)
    path.with_name("alone.pem").write_bytes(certificate_pem)
    return path
