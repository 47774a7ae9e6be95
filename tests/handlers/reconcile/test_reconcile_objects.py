"""The reconcile function: the entry of an object, for all kinds of keys, uploads and metadata."""

import hashlib
import json
import time
from email.header import Header

import pytest
from handlers.lambda_events import s3_event

ODD_NAMES = [
    "sp ace.png",
    "plus+plus.png",
    "percent%20.png",
    "hundred%.png",
    "größe 日本語 🎨.png",
    "e\u0301.png",
    "\u00e9.png",
    "nested/in/folders/a.png",
    "a=b&c;d,e.png",
    "quote'\"\\.png",
    "#?.png",
    "tab\tand\nline.png",
    "..",
    "a//b",
    "manifest.json",
    "_manifests/a.png",
]


def test_odd_keys_are_recorded_exactly(account, reconcile):
    # The manifest exists already, so the keys are added by their events, not by a first listing.
    account.put("styles/16/first.png")
    reconcile({"first": s3_event("styles/16/first.png")})
    etags = {name: account.put(f"styles/16/{name}", name.encode()) for name in ODD_NAMES}
    assert reconcile({name: s3_event(f"styles/16/{name}") for name in ODD_NAMES}) == []
    found = account.files("styles/16/")
    assert sorted(found) == sorted([*ODD_NAMES, "first.png"])
    assert {name: found[name]["etag"] for name in ODD_NAMES} == etags
    assert all(found[name]["s3_key"] == f"styles/16/{name}" for name in ODD_NAMES)


def test_odd_keys_in_a_listing_are_recorded_exactly(account, reconcile):
    for name in ODD_NAMES:
        account.put(f"styles/16/{name}")
    assert reconcile({"1": s3_event("styles/16/a.png")}) == []
    assert list(account.files("styles/16/")) == sorted(ODD_NAMES)


@pytest.mark.parametrize("id_", ["größe 日本語", "a b+c", "100%", "16%2F17", "…", "'\""])
def test_odd_ids_have_a_manifest_each(account, reconcile, id_):
    account.put(f"styles/{id_}/a.png")
    assert reconcile({"1": s3_event(f"styles/{id_}/a.png")}) == []
    manifest = account.manifest(f"styles/{id_}/")
    assert (manifest["style_id"], manifest["total_files"]) == (id_, 1)


def test_a_url_is_encoded_for_use_as_it_is(account, reconcile):
    account.put("styles/16/größe +%.png")
    reconcile({"1": s3_event("styles/16/größe +%.png")})
    (entry,) = account.manifest("styles/16/")["files"]
    assert entry["s3_url"].endswith(".amazonaws.com/styles/16/gr%C3%B6%C3%9Fe%20%2B%25.png")


def test_the_md5_of_a_plain_upload_is_its_etag(account, reconcile):
    account.put("styles/16/a.png", b"bytes")
    reconcile({"1": s3_event("styles/16/a.png")})
    (entry,) = account.manifest("styles/16/")["files"]
    assert (entry["md5_hash"], entry["md5_source"]) == (hashlib.md5(b"bytes").hexdigest(), "etag")
    assert entry["size_bytes"] == 5


@pytest.mark.parametrize(("limit", "computed"), [("10", True), ("9", False)])
def test_the_md5_of_a_multipart_upload_is_computed_up_to_a_size(account, reconcile, monkeypatch, limit, computed):
    monkeypatch.setenv("MD5_MAX_BYTES", limit)
    account.put_in_parts("styles/16/a.png", b"ten  bytes")
    assert reconcile({"1": s3_event("styles/16/a.png")}) == []
    (entry,) = account.manifest("styles/16/")["files"]
    expected = (hashlib.md5(b"ten  bytes").hexdigest(), "computed") if computed else (None, None)
    assert (entry["md5_hash"], entry["md5_source"]) == expected
    assert entry["etag"].endswith("-1")
    assert len([request for request in account.sent("GET") if request.key == "styles/16/a.png"]) == computed


def test_a_computed_md5_is_not_computed_again(account, reconcile):
    account.put_in_parts("styles/16/a.png", b"bytes")
    reconcile({"1": s3_event("styles/16/a.png")})
    before = account.manifest("styles/16/")
    account.requests.clear()
    reconcile({"2": s3_event("styles/16/a.png")})
    assert account.manifest("styles/16/")["files"] == before["files"]
    assert [request.key for request in account.sent("GET")] == ["_manifests/styles/16/manifest.json"]


def test_the_md5_of_the_uploader_is_used(account, reconcile):
    md5 = hashlib.md5(b"bytes").hexdigest()
    account.put_in_parts("styles/16/a.png", b"bytes", Metadata={"md5": md5.upper()})
    reconcile({"1": s3_event("styles/16/a.png")})
    (entry,) = account.manifest("styles/16/")["files"]
    assert (entry["md5_hash"], entry["md5_source"]) == (md5, "md5")


