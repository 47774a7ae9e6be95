"""Presigned uploads from a plain HTTP client: S3 accepts the signed request and nothing else."""

import hashlib

import pytest

from s3_manifest.aws.clients import s3_client
from s3_manifest.edits.uploads import ImageUpload, image_headers
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Absent
from s3_manifest_cli.local_stack.stack import http_put

BODY = b"pixels"
KEY = "styles/16/a b+ü.png"


def headers(overwrite=False, **more):
    image = ImageUpload(filename="a.png", size=len(BODY), md5=hashlib.md5(BODY).hexdigest(), prompt="größe  🎨", **more)
    return dict(image_headers(image, None, overwrite=overwrite).headers)


@pytest.fixture
def store(ministack_bucket):
    return ministack_bucket.store


def upload(store, signed, body=BODY, key=KEY, **sent):
    """Sends a PUT with a URL signed for these headers, some replaced by ``sent``; returns the status."""
    sent_headers = {name: value for name, value in (signed | sent).items() if value is not None}
    return http_put(store.presigned_put(key, signed, 60), body, sent_headers)


def test_a_signed_upload_is_accepted(store):
    assert upload(store, headers(local_path="a.png")) == 200
    present = store.head(KEY)
    assert (present.etag, present.size, present.content_type) == (hashlib.md5(BODY).hexdigest(), 6, "image/png")
    assert present.metadata == {
        "md5": present.etag,
        "prompt": "=?UTF-8?B?Z3LDtsOfZSAg8J+OqA==?=",
        "local-path": "a.png",
    }


@pytest.mark.parametrize(
    ("sent", "body", "status"),
    [
        ({}, b"pixelz", 400),
        ({"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, BODY, 403),
        ({"Content-MD5": None}, BODY, 403),
        ({"Content-Type": "text/html"}, BODY, 403),
        ({"Content-Length": "7"}, BODY + b"s", 403),
        ({"If-None-Match": None}, BODY, 403),
        ({"x-amz-meta-prompt": "another"}, BODY, 403),
        ({"x-amz-meta-prompt": None}, BODY, 403),
    ],
    ids=str,
)
def test_an_upload_that_differs_from_the_signed_one_is_refused(store, sent, body, status):
    assert upload(store, headers(), body, **sent) == status
    assert store.head(KEY) == Absent(KEY)


def test_a_url_is_valid_for_one_key(store):
    url = store.presigned_put("styles/16/a.png", headers(), 60)
    assert http_put(url.replace("a.png", "b.png"), BODY, headers()) == 403


def test_an_existing_object_is_not_replaced_unless_the_url_allows_it(store):
    assert upload(store, headers()) == 200
    assert upload(store, headers()) == 412
    assert upload(store, headers(overwrite=True)) == 200


def test_the_expiry_of_a_url_cannot_be_changed(store):
    signed = headers()
    url = store.presigned_put(KEY, signed, 60).replace("X-Amz-Expires=60", "X-Amz-Expires=600")
    assert http_put(url, BODY, signed) == 403


@pytest.mark.parametrize(
    ("bucket", "url"),
    [
        ("my-bucket", "https://my-bucket.s3.eu-central-1.amazonaws.com/k.png?"),
        # The wildcard of S3's certificate does not cover a dot.
        ("my.bucket", "https://s3.eu-central-1.amazonaws.com/my.bucket/k.png?"),
    ],
)
def test_at_aws_a_url_has_the_regional_endpoint_and_signs_every_header(monkeypatch, bucket, url):
    """The global endpoint redirects requests for a new bucket to another host, which their signature excludes."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    store = S3Store(bucket, s3_client(), s3_client())
    signed = store.presigned_put("k.png", headers(), 60)
    assert signed.startswith(url)
    names = ["content-length", "content-md5", "content-type", "host", "if-none-match", "x-amz-meta-md5"]
    assert f"X-Amz-SignedHeaders={'%3B'.join([*names, 'x-amz-meta-prompt'])}&" in signed
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256&" in signed
