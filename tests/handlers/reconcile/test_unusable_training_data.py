"""The Python API of training data: values that JSON cannot hold are rejected before anything changes."""

import json

import pytest

from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest_cli.training_data import Invalid, LocalImage, NotFound

ACTOR = "0042_male"
PREFIX = f"system_actors/training_data/{ACTOR}/"


@pytest.fixture
def api(account, training_api):
    account.put(f"{PREFIX}a.png")
    account.requests.clear()
    return training_api


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
