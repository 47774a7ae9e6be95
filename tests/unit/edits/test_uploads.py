"""Requests for uploads: the accepted names, and the headers of a PUT."""

import base64

import pytest
from pydantic import ValidationError
from unit.values import BUCKET, COLLECTIONS, LOCATION, NOON, STYLE

from s3_manifest.edits.uploads import GenerationRequest, ImageUpload, UploadRequest, image_headers, invalid_filenames
from s3_manifest.manifest.collections import parse_collections
from s3_manifest.reconcile.entries import entry_of
from s3_manifest.sidecars.content import GenerationDeclaration
from s3_manifest.storage.store import Present
from s3_manifest.storage.upload_headers import MAX_METADATA_BYTES

MD5 = "9e107d9d372bb6826bd81d3542a419d6"
MD5_BASE64 = "nhB9nTcrtoJr2B01QqQZ1g=="


def image(filename="a.png", **more):
    return ImageUpload.model_validate({"filename": filename, "size": 3, "md5": MD5} | more)


@pytest.mark.parametrize(
    "filename",
    [
        "a.png",
        "A.JPG",
        "deep/er/a b+c%20.webp",
        "ünïcödé 🎨.png",
        "a.txt",
        ".hidden.png",
        "collection.json.png",
        "/".join(["a" * 200] * 4) + ".png",
    ],
)
def test_a_name_of_an_image_or_a_caption_is_accepted(filename):
    assert invalid_filenames(COLLECTIONS, STYLE, [filename]) == {}


@pytest.mark.parametrize(
    ("filename", "reason"),
    [
        ("", "path"),
        (".", "path"),
        ("..", "path"),
        ("/a.png", "path"),
        ("a/", "path"),
        ("a//b.png", "path"),
        ("a/./b.png", "path"),
        ("../17/a.png", "path"),
        ("a/../b.png", "path"),
        ("a\\b.png", "backslash"),
        ("a\0.png", "control"),
        ("a\n.png", "control"),
        ("a\x7f.png", "control"),
        ("a\x85.png", "control"),
        ("a\u2028.png", "control"),
        ("a\ud800.png", "control"),
        ("a" * 256 + ".png", "more than 255 bytes"),
        (".s3-manifest/a.png", "working folder"),
        (".S3-Manifest./a.png", "working folder"),
        ("a" * 1100 + ".png", "1024"),
        ("ü" * 510 + ".png", "1024"),
        ("collection.json", "sidecar"),
        ("prompt_metadata.json", "sidecar"),
        ("metadata.jsonl", "sidecar"),
        ("a.exe", "neither"),
        ("png", "neither"),
        ("deep/collection.json", "neither"),
    ],
)
def test_an_invalid_name_is_refused_with_the_reason(filename, reason):
    ((position, stated),) = invalid_filenames(COLLECTIONS, STYLE, ["good.png", filename]).items()
    assert position == 1
    assert reason in stated


def test_a_repeated_name_is_refused():
    invalid = invalid_filenames(COLLECTIONS, STYLE, ["a.png", "b.png", "a.png"])
    assert invalid == {2: "it repeats images.0.filename"}


def test_a_name_that_belongs_to_a_nested_collection_is_refused():
    nested = parse_collections("style=styles/{style_id}/, draft=styles/16/drafts/{draft_id}/", "_manifests/", BUCKET)
    invalid = invalid_filenames(nested, nested.lookup("style", "16"), ["drafts/a.png", "drafts/1/a.png"])
    assert invalid == {1: "it belongs to another collection"}


@pytest.mark.parametrize("md5", [MD5, MD5.upper(), MD5_BASE64, f" {MD5} "])
def test_an_md5_is_hex_or_base64(md5):
    assert image(md5=md5).md5 == MD5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("md5", ""),
        ("md5", "x"),
        ("md5", MD5[:-1]),
        ("md5", base64.b64encode(b"15 bytes exactl").decode()),
        ("md5", None),
        ("size", -1),
        ("size", (5 << 30) + 1),
        ("size", "3"),
        ("size", True),
        ("content_type", "image"),
        ("content_type", "image/png\r\nx-amz-acl: public-read"),
        ("content_type", ""),
        ("prompt", 7),
        ("prompt", "x" * 20_001),
        ("generated_at", "yesterday"),
        ("good", True),
        ("filename", None),
    ],
)
def test_an_unknown_field_or_invalid_value_is_refused(field, value):
    with pytest.raises(ValidationError):
        image(**{field: value})


