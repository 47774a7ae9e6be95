import io
import os
import subprocess
import sys
import threading
from base64 import b64encode
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from client.transfers import Proxy, Reply, md5, random_bytes, refusal, session

from s3_manifest.reconcile.entries import decode_metadata
from s3_manifest.storage.store import Conflict, OutcomeUnknown, WriteRefused
from s3_manifest.storage.upload_headers import UploadMetadata, upload_headers
from s3_manifest_cli.client.local.reading import FileChanged
from s3_manifest_cli.client.transfer import multipart
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.client.transfer.checksums import Checksums, compute_checksums, crc_of
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.resumable_uploads import UnfinishedUpload, UnfinishedUploads
from s3_manifest_cli.client.transfer.upload import UploadRequest, UploadResult, upload

KEY = "styles/16/ä b.png"
PART = 1 << 20
SMALL = random_bytes(9000)
LARGE = random_bytes(2 * PART + 12345)
TWO_PARTS = random_bytes(PART + 1000)
BOTH = pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.client.transfer.upload.PART", PART)


@pytest.fixture
def unfinished(tmp_path) -> UnfinishedUploads:
    return UnfinishedUploads(tmp_path / "unfinished")


def request_for(body: bytes, replaces: str | None = None, **metadata: str) -> UploadRequest:
    headers = upload_headers(KEY, md5(body), UploadMetadata(**metadata)).headers
    return UploadRequest(KEY, len(body), compute_checksums(io.BytesIO(body), len(body)), replaces, headers)


def store(
    objects, folder: Path, body: bytes, request: UploadRequest, unfinished, progress=lambda _: None
) -> UploadResult:
    path = folder / "file"
    path.write_bytes(body)
    with path.open("rb", buffering=0) as file:
        return upload(objects, file, request, unfinished, progress)


@pytest.mark.parametrize("body", [b"", b"x", SMALL, LARGE], ids=["empty", "a byte", "small", "large"])
def test_a_file_is_stored_with_its_metadata(bucket, objects, tmp_path, unfinished, body):
    progress = []
    metadata = {"prompt": "größe 🎨", "local_path": "data/a b.png", "generation_id": "7", "generation_type": "lora"}
    done = store(objects, tmp_path, body, request_for(body, **metadata), unfinished, progress.append)
    current = objects.head(KEY)
    assert bucket.body(KEY) == body
    assert (done.etag, done.sent, sum(progress)) == (current.etag, len(body), len(body))
    assert current.content_type == "image/png"
    assert {name: decode_metadata(value) for name, value in current.metadata.items()} == {
        "md5": md5(body),
        "prompt": "größe 🎨",
        "local-path": "data/a b.png",
        "generation-id": "7",
        "generation-type": "lora",
    }
    assert (bucket.unfinished(), list(unfinished.all(bucket.name))) == ([], [])


@BOTH
def test_the_expected_object_is_replaced(bucket, objects, tmp_path, unfinished, body):
    etag = bucket.put(KEY, b"before")
    store(objects, tmp_path, body, request_for(body, etag), unfinished)
    assert bucket.body(KEY) == body


@BOTH
@pytest.mark.parametrize("replaces", [None, "0" * 32], ids=["none", "another"])
def test_an_object_stored_concurrently_is_not_replaced(bucket, objects, tmp_path, unfinished, body, replaces):
    bucket.put(KEY, b"theirs")
    with pytest.raises(Conflict, match="Skipped: the object in S3 changed"):
        store(objects, tmp_path, body, request_for(body, replaces), unfinished)
    assert bucket.body(KEY) == b"theirs"
    assert bucket.unfinished() == []


@BOTH
def test_an_object_deleted_concurrently_is_not_recreated(bucket, objects, tmp_path, unfinished, body):
    with pytest.raises(Conflict):
        store(objects, tmp_path, body, request_for(body, "0" * 32), unfinished)
    assert bucket.keys() == []


