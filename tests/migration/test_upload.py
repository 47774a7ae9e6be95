import base64
import hashlib

import pytest
from contract.buckets import in_moto
from migration.buckets import Bucket, md5

from s3_manifest.reconcile.entries import decode_metadata
from s3_manifest.storage.store import Conflict, OutcomeUnknown, Present, WriteRefused
from s3_manifest_cli.migration.plan import Upload
from s3_manifest_cli.migration.upload import s3_images, upload

KEY, BODY = "styles/16/Ä.PNG", b"bytes"


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.migration.upload.time.sleep", lambda _: None)


def wanted(replaces=None):
    return Upload("data/Ä.PNG", md5(BODY), replaces)


def test_an_image_is_stored_where_there_is_none(bucket):
    upload(bucket, bucket.put_image, KEY, BODY, wanted())
    assert bucket.objects[KEY][1] == BODY


def test_what_is_there_already_with_the_same_bytes_is_left_alone(bucket):
    bucket.upload(KEY, BODY)
    upload(bucket, bucket.put_image, KEY, BODY, wanted())
    assert bucket.written == []


@pytest.mark.parametrize("replaces", [None, "an older etag"])
def test_what_somebody_else_stored_meanwhile_is_not_written_over(bucket, replaces):
    bucket.upload(KEY, b"newer")
    with pytest.raises(Conflict, match="meanwhile; run it again"):
        upload(bucket, bucket.put_image, KEY, BODY, wanted(replaces))
    assert bucket.objects[KEY][1] == b"newer"


def test_an_object_is_replaced_only_if_it_is_the_one_that_was_planned_for(bucket):
    before = bucket.upload(KEY, b"older")
    upload(bucket, bucket.put_image, KEY, BODY, wanted(before.etag))
    assert bucket.objects[KEY][1] == BODY


def test_a_file_that_changed_since_the_plan_is_not_uploaded(bucket):
    with pytest.raises(Conflict, match="the file was changed meanwhile"):
        upload(bucket, bucket.put_image, KEY, b"other bytes", wanted())
    assert bucket.objects == {}


@pytest.mark.parametrize("happened", [True, False])
def test_a_lost_answer_is_looked_into(bucket, happened):
    answers = [OutcomeUnknown(KEY, "lost")]

    def put(key, body, **more):
        if happened or not answers:
            bucket.put_image(key, body, **more)
        if answers:
            raise answers.pop()

    upload(bucket, put, KEY, BODY, wanted())
    assert bucket.objects[KEY][1] == BODY
    assert bucket.written == [KEY]


def test_answers_that_are_always_lost_are_told_in_the_end(bucket):
    def put(key, body, **more):
        raise OutcomeUnknown(key, "lost")

    with pytest.raises(OutcomeUnknown):
        upload(bucket, put, KEY, BODY, wanted())


def test_a_refusal_is_not_tried_again(bucket):
    tries = []

    def put(key, body, **more):
        tries.append(key)
        raise WriteRefused(key, "403")

    with pytest.raises(WriteRefused):
        upload(bucket, put, KEY, BODY, wanted())
    assert tries == [KEY]


def test_s3_is_told_the_md5_the_media_type_and_the_path():
    with in_moto() as made:
        client = made.store._writes
        sent = {}
        client.meta.events.register("before-call.s3.PutObject", lambda params, **_: sent.update(params["headers"]))
        upload(made.store, s3_images(client, made.store.bucket), KEY, BODY, wanted())
        stored = made.store.head(KEY)
        assert isinstance(stored, Present)
        assert (stored.content_type, decode_metadata(stored.metadata["local-path"])) == ("image/png", "data/Ä.PNG")
        assert sent["Content-MD5"] == base64.b64encode(hashlib.md5(BODY).digest()).decode()
        assert sent["If-None-Match"] == "*"


def test_s3_refuses_what_is_not_as_planned():
    with in_moto() as made:
        put = s3_images(made.store._writes, made.store.bucket)
        made.upload(KEY, b"newer")
        with pytest.raises(Conflict):
            put(KEY, BODY, replaces=None, local_path="a")
        put(KEY, BODY, replaces=made.etag(KEY), local_path="a")
        assert made.store.get(KEY).body == BODY
        with pytest.raises(Conflict):
            put(KEY, b"x", replaces="0" * 32, local_path="a")
        with pytest.raises(WriteRefused):
            s3_images(made.store._writes, "no-such-bucket")(KEY, BODY, replaces=None, local_path="a")
