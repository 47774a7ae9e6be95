"""The Python API of training data: values that JSON cannot hold are rejected before anything changes."""

import json
from urllib.parse import unquote, urlsplit

import boto3
import pytest
import urllib3
from handlers.lambda_events import BUCKET, Context, http_request

import edit_handler
import query_handler
from s3_manifest.aws.clients import s3_client
from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest.manifest.collections import DEFAULT_COLLECTIONS, DEFAULT_ROOT, parse_collections
from s3_manifest.storage.s3 import S3Store
from s3_manifest_cli.client.access.http_api import HttpApi
from s3_manifest_cli.training_data import Invalid, LocalImage, NotFound, TrainingDataAPI
from s3_manifest_cli.training_data.direct import S3Service
from s3_manifest_cli.training_data.http import HttpService

ACTOR = "0042_male"
PREFIX = f"system_actors/training_data/{ACTOR}/"


@pytest.fixture(params=["http", "s3"])
def api(request, account, monkeypatch):
    account.put(f"{PREFIX}a.png")
    account.requests.clear()
    if request.param == "s3":
        boto = boto3.DEFAULT_SESSION
        store = S3Store(BUCKET, s3_client(session=boto), s3_client(retries=False, session=boto))
        return TrainingDataAPI(
            S3Service({BUCKET: store}, parse_collections(DEFAULT_COLLECTIONS, DEFAULT_ROOT, BUCKET), None)
        )

    def request_(_pool, method, url, *, headers, body=None, **_):
        parts = urlsplit(url)
        event = http_request(unquote(parts.path), None, headers, method, body and body.decode(), parts.query)
        function = query_handler if method == "GET" else edit_handler
        answer = function.handler(event, Context(29.0))
        return urllib3.HTTPResponse(answer["body"].encode(), status=answer["statusCode"], headers=answer["headers"])

    monkeypatch.setattr("urllib3.PoolManager.request", request_)
    return TrainingDataAPI(HttpService(HttpApi("https://api.invalid", boto3.Session(), "by hand")))


def untouched(account):
    return [request for request in account.requests if request.method not in {"GET", "HEAD"}] == []


@pytest.mark.parametrize("text", ["an owl \ud83e", "\udc80"])
@pytest.mark.parametrize("field", ["prompt", "labels"])
def test_a_lone_surrogate_in_a_description_is_rejected(api, account, text, field):
    with pytest.raises(Invalid):
        api.update_training_image(ACTOR, "a.png", **{field: [text] if field == "labels" else text})
    assert untouched(account)


def test_a_lone_surrogate_in_a_filename_is_rejected(api, account):
    with pytest.raises((Invalid, NotFound)):
        api.update_training_image(ACTOR, "a\udcff.png", good=False)
    with pytest.raises((Invalid, NotFound)):
        api.delete_training_image(ACTOR, "a\udcff.png", delete_from_s3=True)
    assert untouched(account)


def too_deep():
    found = []
    for _ in range(98):
        found = [found]
    return found


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), [{"x": float("-inf")}], 1 << 70, "\ud83e", too_deep()],
    ids=lambda v: str(v)[:9],
)
def test_a_generation_with_an_unusable_value_is_rejected(api, account, tmp_path, value):
    image = tmp_path / "b.png"
    image.write_bytes(b"bytes")
    with pytest.raises((Invalid, ValueError)):
        api.upload_training_images(ACTOR, [LocalImage(image)], generation=GenerationRequest(metadata={"x": value}))
    assert untouched(account)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": "x" * 20_001}, "prompt"),
        ({"prompt": "\ud83e"}, "prompt"),
        ({"generated_at": "yesterday"}, "generated_at"),
        ({"filename": "a//b.png"}, "filename"),
    ],
)
def test_an_upload_with_an_invalid_field_is_invalid_and_uploads_nothing(api, account, tmp_path, fields, field):
    valid, image = tmp_path / "b.png", tmp_path / "c.png"
    for path in (valid, image):
        path.write_bytes(b"bytes")
    with pytest.raises(Invalid, match=field):
        api.upload_training_images(ACTOR, [LocalImage(valid), LocalImage(image, **fields)])
    assert untouched(account)


def test_usable_values_are_applied(api, account):
    api.update_training_image(ACTOR, "a.png", prompt="größe 🦉", labels=["x"])
    assert json.loads(account.read(f"{PREFIX}prompt_metadata.json")) == {
        "a.png": {"prompt": "größe 🦉", "labels": ["x"]}
    }