def test_an_object_stored_during_a_multipart_upload_is_not_replaced(bucket, objects, proxy, tmp_path, unfinished):
    def before(request):
        if "partNumber=2" in request.path:
            bucket.put(KEY, b"theirs")

    proxy.before = before
    with pytest.raises(Conflict, match="Skipped: the object in S3 changed"):
        store(objects, tmp_path, LARGE, request_for(LARGE), unfinished)
    assert bucket.body(KEY) == b"theirs"
    assert (bucket.unfinished(), list(unfinished.all(bucket.name))) == ([], [])


@BOTH
def test_the_same_bytes_stored_concurrently_are_accepted(bucket, objects, proxy, tmp_path, unfinished, body):
    bucket.put(KEY, body)
    done = store(objects, tmp_path, body, request_for(body), unfinished)
    assert (done.etag, done.sent) == (md5(body), 0)


@BOTH
@pytest.mark.parametrize("change", ["shorter", "longer", "altered"])
def test_a_file_that_was_changed_is_not_stored(bucket, objects, tmp_path, unfinished, body, change):
    now = {"shorter": body[:-1], "longer": body + b"x", "altered": b"x" + body[1:]}[change]
    with pytest.raises(FileChanged, match="changed"):
        store(objects, tmp_path, now, request_for(body), unfinished)
    assert (bucket.keys(), bucket.unfinished()) == ([], [])


def test_a_file_that_is_changed_while_it_is_sent_is_not_stored(bucket, objects, proxy, tmp_path, unfinished):
    def before(request):
        if "partNumber=1" in request.path:
            with (tmp_path / "file").open("r+b") as file:
                file.seek(2 * PART)
                file.write(b"other")

    proxy.before = before
    with bucket.objects(proxy.endpoint, memory=PART) as one_by_one, pytest.raises(FileChanged):
        store(one_by_one, tmp_path, LARGE, request_for(LARGE), unfinished)
    assert (bucket.keys(), bucket.unfinished()) == ([], [])


def test_a_file_that_changes_between_two_reads_of_a_part_is_not_stored(bucket, objects, tmp_path, unfinished):
    # As with a server that verifies nothing: it receives other bytes than announced.
    begin_part = objects.begin_part

    def changed(part, on_done):
        if part.number == 1:
            with (tmp_path / "file").open("r+b") as file:
                file.write(b"other")
            part = part._replace(checksums=Checksums(md5(b"other" + LARGE[5:PART]), 0))
        begin_part(part, on_done)

    objects.begin_part = changed
    with pytest.raises(FileChanged):
        store(objects, tmp_path, LARGE, request_for(LARGE), unfinished)
    assert (bucket.keys(), bucket.unfinished()) == ([], [])


def harming_one_put(proxy):
    """Corrupts the first PUT on its way; returns the corrupted requests."""
    harmed = []

    def harm(request, sent):
        if request.method == "PUT" and not harmed:
            harmed.append(request)
            return b"x" + sent[1:]
        return sent

    proxy.sent = harm
    return harmed


@BOTH
def test_a_wrong_byte_on_the_way_is_refused_and_sent_again(bucket, objects, proxy, tmp_path, unfinished, body):
    harmed = harming_one_put(proxy)
    store(objects, tmp_path, body, request_for(body), unfinished)
    assert harmed
    assert bucket.body(KEY) == body


@pytest.mark.parametrize("lost", ["PUT", "POST"])
@BOTH
def test_a_lost_response_causes_no_second_upload(bucket, objects, proxy, tmp_path, unfinished, body, lost):
    dropped = []

    def after(request, reply):
        if request.method == lost and "uploads" not in request.path and not dropped:
            dropped.append(request)
            return refusal(500, "InternalError")
        return reply

    proxy.after = after
    etag = store(objects, tmp_path, body, request_for(body), unfinished).etag
    assert bucket.body(KEY) == body
    assert objects.head(KEY).etag == etag
    assert len([request for request in proxy.of("PUT") if "partNumber" not in request.path]) == (body == SMALL)
    assert len([request for request in proxy.of("POST") if "uploadId" in request.path]) == (body == LARGE)
    assert (bucket.unfinished(), list(unfinished.all(bucket.name))) == ([], [])


