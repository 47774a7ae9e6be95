import pytest

from s3_manifest.storage.upload_headers import MAX_METADATA_BYTES, UploadMetadata, upload_headers

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
def test_the_media_type_follows_from_the_suffix(name, media):
    assert upload_headers(name, MD5).headers["Content-Type"] == media


def test_the_metadata_of_a_file_becomes_headers():
    metadata = UploadMetadata("a cat", "a/b.png", "2025-10-11T10:00:00.000Z", "7", "lora")
    assert upload_headers("a.png", MD5, metadata) == (
        {
            "Content-Type": "image/png",
            "x-amz-meta-md5": MD5,
            "x-amz-meta-generation-id": "7",
            "x-amz-meta-generated-at": "2025-10-11T10:00:00.000Z",
            "x-amz-meta-generation-type": "lora",
            "x-amz-meta-local-path": "a/b.png",
            "x-amz-meta-prompt": "a cat",
        },
        (),
    )
    assert upload_headers("a.png", MD5) == ({"Content-Type": "image/png", "x-amz-meta-md5": MD5}, ())


@pytest.mark.parametrize("prompt", ["ä" * 1500, "x" * 2040])
def test_a_prompt_that_does_not_fit_is_left_for_a_sidecar_and_other_metadata_stays(prompt):
    headers, left_out = upload_headers("a", MD5, UploadMetadata(prompt=prompt, local_path="a.png"))
    assert left_out == ("prompt",)
    assert headers.keys() == {"Content-Type", "x-amz-meta-md5", "x-amz-meta-local-path"}


@pytest.mark.parametrize("length", range(1940, 2000, 7))
def test_metadata_never_exceeds_the_limit_of_s3(length):
    headers, left_out = upload_headers("a", MD5, UploadMetadata(prompt="x" * length))
    size = sum(len(name) + len(value) for name, value in headers.items() if name != "Content-Type")
    assert size <= MAX_METADATA_BYTES
    assert (left_out == ()) == (size > 1900)
