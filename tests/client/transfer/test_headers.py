import pytest

from s3_manifest.storage.user_metadata import MAX_METADATA_BYTES
from s3_manifest_cli.client.transfer.headers import Told, content_type, metadata

MD5 = "0" * 32


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("a.png", "image/png"),
        ("A.JPG", "image/jpeg"),
        ("a.b.webp", "image/webp"),
        ("a", "application/octet-stream"),
        ("a.d/.png", "application/octet-stream"),
    ],
)
def test_the_media_type_goes_by_the_name(name, media):
    assert content_type(name) == media


def test_what_is_told_of_a_file_is_among_its_metadata():
    told = Told("a cat", "a/b.png", "2025-10-11T10:00:00.000Z", "7", "lora")
    assert metadata(MD5, told) == (
        {
            "md5": MD5,
            "generation-id": "7",
            "generated-at": "2025-10-11T10:00:00.000Z",
            "generation-type": "lora",
            "local-path": "a/b.png",
            "prompt": "a cat",
        },
        (),
    )
    assert metadata(MD5) == ({"md5": MD5}, ())


@pytest.mark.parametrize("prompt", ["ä" * 1500, "x" * 2040])
def test_a_prompt_that_does_not_fit_is_left_for_a_sidecar_and_the_rest_is_told(prompt):
    values, left = metadata(MD5, Told(prompt=prompt, local_path="a.png"))
    assert left == ("prompt",)
    assert values == {"md5": MD5, "local-path": "a.png"}


@pytest.mark.parametrize("length", range(1940, 2000, 7))
def test_what_is_told_is_never_more_than_s3_takes(length):
    values, left = metadata(MD5, Told(prompt="x" * length))
    size = sum(len(f"x-amz-meta-{name}{value}") for name, value in values.items())
    assert size <= MAX_METADATA_BYTES
    assert (left == ()) == (size > 1900)