def test_a_lost_answer_to_an_upload_of_the_same_bytes_is_retried_until_the_metadata_is_stored(
    bucket, objects, proxy, tmp_path, unfinished
):
    etag = bucket.put(KEY, SMALL)
    refused = [refusal(500, "InternalError")]
    proxy.before = lambda request: refused.pop() if request.method == "PUT" and refused else None
    store(objects, tmp_path, SMALL, request_for(SMALL, etag, prompt="a cat"), unfinished)
    assert objects.head(KEY).metadata["prompt"] == "a cat"


@BOTH
def test_a_write_with_a_409_conflict_is_retried(bucket, objects, proxy, tmp_path, unfinished, body):
    refused = [refusal(409, "ConditionalRequestConflict")]

    def before(request):
        is_last = "uploadId" in request.path if request.method == "POST" else "partNumber" not in request.path
        return refused.pop() if request.method in ("PUT", "POST") and is_last and refused else None

    proxy.before = before
    progress = []
    store(objects, tmp_path, body, request_for(body), unfinished, progress.append)
    assert refused == []
    assert sum(progress) == len(body)
    assert bucket.body(KEY) == body
    assert bucket.unfinished() == []


@BOTH
def test_a_denied_upload_is_not_retried_and_leaves_nothing(bucket, objects, proxy, tmp_path, unfinished, body):
    def before(request):
        is_bytes = request.method == "PUT"
        return refusal(403, "AccessDenied") if is_bytes else None

    proxy.before = before
    with pytest.raises(WriteRefused, match=r"403 AccessDenied\. Allow s3:PutObject"):
        store(objects, tmp_path, body, request_for(body), unfinished)
    assert len(proxy.of("PUT")) == (1 if body == SMALL else 3)
    assert (bucket.keys(), bucket.unfinished()) == ([], [])


def hold_the_third_part(proxy, then=lambda: None) -> threading.Event:
    """Keeps the third part from S3. Calls ``then`` when S3 has the first two parts and the third has arrived; the
    response to the third waits for the returned event."""
    stored, ended = threading.Semaphore(0), threading.Event()

    def before(request):
        if "partNumber=3" not in request.path:
            return None
        for _ in range(2):
            assert stored.acquire(timeout=30)
        then()
        ended.wait(30)
        return refusal(500, "InternalError")

    def after(request, reply):
        if "partNumber=" in request.path:
            stored.release()
        return reply

    proxy.before, proxy.after = before, after
    return ended


KILLED = """
import os, sys
import boto3
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.checksums import Checksums
from s3_manifest_cli.client.transfer.resumable_uploads import UnfinishedUploads
from s3_manifest_cli.client.transfer import upload as module
from s3_manifest_cli.client.transfer.upload import UploadRequest, upload

FIRST
module.PART = 1 << 20
endpoint, bucket, folder, key, size, md5, crc, *headers = sys.argv[1:]
sent = []

def die(count):
    sent.append(count)
    if len(sent) == 2:
        os._exit(9)

request_for = UploadRequest(key, int(size), Checksums(md5, int(crc)), None, dict(arg.split("=", 1) for arg in headers))
with Objects(bucket, boto3.Session("test", "test", region_name="us-east-1"), endpoint) as objects:
    with open(Path(folder) / "file", "rb", buffering=0) as file:
        upload(objects, file, request_for, UnfinishedUploads(Path(folder) / "unfinished"), die)
"""


def run_upload(bucket: str, endpoint: str, folder: Path, request: UploadRequest, first: str = "") -> int:
    """The exit code of a separate run, which dies after two parts, or by the code in ``first``."""
    headers = [f"{name}={value}" for name, value in request.headers.items()]
    of_file = [str(folder), KEY, str(request.size), *map(str, request.checksums), *headers]
    command = [sys.executable, "-c", KILLED.replace("FIRST\n", first), endpoint, bucket, *of_file]
    return subprocess.run(command, check=False, timeout=60).returncode


