import hashlib
import re

import pytest

from s3_manifest.storage.store import Absent, Conflict, NotModified, StoredObject

ODD_KEYS = [
    "a b",
    " a ",
    "a+b",
    "100%",
    "a%2Fb",
    "caf\u00e9",
    "cafe\u0301",
    "🎨/画.png",
    "a//b",
    "/a",
    "a/",
    "a/./b",
    "a/../b",
    "./a",
    "../a",
    "dot.",
    "q\"u'o`te",
    "a?b#c&d=e;f:g@h,i$j!k*l(m)",
    "<x>{y}|^[z]~",
    "back\\slash",
    "line\nbreak",
    "\u2028",
    "k" * 1024,
]


def test_every_read_of_a_missing_object_reports_its_absence(bucket):
    assert bucket.store.get("none") is None
    assert bucket.store.get_if_changed("none", "0" * 32) is None
    assert bucket.store.head("none") == Absent("none")


def test_an_object_is_read_as_it_was_uploaded(bucket):
    bucket.upload("k", b"\x00\xff body")
    etag = hashlib.md5(b"\x00\xff body").hexdigest()
    assert bucket.store.get("k") == StoredObject(b"\x00\xff body", etag)
    assert bucket.store.get_if_changed("k", "0" * 32) == StoredObject(b"\x00\xff body", etag)


def test_an_empty_object_exists(bucket):
    bucket.upload("k", b"")
    assert bucket.store.get("k").body == b""
    assert bucket.store.head("k").size == 0


def test_an_unchanged_object_is_not_sent_again(bucket):
    bucket.upload("k", b"body")
    etag = bucket.etag("k")
    assert bucket.store.get_if_changed("k", etag) == NotModified(etag)


def test_an_object_that_was_replaced_is_sent_again(bucket):
    bucket.upload("k", b"old")
    etag = bucket.etag("k")
    bucket.upload("k", b"new")
    assert bucket.store.get_if_changed("k", etag) == StoredObject(b"new", bucket.etag("k"))


def test_a_deleted_object_is_absent_immediately(bucket):
    bucket.upload("k", b"body")
    etag = bucket.etag("k")
    bucket.delete("k")
    assert bucket.store.get("k") is None
    assert bucket.store.get_if_changed("k", etag) is None
    assert bucket.store.head("k") == Absent("k")
    assert bucket.store.list("").keys == ()


def test_a_head_returns_the_objects_fields(bucket):
    bucket.upload("k", b"body", content_type="image/png", storage_class="STANDARD_IA", metadata={"a-b": "x  y"})
    present = bucket.store.head("k")
    assert (present.key, present.size, present.etag) == ("k", 4, hashlib.md5(b"body").hexdigest())
    assert (present.content_type, present.storage_class, present.metadata) == (
        "image/png",
        "STANDARD_IA",
        {"a-b": "x  y"},
    )
    assert (present.version_id, present.archived) == (None, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", present.last_modified)


def test_the_default_storage_class_is_standard(bucket):
    bucket.upload("k", b"body")
    assert bucket.store.head("k").storage_class == "STANDARD"


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_object_that_cannot_be_read_before_it_is_restored_is_archived(s3_bucket, storage_class):
    s3_bucket.upload("k", b"body", storage_class=storage_class)
    assert s3_bucket.store.head("k").archived


def test_a_checksum_is_returned_in_s3s_format(s3_bucket):
    s3_bucket.upload("k", b"x", ChecksumAlgorithm="SHA256")
    assert s3_bucket.store.head("k").checksum == {
        "sha256": "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=",
        "type": "FULL_OBJECT",
    }


def test_the_checksum_of_an_object_uploaded_in_parts_is_composite(ministack_bucket):
    # moto omits the number of parts and the type.
    client, name = ministack_bucket.store._reads, ministack_bucket.store.bucket
    upload = {"Bucket": name, "Key": "k"}
    upload["UploadId"] = client.create_multipart_upload(**upload, ChecksumAlgorithm="CRC32")["UploadId"]
    part = client.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC32")
    completed = {"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [completed]})
    present = ministack_bucket.store.head("k")
    assert present.checksum["type"] == "COMPOSITE"
    assert present.etag.endswith("-1")


def test_a_head_returns_the_version_in_a_versioned_bucket(s3_bucket):
    client, name = s3_bucket.store._reads, s3_bucket.store.bucket
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3_bucket.upload("k", b"one")
    first = s3_bucket.store.head("k").version_id
    s3_bucket.upload("k", b"two")
    assert first
    assert s3_bucket.store.head("k").version_id not in (None, first)
    s3_bucket.delete("k")
    assert s3_bucket.store.head("k") == Absent("k")


@pytest.mark.parametrize("key", ODD_KEYS, ids=ascii)
def test_a_key_may_have_any_characters(bucket, key):
    etag = bucket.store.put(key, b"{}", replaces=None, metadata={"a": "b"})
    assert bucket.store.list("").keys == (key,)
    assert bucket.store.list(key).keys == (key,)
    assert bucket.store.list("", after=key).keys == ()
    assert bucket.store.get(key) == StoredObject(b"{}", etag, {"a": "b"})
    present = bucket.store.head(key)
    assert (present.key, present.etag, present.metadata) == (key, etag, {"a": "b"})
    assert bucket.store.md5(key, etag) == hashlib.md5(b"{}").hexdigest()


@pytest.mark.parametrize("key", ["control\x01", "\ufffe"], ids=ascii)
def test_a_key_may_have_characters_that_xml_cannot_hold(ministack_bucket, key):
    # moto returns a 500 for a listing with such a key.
    ministack_bucket.upload(key, b"body")
    assert ministack_bucket.store.list("").keys == (key,)
    assert ministack_bucket.store.get(key).body == b"body"


def test_keys_that_a_careless_decoder_confuses_stay_distinct(bucket):
    keys = ("a b", "a+b", "a%20b", "a%2Bb", "a%252Bb", "a//b", "a/b", "a/./b", "caf\u00e9", "cafe\u0301")
    for key in keys:
        bucket.store.put(key, key.encode(), replaces=None, metadata={})
    assert [bucket.store.get(key).body for key in keys] == [key.encode() for key in keys]
    assert sorted(bucket.store.list("").keys) == sorted(keys)


def test_the_md5_is_of_all_the_bytes(bucket):
    body = bytes(range(256)) * 10_000
    bucket.upload("k", body)
    assert bucket.store.md5("k", bucket.etag("k")) == hashlib.md5(body).hexdigest()


def test_the_md5_of_a_replaced_object_is_a_conflict(bucket):
    bucket.upload("k", b"old")
    etag = bucket.etag("k")
    bucket.upload("k", b"new")
    with pytest.raises(Conflict):
        bucket.store.md5("k", etag)


def test_the_md5_of_a_deleted_object_is_a_conflict(bucket):
    bucket.upload("k", b"old")
    etag = bucket.etag("k")
    bucket.delete("k")
    with pytest.raises(Conflict):
        bucket.store.md5("k", etag)
