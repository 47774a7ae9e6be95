"""An edit over HTTP in a container."""

import json

import pytest

pytestmark = pytest.mark.sam_local


def test_an_image_marked_as_bad_is_bad_in_its_manifest(sam, buckets):
    buckets.put("styles/16/image_001.jpg", b"one")
    answer = sam.invoke("EditFunction", "http-patch-image", "--env-vars", buckets.env_vars)
    assert (answer["statusCode"], json.loads(answer["body"])["files"]) == (200, ["image_001.jpg"])
    assert sam.invoke("ReconcileFunction", "s3-put", "--env-vars", buckets.env_vars) == {"batchItemFailures": []}
    (file,) = buckets.manifest("styles/16/")["files"]
    assert (file["filename"], file["good"], file["labels"]) == ("image_001.jpg", False, ["blurred"])
