"""The edit function, presigned uploads: each response, and what S3 holds before the upload."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from handlers.lambda_events import s3_event
from handlers.query.test_query import is_problem

from s3_manifest.manifest.model import timestamp
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.query.cursors import decode_cursor

ACTOR = "0042_european_30_male"
PREFIX = f"system_actors/training_data/{ACTOR}/"
PATH = f"/api/training-data/{ACTOR}/uploads"
BODY = b"pixels"
MD5 = hashlib.md5(BODY).hexdigest()


def image(filename="a.png", **more):
    return {"filename": filename, "size": len(BODY), "md5": MD5} | more


def request_uploads(edit, *images, path=PATH, **more):
    return edit("POST", path, {"images": list(images), **more})


def test_each_image_gets_a_url_and_the_headers_to_send(account, edit):
    before = datetime.now(UTC)
    reply = request_uploads(edit, image("deep/a b+ü.png", prompt="größe"), image("b.jpg"), expires_in=600)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    upload, other = reply.json["uploads"]
    assert (upload["filename"], upload["s3_key"], upload["method"]) == (
        "deep/a b+ü.png",
        f"{PREFIX}deep/a b+ü.png",
        "PUT",
    )
    assert upload["headers"] == {
        "Content-Length": "6",
        "Content-MD5": base64.b64encode(bytes.fromhex(MD5)).decode(),
        "Content-Type": "image/png",
        "If-None-Match": "*",
        "x-amz-meta-md5": MD5,
        "x-amz-meta-prompt": "=?UTF-8?B?Z3LDtsOfZQ==?=",
    }
    url = urlsplit(upload["url"])
    assert url.path == f"/{PREFIX}deep/a%20b%2B%C3%BC.png"
    assert parse_qs(url.query)["X-Amz-Expires"] == ["600"]
    ends = [moment + timedelta(seconds=600) for moment in (before, datetime.now(UTC))]
    assert timestamp(ends[0]) <= upload["expires_at"] <= timestamp(ends[1])
    assert decode_cursor(upload["reflects"], ChangeToken) == ChangeToken(s3_key=upload["s3_key"], uploaded_md5=MD5)
    assert (other["headers"]["Content-Type"], other["in_sidecar"]) == ("image/jpeg", [])
    assert reply.json | {"uploads": [], "generation": None} == {
        "uploads": [],
        "generation": None,
        "revision": None,
        "reflected": False,
        "reflects": None,
        "manifest": f"/api/manifests/actor/{ACTOR}",
    }
    assert account.below("") == ["_manifests/subscription.json"]


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/api/styles/99/uploads", "styles/99/"),
        ("/api/manifests/style/99/uploads", "styles/99/"),
        ("/api/training-data/0043_new/uploads", "system_actors/training_data/0043_new/"),
    ],
)
def test_a_collection_without_objects_accepts_uploads(edit, path, prefix):
    (upload,) = request_uploads(edit, image(), path=path).json["uploads"]
    assert upload["s3_key"] == f"{prefix}a.png"


def test_an_actor_is_found_by_its_number(account, edit):
    account.put(f"{PREFIX}there.png")
    (upload,) = request_uploads(edit, image(), path="/api/training-data/42/uploads").json["uploads"]
    assert upload["s3_key"] == f"{PREFIX}a.png"


@pytest.mark.parametrize("path", ["/api/training-data/43/uploads", "/api/manifests/color/16/uploads"])
def test_an_upload_to_an_unknown_number_or_kind_is_404(edit, path):
    assert is_problem(request_uploads(edit, image(), path=path), 404)


def test_with_overwrite_a_file_may_be_replaced(edit):
    (upload,) = request_uploads(edit, image(), overwrite=True).json["uploads"]
    assert "If-None-Match" not in upload["headers"]
    assert "if-none-match" not in upload["url"]


def test_a_generation_is_declared_and_every_image_belongs_to_it(account, edit):
    reply = request_uploads(
        edit, image("a.png"), image("b.png"), generation={"type": "batch", "metadata": {"model": "sdxl"}}
    )
    generation = reply.json["generation"]
    assert (generation["generation_id"], generation["type"], generation["metadata"]) == (1, "batch", {"model": "sdxl"})
    assert json.loads(account.read(f"{PREFIX}collection.json")) == {"generations": [generation]}
    for upload in reply.json["uploads"]:
        values = {name: upload["headers"][f"x-amz-meta-generation-{name}"] for name in ("id", "type")}
        assert values == {"id": "1", "type": "batch"}
    assert decode_cursor(reply.json["reflects"], ChangeToken).s3_key == f"{PREFIX}collection.json"


def test_a_new_generation_gets_the_id_after_all_observed_and_declared_ones(account, edit, reconcile):
    account.put(f"{PREFIX}there.png", Metadata={"generation-id": "6"})
    reconcile({"m": s3_event(f"{PREFIX}there.png")})
    ids = [request_uploads(edit, image(), generation={}).json["generation"]["generation_id"] for _ in range(2)]
    assert ids == [7, 8]


def test_several_requests_may_upload_to_one_generation(account, edit):
    declaration = {"generation_id": "run 7", "generated_at": "2026-03-01T12:00:00+01:00"}
    first = request_uploads(edit, image("a.png"), generation=declaration | {"metadata": {"seed": 1}}).json["generation"]
    again = request_uploads(edit, image("b.png"), generation={"generation_id": "run 7"}).json["generation"]
    assert first == again
    assert first["generated_at"] == "2026-03-01T11:00:00.000Z"
    assert len(account.sent("PUT")) == 1


def test_a_prompt_too_long_for_a_header_is_written_to_the_sidecar(account, edit):
    long = "größe " * 1000
    reply = request_uploads(edit, image("long.png", prompt=long), image("short.png", prompt="x"), generation={})
    upload, other = reply.json["uploads"]
    assert (upload["in_sidecar"], other["in_sidecar"]) == (["prompt"], [])
    assert "x-amz-meta-prompt" not in upload["headers"]
    assert json.loads(account.read(f"{PREFIX}prompt_metadata.json")) == {"long.png": {"prompt": long}}
    change_token = decode_cursor(reply.json["reflects"], ChangeToken)
    assert [change_token.s3_key, *(upload.s3_key for upload in change_token.others)] == [
        f"{PREFIX}collection.json",
        f"{PREFIX}prompt_metadata.json",
    ]


def test_an_old_sidecar_does_not_override_a_new_upload(account, edit):
    before = {"a.png": {"prompt": "old", "good": False}, "b.png": {"good": False}, "c.png": "old"}
    account.put(f"{PREFIX}prompt_metadata.json", json.dumps(before).encode())
    images = [image(name, prompt="new", local_path="x") for name in ("a.png", "b.png")] + [image("c.png")]
    uploads = request_uploads(edit, *images, overwrite=True).json["uploads"]
    assert [upload["in_sidecar"] for upload in uploads] == [["prompt"], [], []]
    after = before | {"a.png": {"prompt": "new", "good": False}}
    assert json.loads(account.read(f"{PREFIX}prompt_metadata.json")) == after


def test_250_images_with_the_longest_fields_fit_into_one_response(edit, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t" * 1500)
    folders = f"{'ü' * 120}/" * 3
    names = [f"{folders}{'ü' * 115}{number:03d}.png" for number in range(250)]
    images = [image(name, prompt="x" * 1500, local_path="p" * 300) for name in names]
    reply = request_uploads(edit, *images)
    assert reply.status == 200
    assert len(json.dumps(reply.raw)) < 6 * 1024 * 1024


@pytest.mark.parametrize(
    ("images", "more", "parameter"),
    [
        ([], {}, "images"),
        ([image()] * 251, {}, "images"),
        ([image("../a.png")], {}, "images.0.filename"),
        ([image(), image("/b.png")], {}, "images.1.filename"),
        ([image(), image()], {}, "images.1.filename"),
        ([image("a.exe")], {}, "images.0.filename"),
        ([image("collection.json")], {}, "images.0.filename"),
        ([image(md5="x")], {}, "images.0.md5"),
        ([image(size=-1)], {}, "images.0.size"),
        ([image(size="6")], {}, "images.0.size"),
        ([image(size=5 * 2**30 + 1)], {}, "images.0.size"),
        ([image(content_type="x")], {}, "images.0.content_type"),
        ([image(good=False)], {}, "images.0.good"),
        ([{"filename": "a.png"}], {}, "images.0.size"),
        ([image()], {"generation": {"id": 7}}, "generation.id"),
        ([image()], {"generation": {"generated_at": "x"}}, "generation.generated_at"),
        ([image()], {"generation": {"metadata": {"x": "y" * 5000}}}, "generation.metadata"),
        ([image()], {"overwrite": "yes"}, "overwrite"),
        ([image()], {"expires_in": 0}, "expires_in"),
        ([image()], {"expires_in": 43_201}, "expires_in"),
        ([image()], {"more": 1}, "more"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_request_is_400_with_the_invalid_parameter(account, edit, images, more, parameter):
    reply = request_uploads(edit, *images, **more)
    assert is_problem(reply, 400, parameter=parameter), reply.text
    assert account.requests == []


def test_all_invalid_names_are_reported(edit):
    reply = request_uploads(edit, image("../a.png"), image("b.png"), image("c.exe"))
    assert "images.0.filename" in reply.json["detail"]
    assert "images.2.filename" in reply.json["detail"]
    assert "images.1" not in reply.json["detail"]


@pytest.mark.parametrize("sidecar", ["collection.json", "prompt_metadata.json"])
def test_a_broken_sidecar_is_409(account, edit, sidecar):
    account.put(PREFIX + sidecar, b"{")
    assert is_problem(request_uploads(edit, image(prompt="x"), generation={}), 409)
    assert account.read(PREFIX + sidecar) == b"{"


@pytest.mark.parametrize("id_", [".", "..", "a\nb", "a\x00b", "a\x7fb", "a\ufffeb"])
@pytest.mark.parametrize(
    "path", ["/api/styles/-/uploads", "/api/manifests/style/-/uploads", "/api/training-data/-/uploads"]
)
def test_an_upload_to_an_id_that_a_url_cannot_carry_is_400(account, edit, path, id_):
    reply = edit("POST", path, {"images": [image()], "generation": {}}, id=id_)
    assert is_problem(reply, 400, parameter="id")
    assert account.sent("PUT") == []


@pytest.mark.parametrize("id_", [".", ".."])
@pytest.mark.parametrize("path", ["/api/styles/{}/uploads", "/api/training-data/{}/uploads"])
def test_an_upload_to_a_dot_segment_in_the_path_is_400(account, edit, path, id_):
    assert is_problem(edit("POST", path.format(id_), {"images": [image()]}), 400, parameter="path")
    assert account.requests == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content_type", "image/pñg"),
        ("content_type", "imäge/png"),
        ("content_type", "image/٣"),
        ("content_type", "image/png; name=ü"),
        ("content_type", "image/png\n"),
        ("content_type", "image/png;\r\nx-amz-acl=public-read"),
        ("content_type", "image/png\x00"),
        ("content_type", "image/png; a=b\x7f"),
        ("content_type", " image/png"),
        ("content_type", f"image/{'x' * 200}"),
        ("prompt", "日" * 20_001),
        ("prompt", "🎨" * 20_000),
        ("local_path", "日" * 500),
    ],
    ids=lambda value: value[:20],
)
def test_a_value_that_no_header_or_sidecar_can_hold_is_400_and_nothing_is_declared(account, edit, field, value):
    reply = request_uploads(edit, image(**{field: value}), generation={})
    assert is_problem(reply, 400, parameter=f"images.0.{field}")
    assert account.sent("PUT") == []


@pytest.mark.parametrize("value", ["image/svg+xml", "image/png; charset=utf-8", "image/vnd.adobe.photoshop"])
def test_a_content_type_is_sent_as_it_is_given(edit, value):
    (upload,) = request_uploads(edit, image(content_type=value)).json["uploads"]
    assert upload["headers"]["Content-Type"] == value