@pytest.fixture
def killed(bucket, tmp_path) -> UploadRequest:
    """The request of a run that was killed after two of three parts."""
    request = request_for(LARGE)
    (tmp_path / "file").write_bytes(LARGE)
    with Proxy(bucket.endpoint) as between:
        ended = hold_the_third_part(between)
        assert run_upload(bucket.name, between.endpoint, tmp_path, request) == 9
        ended.set()
    assert bucket.keys() == []
    assert len(bucket.unfinished()) == 1
    return request


class CutOff(BaseException):
    """Simulates a killed run within this process."""


@pytest.fixture
def cut_off(bucket, tmp_path, unfinished) -> UploadRequest:
    """The request of a run that was cut off after at least one of three parts."""
    request = request_for(LARGE)

    def cut(_):
        raise CutOff

    with bucket.objects() as objects, pytest.raises(CutOff):
        store(objects, tmp_path, LARGE, request, unfinished, cut)
    assert len(bucket.unfinished()) == 1
    return request


def test_parts_that_a_killed_run_has_stored_are_not_sent_again(bucket, objects, proxy, tmp_path, unfinished, killed):
    progress = []
    done = store(objects, tmp_path, LARGE, killed, unfinished, progress.append)
    assert done.sent == len(LARGE) - 2 * PART
    assert len(proxy.of("PUT")) == 1
    assert sum(progress) == len(LARGE)
    assert bucket.body(KEY) == LARGE
    assert (bucket.unfinished(), list(unfinished.all(bucket.name))) == ([], [])


def test_a_part_with_other_bytes_is_sent_again(bucket, objects, tmp_path, unfinished, cut_off):
    (remembered,) = unfinished.all(bucket.name)
    target = {"Bucket": bucket.name, "Key": KEY, "UploadId": remembered.upload_id}
    bucket.client.upload_part(**target, PartNumber=1, Body=bytes(PART))
    assert store(objects, tmp_path, LARGE, cut_off, unfinished).sent >= PART
    assert bucket.body(KEY) == LARGE


@pytest.mark.parametrize("differs", ["bytes", "headers"])
def test_an_upload_of_other_bytes_or_headers_is_aborted_and_restarted(
    bucket, objects, tmp_path, unfinished, cut_off, differs
):
    body = LARGE[::-1] if differs == "bytes" else LARGE
    request = request_for(body, prompt="a cat") if differs == "headers" else request_for(body)
    assert store(objects, tmp_path, body, request, unfinished).sent == len(body)
    assert bucket.body(KEY) == body
    assert bucket.unfinished() == []


def test_an_upload_that_was_aborted_elsewhere_restarts(bucket, objects, tmp_path, unfinished, cut_off):
    (remembered,) = unfinished.all(bucket.name)
    multipart.abort(objects, KEY, remembered.upload_id)
    assert store(objects, tmp_path, LARGE, cut_off, unfinished).sent == len(LARGE)
    assert bucket.body(KEY) == LARGE


def test_an_upload_that_no_run_resumes_is_aborted_after_a_week(bucket, objects, tmp_path, unfinished, cut_off):
    unfinished.abort_idle(objects)
    unfinished.abort_idle(objects, {KEY}, idle_seconds=0)
    assert len(bucket.unfinished()) == 1
    (record,) = (tmp_path / "unfinished").iterdir()
    week = record.stat().st_mtime - 7 * 24 * 3600
    os.utime(record, (week, week))
    unfinished.abort_idle(objects)
    assert (bucket.unfinished(), list(unfinished.all(bucket.name))) == ([], [])


def test_an_upload_that_cannot_be_aborted_stays_recorded(bucket, objects, proxy, unfinished, cut_off):
    proxy.before = lambda request: refusal(403, "AccessDenied") if request.method == "DELETE" else None
    unfinished.abort_idle(objects, idle_seconds=0)
    assert len(list(unfinished.all(bucket.name))) == 1


