import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from client.transfers import Bucket, Proxy, Reply, download_request, md5, random_bytes, refusal

from s3_manifest.storage.store import Conflict, ReadFailed
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.client.transfer.download import DownloadRequest, DownloadResult, download, prefetch
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.errors import Unavailable

PART = 1 << 16
SMALL = random_bytes(9000)
LARGE = random_bytes(3 * PART + 12345)


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.client.transfer.download.PART", PART)


def request_for(body: bytes, etag: str, key: str = "styles/16/a.bin", **more) -> DownloadRequest:
    return download_request(key, len(body), etag, **({"md5": md5(body)} | more))


def fetch(objects: Objects, folder: Path, request: DownloadRequest, progress=lambda _: None) -> DownloadResult:
    with Destination(folder) as destination, destination.partial("a.bin", request.token) as partial:
        body = None
        if request.expected.size_bytes <= PART:
            (fetched,) = prefetch(objects, [(None, request)])
            objects.budget.release(fetched.reserved)
            if fetched.error:
                raise fetched.error
            (body,) = fetched.body
        done = download(objects, request, partial, progress, body)
        partial.finish()
        return done


def fail_once(objects: Objects, proxy: Proxy, folder: Path, request: DownloadRequest) -> str:
    """Runs a download that lacks one range of a large object; returns that range."""
    bad = f"bytes={PART}-{2 * PART - 1}"
    proxy.before = lambda request: refusal(403, "AccessDenied") if request.range == bad else None
    with pytest.raises(ReadFailed):
        fetch(objects, folder, request)
    proxy.before = lambda _: None
    proxy.seen.clear()
    return bad


@pytest.mark.parametrize("body", [b"", b"x", SMALL, LARGE], ids=["empty", "a byte", "small", "large"])
def test_an_object_is_downloaded_and_verified(bucket, objects, tmp_path, body):
    request = request_for(body, bucket.put("styles/16/a.bin", body))
    progress = []
    done = fetch(objects, tmp_path, request, progress.append)
    assert (tmp_path / "a.bin").read_bytes() == body
    assert (done.verdict.status, done.verdict.proofs, done.fetched) == ("match", ("md5",), len(body))
    assert sum(progress) == len(body)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize(
    "key", ["a b+c%20d.png", "ä/🎨 #?&=;.png", "a//b", "x/../y", "~'()*!,:@$[]{}^`|\\\"<>", "a/./b/"]
)
def test_objects_with_unusual_keys_are_downloaded(bucket, objects, tmp_path, key):
    request = request_for(SMALL, bucket.put(key, SMALL), key)
    assert fetch(objects, tmp_path, request).verdict.status == "match"


def test_a_large_object_is_fetched_in_ranges_that_all_name_its_etag(bucket, objects, proxy, tmp_path):
    etag = bucket.put("styles/16/a.bin", LARGE)
    fetch(objects, tmp_path, request_for(LARGE, etag))
    gets = proxy.of("GET")
    assert {request.headers["if-match"] for request in gets} == {f'"{etag}"'}
    starts = range(0, len(LARGE), PART)
    assert sorted(request.range for request in gets) == sorted(
        f"bytes={start}-{min(start + PART, len(LARGE)) - 1}" for start in starts
    )


def test_a_small_object_takes_one_request(bucket, objects, proxy, tmp_path):
    fetch(objects, tmp_path, request_for(SMALL, bucket.put("styles/16/a.bin", SMALL)))
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("becomes", ["another", "gone"])
def test_an_object_that_was_replaced_or_deleted_is_a_conflict(bucket, objects, tmp_path, body, becomes):
    request = request_for(body, bucket.put("styles/16/a.bin", body))
    if becomes == "another":
        bucket.put("styles/16/a.bin", body[::-1])
    else:
        bucket.client.delete_object(Bucket=bucket.name, Key="styles/16/a.bin")
    with pytest.raises(Conflict):
        fetch(objects, tmp_path, request)
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_a_response_with_another_etag_is_a_conflict(bucket, objects, proxy, tmp_path, body):
    request = request_for(body, bucket.put("styles/16/a.bin", body))
    proxy.after = lambda _, reply: reply._replace(
        headers=[(name, '"other"' if name.lower() == "etag" else value) for name, value in reply.headers]
    )
    with pytest.raises(Conflict):
        fetch(objects, tmp_path, request)


def test_an_old_version_is_fetched(bucket, objects, tmp_path):
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    answer = bucket.client.put_object(Bucket=bucket.name, Key="styles/16/a.bin", Body=SMALL)
    bucket.put("styles/16/a.bin", LARGE)
    # MiniStack supports no ranges for versions.
    request = request_for(SMALL, answer["ETag"].strip('"'), version_id=answer["VersionId"])
    assert fetch(objects, tmp_path, request).verdict.status == "match"


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_a_wrong_byte_on_the_way_is_an_error_and_nothing_is_left(bucket, objects, proxy, tmp_path, body):
    request = request_for(body, bucket.put("styles/16/a.bin", body))
    proxy.after = lambda _, reply: reply._replace(body=reply.body[:-1] + bytes([reply.body[-1] ^ 1]))
    with pytest.raises(ReadFailed, match="wrong bytes"):
        fetch(objects, tmp_path, request)
    assert list(tmp_path.iterdir()) == []


