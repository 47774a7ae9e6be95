import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import boto3
import pytest
from botocore.credentials import DeferredRefreshableCredentials
from botocore.exceptions import UnauthorizedSSOTokenError
from botocore.stub import Stubber
from client.transfers import Proxy, md5, random_bytes, self_signed, session

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.store import ReadFailed, WriteRefused
from s3_manifest_cli.client.transfer.crt import endpoint_of, in_bucket_region
from s3_manifest_cli.client.transfer.objects import Objects, ObjectVersion
from s3_manifest_cli.errors import Invalid, Unavailable

KEY, BODY = "styles/16/a.png", random_bytes(9000)


def test_missing_credentials_are_an_error(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Unavailable, match="credentials"):
        Objects(bucket.name, boto3.Session(region_name="us-east-1"), bucket.endpoint)


def renewing(key_ids: list[str], minutes: float) -> Any:
    """A session whose credentials expire after ``minutes``."""

    def renewed():
        key_ids.append(f"key{len(key_ids)}")
        end = datetime.now(UTC) + timedelta(minutes=minutes)
        return {"access_key": key_ids[-1], "secret_key": "s", "token": "t", "expiry_time": end.isoformat()}

    credentials_session: Any = boto3.Session(region_name="us-east-1")
    credentials_session._session._credentials = DeferredRefreshableCredentials(renewed, "test")
    return credentials_session


def get(objects, version):
    results = SimpleQueue()
    objects.begin_get_all(version, lambda *result: results.put(result))
    body, error = results.get()
    if error:
        raise error
    return body


def test_credentials_are_renewed_before_they_expire(bucket, proxy):
    etag = bucket.put(KEY, BODY)
    key_ids = []
    # In the last 15 minutes before they expire, botocore renews credentials at each use.
    with Objects(bucket.name, renewing(key_ids, 12), proxy.endpoint) as objects:
        for _ in range(3):
            get(objects, ObjectVersion(KEY, etag))
    used = [request.headers["authorization"].partition("Credential=")[2].partition("/")[0] for request in proxy.seen]
    assert len(set(used)) == 3
    assert set(used) <= set(key_ids)
    assert {request.headers["x-amz-security-token"] for request in proxy.seen} == {"t"}


def test_the_reason_why_credentials_are_not_renewed_is_reported(bucket):
    etag = bucket.put(KEY, BODY)
    key_ids = []
    credentials_session = renewing(key_ids, 60)
    with Objects(bucket.name, credentials_session, bucket.endpoint) as objects:

        def refused():
            raise UnauthorizedSSOTokenError

        credentials_session._session._credentials.get_frozen_credentials = refused
        with pytest.raises(ReadFailed, match="You are not logged in to AWS"):
            get(objects, ObjectVersion(KEY, etag))


def test_a_bucket_is_reached_at_the_endpoint_of_botocore():
    amazon = endpoint_of(s3_client(session=session()), "some-bucket")
    assert amazon == ("some-bucket.s3.amazonaws.com", "/", True, "us-east-1")
    other = endpoint_of(s3_client("http://127.0.0.1:9000/s3/", session=session()), "some-bucket")
    assert other == ("127.0.0.1:9000", "/s3/some-bucket/", False, "us-east-1")


@pytest.mark.parametrize("answer", ["allowed", "refused", "silent"])
def test_a_bucket_in_another_region_is_found(answer):
    client = s3_client(session=session())
    stub: Any
    with Stubber(client) as stub:
        if answer == "allowed":
            stub.add_response("head_bucket", {"BucketRegion": "eu-central-1"})
        else:
            stub.add_client_error("head_bucket", http_status_code=403)
            if answer == "refused":
                stub._queue[-1]["response"][1]["ResponseMetadata"]["HTTPHeaders"] = {
                    "x-amz-bucket-region": "eu-central-1"
                }
        regional = in_bucket_region(client, session(), "some-bucket")
    place = endpoint_of(regional, "some-bucket")
    region = "us-east-1" if answer == "silent" else "eu-central-1"
    host = "some-bucket.s3.amazonaws.com" if answer == "silent" else f"some-bucket.s3.{region}.amazonaws.com"
    assert place == (host, "/", True, region)


@pytest.fixture
def certificate(tmp_path) -> Path:
    """A self-signed certificate with its key."""
    return self_signed(tmp_path)


@pytest.fixture
def secure(bucket, certificate) -> Iterator[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Proxy(bucket.endpoint, context) as proxy:
        yield proxy


def test_a_certificate_of_aws_ca_bundle_is_trusted(bucket, secure, certificate, monkeypatch):
    etag = bucket.put(KEY, BODY)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate.with_name("alone.pem")))
    with bucket.objects(secure.endpoint) as objects:
        assert get(objects, ObjectVersion(KEY, etag)) == BODY


@pytest.mark.slow  # the runtime tries for ten seconds
def test_an_unknown_certificate_is_not_trusted(bucket, secure):
    with (
        bucket.objects(secure.endpoint) as objects,
        pytest.raises(WriteRefused, match="certificate that is not trusted"),
    ):
        objects.put(KEY, BODY, md5(BODY), replaces=None, headers={})
    assert secure.seen == []


def test_an_unreadable_ca_bundle_is_named_in_the_error(bucket, secure, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(Invalid, match=r"AWS_CA_BUNDLE.*nowhere"):
        bucket.objects(secure.endpoint)


def test_finished_requests_leave_nothing_in_memory(bucket):
    with bucket.objects() as objects:
        for number in range(5):
            objects.put(f"{KEY}{number}", BODY, md5(BODY), replaces=None, headers={})
            get(objects, ObjectVersion(f"{KEY}{number}", md5(BODY)))
        assert (objects._once._active, objects._repeated._active) == ({}, {})


PULL = """
import sys
import boto3
from pathlib import Path
from s3_manifest_cli.client.transfer.concurrency import map_concurrently
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.transfer.download import DownloadRequest, download
from s3_manifest_cli.client.transfer.objects import Objects, ObjectVersion
from s3_manifest_cli.client.transfer.cancellation import Cancellation, terminable
from s3_manifest_cli.client.verify.proofs import ExpectedContent

endpoint, bucket, folder, etag, size = sys.argv[1:]
cancellation = Cancellation()
request = DownloadRequest(ObjectVersion("styles/16/a.png", etag), ExpectedContent(int(size), etag, etag))
session = boto3.Session("test", "test", region_name="us-east-1")
try:
    objects = Objects(bucket, session, endpoint, cancellation=cancellation)
    with objects, Destination(Path(folder)) as destination:
        def pull(number):
            with destination.partial(f"{number}.bin", request.token) as partial:
                download(objects, request, partial)
                partial.finish()
        with terminable():
            for outcome in map_concurrently(pull, range(100_000), cancellation):
                print(outcome.error or "ok", flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_leaves_only_complete_files(bucket, tmp_path, name):
    etag = bucket.put(KEY, BODY)
    command = [sys.executable, "-c", PULL, bucket.endpoint, bucket.name, str(tmp_path), etag, str(len(BODY))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        for _ in range(20):
            assert run.stdout.readline() == "ok\n"
        os.kill(run.pid, getattr(signal, name))
        output, errors = run.communicate(timeout=30)
    assert run.returncode == 130
    assert errors == ""
    assert set(output.split()) <= {"ok"}
    files = [path for path in tmp_path.iterdir() if path.name != ".s3-manifest"]
    assert len(files) >= 20 + output.count("ok")
    assert {path.read_bytes() for path in files} == {BODY}
