"""Deployments for the client: a bucket in moto, and the HTTP API as the functions behind a real server.

Also a real S3 server behind a proxy, for transfers.
"""

import signal
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
import handlers.conftest as functions
import pytest
from client import transfers
from client.sides import Sides, cached_s3_client
from client.transfers import Bucket, Proxy, fresh_bucket
from handlers.account import Account
from handlers.lambda_events import BUCKET, Context, http_request, s3_event
from handlers.scenarios import Scenario
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

import query_handler
import rescan_handler
from s3_manifest.aws import messaging
from s3_manifest.aws.clients import s3_client, sqs_client
from s3_manifest.manifest.collections import DEFAULT_COLLECTIONS, DEFAULT_ROOT, Collection, parse_collections
from s3_manifest.storage.s3 import S3Store
from s3_manifest_cli.client.access.http_api import HttpApi
from s3_manifest_cli.client.local import reading
from s3_manifest_cli.client.manifests import deployment as client_deployment
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import S3Manifests
from s3_manifest_cli.client.manifests.http import HttpManifests
from s3_manifest_cli.client.transfer import objects as client_objects
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.local_stack.platform import Platform, running_platform

session, account, reconcile = functions.session, functions.account, functions.reconcile
sweep, sweep_on, pass_seconds = functions.sweep, functions.sweep_on, functions.pass_seconds
small_pages, impatience = functions.small_pages, functions.impatience

# A shell's background jobs, and the processes they start, ignore Ctrl-C; these tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

COLLECTIONS = parse_collections(DEFAULT_COLLECTIONS, DEFAULT_ROOT, BUCKET)


class RequestHandler(BaseHTTPRequestHandler):
    """Passes requests to the functions as API Gateway does, and records them in ``server.requests``."""

    server: Any

    def answer(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode() or None
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.server.requests.append((self.command, url.path, query))
        event = http_request(unquote(url.path), query, headers, self.command, body)
        function = rescan_handler if self.command == "POST" else query_handler
        with self.server.one_event:
            answered = function.handler(event, Context(function_name="api"))
        content = (answered.get("body") or "").encode()
        self.send_response(answered["statusCode"])
        for name, value in answered["headers"].items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer  # noqa: N815  # the names that the server calls

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api(account: Account) -> Iterator[Any]:
    """The HTTP API, on loopback: ``api.url``, and its ``requests``."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler)
    server.one_event = Lock()  # each instance of a function handles one event at a time
    server.requests, server.url = [], f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=partial(server.serve_forever, poll_interval=0.005))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def through_s3(account: Account, session: Any, tmp_path: Path) -> Deployment:
    boto = boto3.DEFAULT_SESSION
    enqueue = partial(messaging.send_jobs, sqs_client(session=boto), account.sweep_queue_url, delay_seconds=0)
    store = S3Store(BUCKET, s3_client(session=boto), s3_client(retries=False, session=boto))
    manifests = S3Manifests({BUCKET: store}, COLLECTIONS, enqueue)
    return Deployment(manifests, COLLECTIONS, boto, None, BUCKET, "s3", tmp_path / "cache")


@pytest.fixture
def through_http(api: Any, session: Any, tmp_path: Path) -> Deployment:
    boto = boto3.DEFAULT_SESSION
    manifests = HttpManifests(HttpApi(api.url, boto, "token"), COLLECTIONS)
    return Deployment(manifests, COLLECTIONS, boto, None, None, api.url, tmp_path / "cache")


@pytest.fixture(params=["s3", pytest.param("http", marks=pytest.mark.slow)])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """The deployment through S3, and through the HTTP API."""
    return request.getfixturevalue(f"through_{request.param}")


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with running_platform() as running:
        yield running


@pytest.fixture
def bucket(platform: Platform) -> Bucket:
    return fresh_bucket(platform)


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    with Proxy(bucket.endpoint) as running:
        yield running


@pytest.fixture
def objects(bucket: Bucket, proxy: Proxy) -> Iterator[Objects]:
    """``Objects`` behind the proxy."""
    with bucket.objects(proxy.endpoint) as made:
        yield made


@pytest.fixture
def style() -> Collection:
    return COLLECTIONS.lookup("style", "16")


@pytest.fixture
def scenario(account: Account, reconcile: Any, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    return Scenario(account, reconcile, monkeypatch)


@pytest.fixture
def send_events(reconcile: Any) -> Callable[..., None]:
    """Sends events about these keys."""

    def send_events(*keys: str) -> None:
        assert reconcile({"m": s3_event(*keys)}) == []

    return send_events


@pytest.fixture
def add(account: Account, send_events: Callable[..., None]) -> Callable[..., None]:
    """Puts objects, by key, and sends their events."""

    def add(objects: dict[str, bytes], **facts: Any) -> None:
        for key, body in objects.items():
            account.put(key, body, **facts)
        send_events(*objects)

    return add


@pytest.fixture
def no_md5s(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack computes no MD5s."""
    monkeypatch.setenv("MD5_MAX_BYTES", "0")
    functions.forget_settings()


@pytest.fixture
def put_bare(account: Account) -> Callable[[str, bytes], None]:
    """Puts an object without an MD5 and without a checksum in S3."""

    def put_bare(key: str, body: bytes) -> None:
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(BUCKET, key, body, encryption="aws:kms")

    return put_bare


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The user's folder."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.fixture
def write(folder: Path) -> Callable[[dict[str, bytes]], None]:
    """Writes files into that folder, by filename."""

    def write(files: dict[str, bytes]) -> None:
        for name, body in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(body)

    return write


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the local files that were read."""
    found: list[str] = []
    opened = reading.open_file
    monkeypatch.setattr(reading, "open_file", lambda top, name: found.append(name) or opened(top, name))
    return found


@pytest.fixture
def files_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written in the test count as written long before they are read."""
    monkeypatch.setattr("s3_manifest_cli.client.verify.status.time_ns", lambda: 4 * 10**18)


@pytest.fixture
def sides(bucket: Bucket, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sides:
    """A folder and a collection; beside the folder is one whose name starts the same."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "S3_MANIFEST_STACK", "S3_MANIFEST_ROOT"):
        monkeypatch.delenv(name, raising=False)
    # Creating a session loads botocore's model of S3, which takes longer than a test.
    monkeypatch.setattr(boto3, "Session", lambda **_: transfers.session())
    monkeypatch.setattr(client_deployment, "s3_client", cached_s3_client)
    monkeypatch.setattr(client_objects, "s3_client", cached_s3_client)
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest-evil").mkdir()
    (tmp_path / "dest-evil/x").write_bytes(b"secret")
    return Sides(bucket, proxy, tmp_path / "dest", tmp_path / "cache")
