"""Sweeps in containers."""

import json

import pytest

pytestmark = pytest.mark.sam_local


def test_a_rescan_is_queued_and_its_sweep_creates_the_manifest(sam, buckets):
    buckets.put("styles/16/image_001.jpg", b"one")
    answer = sam.invoke("RescanFunction", "http-post-rescan", "--env-vars", buckets.env_vars)
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (202, "queued")
    sqs = buckets.platform.client("sqs")
    (message,) = sqs.receive_message(QueueUrl=buckets.queue_url, WaitTimeSeconds=5)["Messages"]
    job = json.loads(message["Body"])
    assert (job["job"], job["kind"], job["id"]) == ("sweep", "style", "16")

    assert sam.invoke("SweepFunction", "sqs-sweep", "--env-vars", buckets.env_vars) == {"batchItemFailures": []}
    manifest = buckets.manifest("styles/16/")
    assert [file["filename"] for file in manifest["files"]] == ["image_001.jpg"]
    assert manifest["complete"]
    assert manifest["last_verified_at"]