def test_user_metadata_is_copied_into_the_entry(account, reconcile):
    prompt = "ein Fuchs, größer als 🦊, 日本語" * 3
    account.put(
        "styles/16/a.png",
        ContentType="image/png",
        Metadata={
            "prompt": Header(prompt, "utf-8").encode(linesep=""),
            "generation-id": "7",
            "generation-type": "lora",
            "generated-at": "2025-10-11T12:00:00+02:00",
            "local-path": "/home/me/a.png",
            "seed": "4711",
        },
    )
    assert reconcile({"1": s3_event("styles/16/a.png")}) == []
    manifest = account.manifest("styles/16/")
    (entry,) = manifest["files"]
    assert entry["prompt"] == prompt
    assert (entry["generation_id"], entry["generation_type"]) == (7, "lora")
    assert entry["generated_at"] == "2025-10-11T10:00:00.000Z"
    assert entry["local_path"] == "/home/me/a.png"
    assert entry["metadata"] == {"seed": "4711"}
    assert entry["content_type"] == "image/png"
    (generation,) = manifest["generations"]
    assert (generation["generation_id"], generation["type"], generation["image_count"]) == (7, "lora", 1)
    assert generation["generated_at"] == "2025-10-11T10:00:00.000Z"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("generated-at", "0900-01-01T00:00:00"),
        ("generated-at", "0001-01-01T00:00:00+14:00"),
        ("generated-at", "9999-12-31T23:59:59-14:00"),
        ("generated-at", "yesterday"),
        ("generation-id", "9" * 400),
        ("generation-id", ""),
        ("generation-type", ""),
        ("md5", "?" * 32),
        ("prompt", "=?utf-8?q?=FF?="),
        ("prompt", "=?utf-7?q?+2AA-?="),
        ("prompt", "=?unicode_escape?q?=5Cud800?="),
        ("prompt", "=?no-such-charset?q?x?="),
        ("prompt", "=?utf-8?b?x?="),
        ("prompt", "=?rot13?q?x?="),
        ("prompt", "=?=?=??==?"),
        ("local-path", "../../etc/passwd"),
    ],
)
def test_invalid_metadata_of_an_object_does_not_fail_the_batch(account, reconcile, name, value):
    account.put("styles/16/known.png")
    reconcile({"0": s3_event("styles/16/known.png")})
    account.put("styles/16/good.png")
    account.put("styles/16/odd.png", Metadata={name: value})
    assert reconcile({"1": s3_event("styles/16/odd.png"), "2": s3_event("styles/16/good.png")}) == []
    assert sorted(account.files("styles/16/")) == ["good.png", "known.png", "odd.png"]


def test_an_object_without_metadata_has_no_generation_details(account, reconcile):
    account.put("styles/16/a.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    (entry,) = account.manifest("styles/16/")["files"]
    assert (entry["prompt"], entry["generated_at"], entry["local_path"]) == (None, None, None)
    assert (entry["generation_id"], entry["generation_type"], entry["source"]) == (1, "s3_event", "s3_event")


def test_the_title_is_read_from_collection_json_and_removed_with_it(account, reconcile):
    account.put("styles/16/a.png")
    etag = account.put("styles/16/collection.json", json.dumps({"title": "Dynamic Simplicity"}).encode())
    reconcile({"1": s3_event("styles/16/collection.json")})
    manifest = account.manifest("styles/16/")
    assert manifest["style_title"] == "Dynamic Simplicity"
    assert manifest["sidecars"] == [{"s3_key": "styles/16/collection.json", "etag": etag}]
    assert [entry["filename"] for entry in manifest["files"]] == ["a.png"]

    account.delete("styles/16/collection.json")
    reconcile({"2": s3_event("styles/16/collection.json", event="ObjectRemoved:Delete")})
    manifest = account.manifest("styles/16/")
    assert (manifest["style_title"], manifest["sidecars"]) == (None, [])
    assert (manifest["total_files"], manifest["revision"]) == (1, 2)


@pytest.mark.parametrize("body", [b"{broken", b"[]", b'{"title": 7}', b'{"name": "x"}', b"", b"\xff\xfe"])
def test_a_collection_json_without_a_title_is_still_a_sidecar(account, reconcile, body):
    account.put("styles/16/collection.json", body)
    assert reconcile({"1": s3_event("styles/16/collection.json")}) == []
    manifest = account.manifest("styles/16/")
    assert (manifest["style_title"], len(manifest["sidecars"]), manifest["files"]) == (None, 1, [])


def test_the_longest_title_is_read_quickly(account, reconcile):
    title = "ü" * 1000
    account.put("styles/16/collection.json", json.dumps({"title": title}, ensure_ascii=False).encode())
    began = time.process_time()
    assert reconcile({"1": s3_event("styles/16/collection.json")}) == []
    assert time.process_time() - began < 2
    assert account.manifest("styles/16/")["style_title"] == title


def test_folder_markers_are_not_files(account, reconcile):
    account.put("styles/16/", b"")
    account.put("styles/16/folder/", b"")
    account.put("styles/16/empty.png", b"")
    account.put("styles/16/holds-bytes/", b"bytes")
    events = s3_event("styles/16/", "styles/16/folder/", "styles/16/empty.png", "styles/16/holds-bytes/")
    assert reconcile({"1": events}) == []
    manifest = account.manifest("styles/16/")
    assert [entry["filename"] for entry in manifest["files"]] == ["empty.png", "holds-bytes/"]
    assert (manifest["total_files"], manifest["total_size_bytes"]) == (2, 5)


def test_a_replaced_object_replaces_its_entry(account, reconcile):
    account.put("styles/16/a.png", b"old", Metadata={"prompt": "old"})
    reconcile({"1": s3_event("styles/16/a.png")})
    etag = account.put("styles/16/a.png", b"newer")
    reconcile({"2": s3_event("styles/16/a.png")})
    manifest = account.manifest("styles/16/")
    (entry,) = manifest["files"]
    assert (entry["etag"], entry["size_bytes"], entry["prompt"]) == (etag, 5, None)
    assert (manifest["revision"], manifest["total_size_bytes"]) == (2, 5)