@pytest.mark.parametrize(
    ("requested", "id_"), [(7, 7), ("7", 7), ("007", "007"), ("run a", "run a"), (None, None), ("9" * 19, "9" * 19)]
)
def test_a_generation_id_is_normalized_like_user_metadata(requested, id_):
    assert GenerationRequest(generation_id=requested).generation_id == id_


@pytest.mark.parametrize("id_", [-1, 10**18, "", "x" * 201, 1.5, True])
def test_an_invalid_generation_id_is_refused(id_):
    with pytest.raises(ValidationError):
        GenerationRequest(generation_id=id_)


@pytest.mark.parametrize("body", [{"images": []}, {"images": [{"filename": "a.png", "size": 0, "md5": MD5}] * 251}])
def test_a_request_is_for_1_to_250_images(body):
    with pytest.raises(ValidationError):
        UploadRequest.model_validate(body)


def test_upload_headers_make_s3_verify_the_content():
    headers, left = image_headers(image(), None, overwrite=False)
    assert headers == {
        "Content-Length": "3",
        "Content-MD5": MD5_BASE64,
        "Content-Type": "image/png",
        "If-None-Match": "*",
        "x-amz-meta-md5": MD5,
    }
    assert left == {}
    assert "If-None-Match" not in image_headers(image(), None, overwrite=True).headers


@pytest.mark.parametrize(
    ("filename", "requested", "content_type"),
    [
        ("a.jpeg", None, "image/jpeg"),
        ("a.JPG", None, "image/jpeg"),
        ("a.tif", None, "image/tiff"),
        ("a.txt", None, "text/plain; charset=utf-8"),
        ("a.png", "image/x-mine; v=1", "image/x-mine; v=1"),
    ],
)
def test_the_content_type_is_the_requested_one_or_follows_from_the_suffix(filename, requested, content_type):
    assert (
        image_headers(image(filename, content_type=requested), None, overwrite=True).headers["Content-Type"]
        == content_type
    )


def test_the_manifest_has_the_values_of_the_upload_headers():
    generation = GenerationDeclaration(generation_id=7, type="batch", generated_at=NOON)
    fields = {"prompt": "größe: 🎨\nnew line", "generated_at": "2026-03-01T12:00:00+01:00", "local_path": "C:/a  b.png"}
    headers, _ = image_headers(image(**fields), generation, overwrite=False)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    metadata = {name.removeprefix("x-amz-meta-"): value for name, value in headers.items() if name.startswith("x-amz")}
    entry = entry_of(Present("styles/16/a.png", 3, "e", NOON, metadata=metadata), STYLE, LOCATION, "s3_event")
    assert (entry.prompt, entry.local_path, entry.generated_at) == (
        fields["prompt"],
        fields["local_path"],
        "2026-03-01T11:00:00.000Z",
    )
    assert (entry.generation_id, entry.generation_type, entry.md5_hash) == (7, "batch", MD5)


@pytest.mark.parametrize(
    ("prompt", "local_path", "left"),
    [
        ("x" * 1900, None, []),
        ("x" * 2000, None, ["prompt"]),
        ("ü" * 800, None, ["prompt"]),
        ("short", "p" * 1000, []),
        ("x" * 1000, "p" * 1000, ["prompt"]),
        ("x" * 1000, "ü" * 512, ["prompt"]),
        (None, "ü" * 512, []),
    ],
)
def test_values_that_do_not_fit_into_user_metadata_are_left_for_a_sidecar(prompt, local_path, left):
    headers, left_over = image_headers(image(prompt=prompt, local_path=local_path), None, overwrite=False)
    assert left_over == {name: {"prompt": prompt, "local_path": local_path}[name] for name in left}
    sizes = [len(name) + len(value) for name, value in headers.items() if name.startswith("x-amz-meta-")]
    assert sum(sizes) <= MAX_METADATA_BYTES


def test_user_metadata_of_the_longest_generation_names_stays_within_the_limit():
    generation = GenerationDeclaration(generation_id="🎨" * 200, type="ü" * 200, generated_at=NOON)
    headers, left = image_headers(image(prompt="x", local_path="y"), generation, overwrite=False)
    sizes = [len(name) + len(value) for name, value in headers.items() if name.startswith("x-amz-meta-")]
    assert sum(sizes) <= MAX_METADATA_BYTES
    assert "x-amz-meta-generation-id" in headers
    assert left.keys() == {"generation_type"}  # what is shorter still fits


def test_a_file_and_a_folder_with_the_same_name_are_refused():
    invalid = invalid_filenames(COLLECTIONS, STYLE, ["a.png/b.png", "c.png", "a.png"])
    assert [(position, "a file and a folder" in reason) for position, reason in invalid.items()] == [
        (0, True),
        (2, True),
    ]