def test_a_response_with_too_few_bytes_is_an_error(bucket, objects, proxy, tmp_path):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))
    proxy.after = lambda _, reply: reply._replace(body=reply.body[:-1])
    with pytest.raises(ReadFailed, match="fewer bytes"):
        fetch(objects, tmp_path, request)
    assert not (tmp_path / "a.bin").exists()


def test_a_full_response_to_a_range_request_is_accepted(bucket, objects, proxy, tmp_path):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))
    proxy.before = lambda _: Reply(200, [("ETag", f'"{request.version.etag}"')], LARGE)
    assert fetch(objects, tmp_path, request).verdict.status == "match"
    assert (tmp_path / "a.bin").read_bytes() == LARGE


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_a_broken_connection_is_retried(bucket, objects, proxy, tmp_path, body):
    request = request_for(body, bucket.put("styles/16/a.bin", body))
    broken = []

    def once(request, reply):
        if request.range in broken:
            return reply
        broken.append(request.range)
        return reply._replace(cut=100)

    proxy.after = once
    assert fetch(objects, tmp_path, request).verdict.status == "match"
    assert broken


def test_a_request_to_a_busy_server_is_retried(bucket, objects, proxy, tmp_path):
    request = request_for(SMALL, bucket.put("styles/16/a.bin", SMALL))
    busy = [refusal(503, "SlowDown"), refusal(500, "InternalError")]
    proxy.before = lambda _: busy.pop() if busy else None
    assert fetch(objects, tmp_path, request).verdict.status == "match"


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_a_refusal_names_the_missing_permission(bucket, objects, proxy, tmp_path, body):
    request = request_for(body, bucket.put("styles/16/a.bin", body))
    proxy.before = lambda _: refusal(403, "AccessDenied")
    with pytest.raises(ReadFailed, match=r"403 AccessDenied\. Allow s3:GetObject"):
        fetch(objects, tmp_path, request)


def test_ranges_fetched_by_a_failed_run_are_not_fetched_again(bucket, objects, proxy, tmp_path):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))
    bad = fail_once(objects, proxy, tmp_path, request)
    assert not (tmp_path / "a.bin").exists()
    progress = []
    done = fetch(objects, tmp_path, request, progress.append)
    assert [request.range for request in proxy.of("GET")] == [bad]
    assert (done.verdict.status, done.fetched, sum(progress)) == ("match", PART, len(LARGE))
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_record_with_an_incomplete_line_is_resumed(bucket, objects, proxy, tmp_path):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))
    starts = range(0, len(LARGE), PART)

    def only(number):
        proxy.before = lambda request: (
            None if request.range.startswith(f"bytes={starts[number]}-") else refusal(403, "AccessDenied")
        )
        with pytest.raises(ReadFailed):
            fetch(objects, tmp_path, request)

    only(0)
    (record,) = (tmp_path / ".s3-manifest").glob("*.ranges")
    with record.open("ab") as file:
        file.write(b"131072 19")
    only(1)
    proxy.before = lambda _: None
    assert fetch(objects, tmp_path, request).fetched == len(LARGE) - 2 * PART
    assert (tmp_path / "a.bin").read_bytes() == LARGE


KILLED = """
import os, sys
import boto3
from pathlib import Path
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.transfer import download as module
from s3_manifest_cli.client.transfer.download import DownloadRequest, download
from s3_manifest_cli.client.transfer.objects import Objects, ObjectVersion
from s3_manifest_cli.client.verify.proofs import ExpectedContent

module.PART = 1 << 16
endpoint, bucket, folder, size, etag = sys.argv[1:]
progress = []

def die(count):
    progress.append(count)
    if len(progress) == 4:  # the first entry is the size that an earlier run fetched
        os._exit(9)

request_for = DownloadRequest(ObjectVersion("styles/16/a.bin", etag), ExpectedContent(int(size), etag, etag))
with Objects(bucket, boto3.Session("test", "test", region_name="us-east-1"), endpoint) as objects:
    with Destination(Path(folder)) as destination, destination.partial("a.bin", request_for.token) as partial:
        download(objects, request_for, partial, die)
"""