def lose_the_id(proxy) -> None:
    """Loses the first response to CreateMultipartUpload."""
    lost = [refusal(500, "InternalError")]
    proxy.after = lambda request, reply: lost.pop() if is_beginning(request) and lost else reply


def is_beginning(request) -> bool:
    return request.method == "POST" and "uploadId" not in request.path


def test_an_upload_whose_id_was_lost_is_aborted_and_restarted(bucket, objects, proxy, tmp_path, unfinished):
    lose_the_id(proxy)
    assert store(objects, tmp_path, LARGE, request_for(LARGE), unfinished).others == ()
    assert len([request for request in proxy.seen if is_beginning(request)]) == 2
    assert bucket.body(KEY) == LARGE
    assert (bucket.unfinished(), list(unfinished.all(bucket.name))) == ([], [])


def test_an_upload_is_aborted_if_its_run_was_killed_before_recording_the_id(bucket, objects, tmp_path, unfinished):
    request = request_for(LARGE)
    (tmp_path / "file").write_bytes(LARGE)
    dying = "from s3_manifest_cli.client.transfer import multipart\nbegin = multipart.begin\n"
    dying += "multipart.begin = lambda *given, **more: (begin(*given, **more), os._exit(9))\n"
    assert run_upload(bucket.name, bucket.endpoint, tmp_path, request, dying) == 9
    assert len(bucket.unfinished()) == 1
    assert store(objects, tmp_path, LARGE, request, unfinished).others == ()
    assert bucket.body(KEY) == LARGE
    assert (bucket.unfinished(), list(unfinished.all(bucket.name))) == ([], [])


@pytest.mark.parametrize("then", ["changed", "given up", "there already"])
def test_an_upload_whose_id_was_not_recorded_is_aborted_by_every_later_run(
    bucket, objects, tmp_path, unfinished, monkeypatch, then
):
    begin = multipart.begin

    def cut(*arguments, **more):
        begin(*arguments, **more)
        raise CutOff

    monkeypatch.setattr(multipart, "begin", cut)
    with pytest.raises(CutOff):
        store(objects, tmp_path, LARGE, request_for(LARGE), unfinished)
    monkeypatch.setattr(multipart, "begin", begin)
    assert len(bucket.unfinished()) == 1
    if then == "given up":
        unfinished.abort_idle(objects, idle_seconds=0)
    else:
        body = LARGE[::-1] if then == "changed" else LARGE
        if then == "there already":
            bucket.put(KEY, LARGE)
        assert store(objects, tmp_path, body, request_for(body), unfinished).others == ()
        assert bucket.body(KEY) == body
    assert (bucket.unfinished(), list(unfinished.all(bucket.name))) == ([], [])


@pytest.mark.parametrize("theirs", ["before", "with a part", "later"])
def test_an_upload_that_may_belong_to_another_client_stays_and_is_reported(
    bucket, objects, proxy, tmp_path, unfinished, theirs
):
    place = {"Bucket": bucket.name, "Key": KEY}
    upload_ids = [bucket.client.create_multipart_upload(**place)["UploadId"]] if theirs == "before" else []
    refused = [refusal(500, "InternalError")]

    def before(request):
        if not (is_beginning(request) and refused):
            return None
        if theirs != "before":
            upload_ids.append(bucket.client.create_multipart_upload(**place)["UploadId"])
        if theirs == "with a part":
            bucket.client.upload_part(**place, UploadId=upload_ids[0], PartNumber=1, Body=b"theirs")
        if theirs == "later":
            (lost,) = unfinished.all(bucket.name)
            unfinished.remember(lost.model_copy(update={"listed_at": lost.listed_at - 100}))
        return refused.pop()

    proxy.before = before
    assert store(objects, tmp_path, LARGE, request_for(LARGE), unfinished).others == tuple(upload_ids)
    assert bucket.body(KEY) == LARGE
    assert bucket.unfinished() == upload_ids


