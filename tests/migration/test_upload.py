"""Images are uploaded only as planned, and not twice."""

import io
from types import SimpleNamespace

import pytest
from migration.buckets import Bucket, md5

from s3_manifest.reconcile.entries import decode_metadata
from s3_manifest.storage.store import METADATA_PREFIX, Conflict, OutcomeUnknown, Present, WriteRefused
from s3_manifest_cli.client.transfer.cancellation import Cancellation
from s3_manifest_cli.client.transfer.concurrency import MemoryBudget
from s3_manifest_cli.client.transfer.resumable_uploads import UnfinishedUploads
from s3_manifest_cli.migration.remote import ImageUpload, upload_image

KEY, BODY = "styles/16/Ä.PNG", b"bytes"


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch):
    monkeypatch.setattr(Cancellation, "sleep", lambda _, __: None)


@pytest.fixture
def upload(tmp_path, bucket):
    """Uploads a file, by default with the planned bytes; ``put`` may replace the request."""

    def put_object(key, body, md5, *, replaces, headers):
        bucket.put_image(key, io.BytesIO(body), ImageUpload("", md5, replaces), headers=headers)
        return bucket.objects[key][0].etag

    def upload(replaces=None, body=BODY, put=None):
        path = tmp_path / "image"
        path.write_bytes(body)
        cancellation = Cancellation()
        objects = SimpleNamespace(
            bucket="bucket",
            head=lambda key: current if isinstance(current := bucket.head(key), Present) else None,
            put=put or put_object,
            budget=MemoryBudget(1 << 20, cancellation),
            cancellation=cancellation,
        )
        with path.open("rb", buffering=0) as file:
            planned = ImageUpload("data/Ä.PNG", md5(BODY), replaces)
            upload_image(objects, UnfinishedUploads(tmp_path / "uploads"), KEY, file, planned)

    upload.put = put_object  # type: ignore[attr-defined]
    return upload


def test_a_new_image_is_uploaded(bucket, upload):
    upload()
    assert bucket.objects[KEY][1] == BODY


def test_an_object_with_the_same_bytes_is_not_overwritten(bucket, upload):
    bucket.upload(KEY, BODY)
    upload()
    assert bucket.written == []


@pytest.mark.parametrize("replaces", [None, "an older etag"])
def test_an_object_that_is_newer_than_the_plan_is_not_overwritten(bucket, upload, replaces):
    bucket.upload(KEY, b"newer")
    with pytest.raises(Conflict, match="changed or was deleted"):
        upload(replaces)
    assert bucket.objects[KEY][1] == b"newer"


def test_an_object_with_the_planned_etag_is_replaced(bucket, upload):
    before = bucket.upload(KEY, b"older")
    upload(before.etag)
    assert bucket.objects[KEY][1] == BODY


def test_a_file_that_changed_since_the_plan_is_not_uploaded(bucket, upload):
    with pytest.raises(Conflict, match="the file changed since the plan"):
        upload(body=b"other bytes")
    assert bucket.objects == {}


@pytest.mark.parametrize("takes_effect", [True, False])
def test_an_upload_with_a_lost_response_stores_the_object_once(bucket, upload, takes_effect):
    lost = [OutcomeUnknown(KEY, "lost")]

    def put(key, body, md5, **more):
        if takes_effect or not lost:
            etag = upload.put(key, body, md5, **more)
        if lost:
            raise lost.pop()
        return etag

    upload(put=put)
    assert bucket.objects[KEY][1] == BODY
    assert bucket.written == [KEY]


def test_an_upload_whose_response_is_always_lost_raises(upload):
    def put(key, *_, **__):
        raise OutcomeUnknown(key, "lost")

    with pytest.raises(OutcomeUnknown):
        upload(put=put)


def test_a_rejected_upload_is_not_retried(upload):
    attempts = []

    def put(key, *_, **__):
        attempts.append(key)
        raise WriteRefused(key, "403")

    with pytest.raises(WriteRefused):
        upload(put=put)
    assert attempts == [KEY]


def test_an_upload_sends_only_the_md5_the_media_type_and_the_path(bucket, upload):
    requests = []

    def put(key, body, md5, *, replaces, headers):
        requests.append((md5, replaces, headers))
        return upload.put(key, body, md5, replaces=replaces, headers=headers)

    upload(put=put)
    ((sent_md5, replaces, headers),) = requests
    assert (sent_md5, replaces) == (md5(BODY), None)
    assert headers.keys() == {"Content-Type", f"{METADATA_PREFIX}local-path"}
    stored = bucket.head(KEY)
    assert isinstance(stored, Present)
    assert (stored.content_type, decode_metadata(stored.metadata["local-path"])) == ("image/png", "data/Ä.PNG")
