"""The real template on the local platform: real S3 events, real SQS messages, real HTTP requests."""

import hashlib
import json
import time
from typing import Any

import pytest
from local_stack.stacks import http_get

from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, BUCKET, Stack

ODD_NAMES = (
    "plain.png",
    "with space.png",
    "a+b.png",
    "100%.png",
    "%20.png",
    "ünïcödé 🎨.png",
    "deep/er/still.png",
    "dots/../dots.png",
    "quote'\"<&>.png",
    "trailing.",
    "semi;colon=equals?query#hash.png",
)


def put(s3: Any, stack: Stack, key: str, body: bytes = b"bytes", **more: Any) -> str:
    s3.put_object(Bucket=stack.bucket, Key=key, Body=body, **more)
    return hashlib.md5(body).hexdigest()


def test_an_upload_is_in_the_manifest_with_all_its_facts(stack, s3, style, manifest_when):
    md5 = put(s3, stack, f"styles/{style}/image.png", b"pixels", ContentType="image/png", Metadata={"prompt": "a fox"})
    manifest = manifest_when(style, lambda m: m["total_files"] == 1)
    (file,) = manifest["files"]
    version = s3.head_object(Bucket=stack.bucket, Key=file["s3_key"])["VersionId"]
    assert (manifest["complete"], manifest["total_size_bytes"], manifest["style_id"]) == (True, 6, style)
    assert {
        name: file[name] for name in ("filename", "size_bytes", "md5_hash", "md5_source", "version_id", "prompt")
    } == {
        "filename": "image.png",
        "size_bytes": 6,
        "md5_hash": md5,
        "md5_source": "etag",
        "version_id": version,
        "prompt": "a fox",
    }


def test_overwrites_and_deletions_reach_the_manifest(stack, s3, style, manifest_when):
    key = f"styles/{style}/image.png"
    put(s3, stack, key, b"first")
    manifest_when(style, lambda m: m["total_files"] == 1)
    md5 = put(s3, stack, key, b"second")
    manifest_when(style, lambda m: m["files"][0]["md5_hash"] == md5)
    s3.delete_object(Bucket=stack.bucket, Key=key)
    assert manifest_when(style, lambda m: m["total_files"] == 0)["files"] == []


def test_deleting_an_old_version_does_not_remove_the_file(stack, s3, style, manifest_when):
    key = f"styles/{style}/image.png"
    put(s3, stack, key, b"first")
    old = s3.head_object(Bucket=stack.bucket, Key=key)["VersionId"]
    md5 = put(s3, stack, key, b"second")
    s3.delete_object(Bucket=stack.bucket, Key=key, VersionId=old)
    put(s3, stack, f"styles/{style}/later.png")
    manifest = manifest_when(style, lambda m: m["total_files"] == 2 and m["files"][0]["md5_hash"] == md5)
    assert manifest["files"][0]["filename"] == "image.png"


def test_unusual_filenames_are_preserved_exactly(stack, s3, style, manifest_when):
    md5s = {name: put(s3, stack, f"styles/{style}/{name}", name.encode()) for name in ODD_NAMES}
    manifest = manifest_when(style, lambda m: m["total_files"] == len(ODD_NAMES))
    assert {file["filename"]: file["md5_hash"] for file in manifest["files"]} == md5s
    for file in manifest["files"]:
        assert file["s3_key"] == f"styles/{style}/{file['filename']}"


def test_a_multipart_upload_has_its_md5_computed(stack, s3, style, manifest_when):
    key, part = f"styles/{style}/large.bin", b"x" * (5 << 20)
    upload = s3.create_multipart_upload(Bucket=stack.bucket, Key=key)["UploadId"]
    etags = [
        s3.upload_part(Bucket=stack.bucket, Key=key, UploadId=upload, PartNumber=n, Body=part)["ETag"] for n in (1, 2)
    ]
    parts = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(Bucket=stack.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    (file,) = manifest_when(style, lambda m: m["total_files"] == 1)["files"]
    assert (file["md5_source"], file["md5_hash"]) == ("computed", hashlib.md5(part * 2).hexdigest())


def test_a_title_comes_from_collection_json(stack, s3, style, manifest_when):
    put(s3, stack, f"styles/{style}/image.png")
    put(s3, stack, f"styles/{style}/collection.json", json.dumps({"title": "Dynamic Simplicity"}).encode())
    manifest = manifest_when(style, lambda m: m["style_title"] == "Dynamic Simplicity")
    assert [sidecar["s3_key"] for sidecar in manifest["sidecars"]] == [f"styles/{style}/collection.json"]


def test_a_manifest_write_sends_no_event(stack, s3, style, manifest_when):
    put(s3, stack, f"styles/{style}/image.png")
    head = f"_manifests/styles/{style}/manifest.json"
    manifest_when(style, lambda m: m["total_files"] == 1)
    versions = s3.list_object_versions(Bucket=stack.bucket, Prefix=head)["Versions"]
    time.sleep(2)
    assert s3.list_object_versions(Bucket=stack.bucket, Prefix=head)["Versions"] == versions


def test_a_malformed_message_ends_in_the_dead_letter_queue(stack, eventually, style, s3, manifest_when):
    sqs = stack.platform.client("sqs")
    queue, dead = stack.outputs["ChangeQueueUrl"], stack.outputs["DeadLetterQueueUrl"]
    usual = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    try:
        sqs.send_message(QueueUrl=queue, MessageBody='{"Records": "nonsense"}')
        put(s3, stack, f"styles/{style}/image.png")
        manifest_when(style, lambda m: m["total_files"] == 1)
        received = eventually(lambda: sqs.receive_message(QueueUrl=dead).get("Messages"), bool)
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=usual)
    assert [message["Body"] for message in received] == ['{"Records": "nonsense"}']


def test_an_unsigned_request_is_refused(stack):
    assert http_get(f"{stack.api_url}/api/manifests", {}).status == 403


def test_a_request_with_the_current_etag_returns_304(stack, s3, style, manifest_when):
    put(s3, stack, f"styles/{style}/image.png")
    manifest_when(style, lambda m: m["total_files"] == 1)
    query = {"styleId": style}
    etag = stack.get("/api/s3/manifest", query).headers["etag"]
    assert stack.get("/api/s3/manifest", query, {"If-None-Match": etag}).status == 304
    put(s3, stack, f"styles/{style}/another.png")
    manifest_when(style, lambda m: m["total_files"] == 2)
    assert stack.get("/api/s3/manifest", query, {"If-None-Match": etag}).status == 200


def test_the_catalog_lists_the_collection_with_its_path(stack, s3, style, manifest_when):
    put(s3, stack, f"styles/{style}/image.png", b"1234")
    manifest_when(style, lambda m: m["total_files"] == 1)
    rows = {row.get("style_id"): row for row in stack.get("/api/manifests", {"limit": 1000}).body["collections"]}
    assert (rows[style]["total_files"], rows[style]["total_size_bytes"]) == (1, 4)
    page = stack.get(f"/api/manifests/style/{style.replace(' ', '%20')}", {"limit": 1})
    assert (page.status, page.body["files"][0]["filename"]) == (200, "image.png")


@pytest.mark.parametrize(
    ("bucket", "prefix"), [(BUCKET, "styles/"), (ACTOR_BUCKET, "system_actors/training_data/")], ids=["own", "other"]
)
def test_each_bucket_sends_notifications_for_the_prefixes_of_its_own_collections(stack, s3, bucket, prefix):
    configured = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    rules = [item["Filter"]["Key"]["FilterRules"] for item in configured]
    assert rules == [[{"Name": "prefix", "Value": prefix}]]