def test_an_upload_succeeds_without_permission_to_list_uploads(bucket, objects, proxy, tmp_path, unfinished):
    lose_the_id(proxy)
    proxy.before = lambda request: (
        refusal(403, "AccessDenied") if request.method == "GET" and "uploads" in request.path else None
    )
    store(objects, tmp_path, LARGE, request_for(LARGE), unfinished)
    assert bucket.body(KEY) == LARGE
    assert list(unfinished.all(bucket.name)) == []


def test_an_upload_that_s3_refuses_to_begin_is_not_recorded(bucket, objects, proxy, tmp_path, unfinished):
    proxy.before = lambda request: refusal(403, "AccessDenied") if is_beginning(request) else None
    with pytest.raises(WriteRefused):
        store(objects, tmp_path, LARGE, request_for(LARGE), unfinished)
    assert list(unfinished.all(bucket.name)) == []


def test_an_upload_of_another_client_stays_and_is_reported(bucket, objects, tmp_path, unfinished):
    theirs = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=KEY)["UploadId"]
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key=KEY + "x")
    assert store(objects, tmp_path, LARGE, request_for(LARGE), unfinished).others == (theirs,)
    assert theirs in bucket.unfinished()


def test_a_cancelled_upload_is_resumed_by_the_next_run(bucket, proxy, tmp_path, unfinished):
    cancellation = Cancellation()
    ended = hold_the_third_part(proxy, cancellation.cancel)
    with bucket.objects(proxy.endpoint, cancellation) as objects, pytest.raises(Cancelled):
        store(objects, tmp_path, LARGE, request_for(LARGE), unfinished)
    ended.set()
    assert bucket.keys() == []
    with bucket.objects() as again:
        done = store(again, tmp_path, LARGE, request_for(LARGE), unfinished)
    assert done.sent == len(LARGE) - 2 * PART
    assert bucket.body(KEY) == LARGE


@pytest.fixture
def by_crc(objects, monkeypatch) -> Objects:
    """``Objects`` of a server that verifies CRCs, as Amazon S3 does."""
    monkeypatch.setattr(objects, "compares_crcs", True)
    return objects


def crc64nvme(body: bytes) -> str:
    return b64encode(crc_of(body).to_bytes(8, "big")).decode()


def test_amazons_s3_gets_the_crcs_of_parts(bucket, proxy, tmp_path, unfinished, by_crc):
    store(by_crc, tmp_path, TWO_PARTS, request_for(TWO_PARTS), unfinished)
    assert bucket.body(KEY) == TWO_PARTS
    part_headers = [request.headers for request in proxy.of("PUT")]
    of_parts = [TWO_PARTS[at : at + PART] for at in range(0, len(TWO_PARTS), PART)]
    assert {headers["x-amz-checksum-crc64nvme"] for headers in part_headers} == set(map(crc64nvme, of_parts))
    assert not [headers for headers in part_headers if "content-md5" in headers]


def test_with_crcs_a_wrong_byte_on_the_way_is_refused_and_sent_again(bucket, proxy, tmp_path, unfinished, by_crc):
    harmed = harming_one_put(proxy)
    store(by_crc, tmp_path, TWO_PARTS, request_for(TWO_PARTS), unfinished)
    assert harmed
    assert len(proxy.of("PUT")) == 3
    assert bucket.body(KEY) == TWO_PARTS


def test_with_crcs_stored_parts_are_not_sent_again(bucket, proxy, tmp_path, unfinished, by_crc):
    def cut(_):
        raise CutOff

    with pytest.raises(CutOff):
        store(by_crc, tmp_path, TWO_PARTS, request_for(TWO_PARTS), unfinished, cut)
    (remembered,) = unfinished.all(bucket.name)
    place = {"Bucket": bucket.name, "Key": KEY, "UploadId": remembered.upload_id}
    bucket.client.upload_part(**place, PartNumber=2, Body=bytes(1000))
    proxy.seen.clear()
    assert store(by_crc, tmp_path, TWO_PARTS, request_for(TWO_PARTS), unfinished).sent == 1000
    assert len(proxy.of("PUT")) == 1
    assert bucket.body(KEY) == TWO_PARTS