def test_ranges_recorded_by_a_killed_run_are_not_fetched_again(bucket, objects, proxy, tmp_path):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))
    command = [
        sys.executable,
        "-c",
        KILLED,
        bucket.endpoint,
        bucket.name,
        str(tmp_path),
        str(len(LARGE)),
        request.version.etag,
    ]
    assert subprocess.run(command, check=False, timeout=60).returncode == 9
    assert not (tmp_path / "a.bin").exists()
    done = fetch(objects, tmp_path, request)
    # The run died before it recorded the third range: two are recorded.
    assert len(proxy.of("GET")) == 2
    assert done.verdict.status == "match"
    assert (tmp_path / "a.bin").read_bytes() == LARGE


def test_ranges_of_a_replaced_object_are_not_reused(bucket, objects, proxy, tmp_path):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))
    fail_once(objects, proxy, tmp_path, request)
    other = LARGE[::-1]
    done = fetch(objects, tmp_path, request_for(other, bucket.put("styles/16/a.bin", other)))
    assert done.fetched == len(other)
    assert (tmp_path / "a.bin").read_bytes() == other


@pytest.mark.parametrize("harm", ["cut", "altered"])
def test_a_modified_partial_is_detected_and_fetched_again(bucket, objects, proxy, tmp_path, harm):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))
    fail_once(objects, proxy, tmp_path, request)
    (left,) = (path for path in (tmp_path / ".s3-manifest").iterdir() if path.suffix != ".ranges")
    if harm == "cut":
        os.truncate(left, PART)
        assert fetch(objects, tmp_path, request).fetched == len(LARGE)
    else:
        with left.open("r+b") as file:
            file.seek(2 * PART)
            file.write(b"other")
        with pytest.raises(ReadFailed, match="wrong bytes"):
            fetch(objects, tmp_path, request)
        assert fetch(objects, tmp_path, request).fetched == len(LARGE)
    assert (tmp_path / "a.bin").read_bytes() == LARGE


def uploaded_in_parts(bucket: Bucket, sizes: list[int], body: bytes) -> str:
    target = {"Bucket": bucket.name, "Key": "styles/16/a.bin"}
    upload_id = bucket.client.create_multipart_upload(**target)["UploadId"]
    parts, at = [], 0
    for number, size in enumerate(sizes, 1):
        answer = bucket.client.upload_part(**target, UploadId=upload_id, PartNumber=number, Body=body[at : at + size])
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        at += size
    done = bucket.client.complete_multipart_upload(**target, UploadId=upload_id, MultipartUpload={"Parts": parts})
    return done["ETag"].strip('"')


def test_without_an_md5_parts_of_an_odd_size_prove_the_object(bucket, objects, tmp_path):
    odd = 5 * 1024 * 1024 + 77
    body = random_bytes(odd + 1000)
    request = request_for(body, uploaded_in_parts(bucket, [odd, 1000], body), md5=None)
    done = fetch(objects, tmp_path, request)
    assert (done.verdict.status, done.verdict.proofs) == ("match", ("etag",))


def test_an_object_with_uneven_parts_is_unverifiable_and_fetched_from_the_start(bucket, objects, proxy, tmp_path):
    sizes = [5 * 1024 * 1024 + 77, 5 * 1024 * 1024 + 1, 1000]
    body = random_bytes(sum(sizes))
    request = request_for(body, uploaded_in_parts(bucket, sizes, body), md5=None)
    fail_once(objects, proxy, tmp_path, request)
    progress = []
    done = fetch(objects, tmp_path, request, progress.append)
    assert (done.verdict.status, done.fetched, sum(progress)) == ("unverifiable", len(body), len(body))
    assert (tmp_path / "a.bin").read_bytes() == body


def test_an_object_without_a_digest_is_unverifiable_and_fetched_from_the_start(bucket, objects, proxy, tmp_path):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE), md5=None)
    fail_once(objects, proxy, tmp_path, request)
    done = fetch(objects, tmp_path, request)
    assert (done.verdict.status, done.fetched) == ("unverifiable", len(LARGE))
    assert (tmp_path / "a.bin").read_bytes() == LARGE


def test_a_cancellation_ends_a_download_and_its_ranges_stay(bucket, proxy, tmp_path):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))
    cancellation = Cancellation()
    reached = threading.Event()

    def hold(request):
        if not request.range.startswith("bytes=0-"):
            reached.set()
            threading.Event().wait(30 if not cancellation.is_requested else 0)

    def ask():
        reached.wait(30)
        cancellation.cancel()

    proxy.before = hold
    asking = threading.Thread(target=ask)
    asking.start()
    with bucket.objects(proxy.endpoint, cancellation) as objects, pytest.raises(Cancelled):
        fetch(objects, tmp_path, request)
    asking.join()
    assert not (tmp_path / "a.bin").exists()


def test_a_full_disk_is_an_error_that_names_the_file(bucket, objects, tmp_path, monkeypatch):
    request = request_for(LARGE, bucket.put("styles/16/a.bin", LARGE))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("s3_manifest_cli.client.transfer.download.write_at", full)
    with pytest.raises(Unavailable, match=r"'a.bin' was not written: the disk is full"):
        fetch(objects, tmp_path, request)