def test_with_crcs_a_file_that_was_changed_is_not_stored(bucket, tmp_path, unfinished, by_crc):
    with pytest.raises(FileChanged):
        store(by_crc, tmp_path, TWO_PARTS[::-1], request_for(TWO_PARTS), unfinished)
    assert (bucket.keys(), bucket.unfinished()) == ([], [])


@pytest.mark.parametrize(
    ("endpoint", "compares"),
    [
        (None, True),
        ("https://bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://amazonaws.com.example.org", False),
        ("http://127.0.0.1:9000", False),
    ],
)
def test_only_amazons_s3_is_known_to_compare_crcs(monkeypatch, endpoint, compares):
    # It would send a request for the bucket's region to Amazon S3.
    monkeypatch.setattr("s3_manifest_cli.client.transfer.objects.in_bucket_region", lambda client, *_: client)
    with Objects("some-bucket", session(), endpoint) as objects:
        assert objects.compares_crcs == compares


def test_an_upload_that_never_succeeds_ends_with_an_unknown_outcome(objects, proxy, tmp_path, unfinished, monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.client.transfer.upload.random", lambda: 0.0)
    proxy.before = lambda request: refusal(500, "InternalError") if request.method == "PUT" else None
    with pytest.raises(OutcomeUnknown):
        store(objects, tmp_path, SMALL, request_for(SMALL), unfinished)
    assert objects.head(KEY) is None


@pytest.mark.parametrize(
    ("size", "parts", "of"),
    [(17, 2, 16), (160_000, 10_000, 16), (160_001, 9_412, 17), (5 << 20, 9_987, 525)],
)
def test_the_number_of_parts_never_exceeds_the_limit_of_s3(size, parts, of):
    part = multipart.part_size_of(size << 20, 16 << 20)
    assert (part, -(-(size << 20) // part)) == (of << 20, parts)


def test_unwritable_and_corrupt_records_of_uploads_are_ignored(tmp_path):
    remembered = UnfinishedUpload(bucket="b", key="k", upload_id="u", size=1, md5="0", part_size=1, headers={})
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    unwritable = UnfinishedUploads(blocked / "folder")
    unwritable.remember(remembered)
    assert unwritable.recall("b", "k") is None
    written = UnfinishedUploads(tmp_path / "folder")
    written.remember(remembered)
    assert written.recall("b", "k") == remembered
    next((tmp_path / "folder").iterdir()).write_bytes(b"{")
    assert written.recall("b", "k") is None
    assert list(written.all("b")) == []


def test_unfinished_uploads_to_a_key_that_xml_cannot_hold_are_found(objects, proxy):
    listing = """<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>
      <NextKeyMarker>two%0Alines+%01</NextKeyMarker><NextUploadIdMarker>first</NextUploadIdMarker>
      <Upload><Key>two%0Alines+%01</Key><UploadId>{id}</UploadId><Initiated>2026-03-01T10:00:00Z</Initiated></Upload>
      </ListMultipartUploadsResult>"""
    queries = []

    def before(request):
        queries.append(parse_qs(urlsplit(request.path).query))
        is_first = len(queries) == 1
        body = listing.format(truncated=str(is_first).lower(), id="first" if is_first else "second")
        return Reply(200, [("Content-Type", "application/xml")], body.encode())

    proxy.before = before
    assert list(multipart.uploads(objects, "two\nlines \x01").started_at) == ["first", "second"]
    assert [request["encoding-type"] for request in queries] == [["url"], ["url"]]
    assert (queries[1]["key-marker"], queries[1]["upload-id-marker"]) == (["two\nlines \x01"], ["first"])
