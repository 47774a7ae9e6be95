"""The sources of an MD5: the first valid proof counts and is named, and none is guessed."""

import base64

import pytest
from unit.values import LOCATION, OTHER_MD5, SOME_MD5, STYLE, present

from s3_manifest.reconcile.entries import entry_of
from s3_manifest.storage.md5 import proven_md5

MULTIPART = f"{SOME_MD5}-3"
RCLONE = base64.b64encode(bytes.fromhex(OTHER_MD5)).decode()
S3CMD = "atime:1/ctime:1/gid:0/gname:root/md5:{}/mode:33188/mtime:1/uid:0/uname:root"


def proof(etag=MULTIPART, encryption=None, **metadata):
    named = {name.replace("_", "-"): value for name, value in metadata.items()}
    return proven_md5(present(etag=etag, encryption=encryption, metadata=named))


@pytest.mark.parametrize("encryption", [None, "AES256"])
def test_an_etag_of_32_hex_digits_is_the_md5(encryption):
    assert proof(etag=SOME_MD5, encryption=encryption) == (SOME_MD5, "etag")


@pytest.mark.parametrize("encryption", ["aws:kms", "aws:kms:dsse", "aws:fsx", "SSE-C", "something-new"])
def test_an_etag_of_an_object_encrypted_otherwise_is_no_md5(encryption):
    assert proof(etag=SOME_MD5, encryption=encryption) is None


@pytest.mark.parametrize(
    "etag", [MULTIPART, f"{SOME_MD5}-1", SOME_MD5[:-1], SOME_MD5 + "0", "g" * 32, SOME_MD5.upper(), "", f"{SOME_MD5}\n"]
)
def test_an_etag_of_another_form_is_no_md5(etag):
    assert proof(etag=etag) is None


@pytest.mark.parametrize(
    ("metadata", "source"),
    [
        ({"md5": OTHER_MD5}, "md5"),
        ({"md5": OTHER_MD5.upper()}, "md5"),
        ({"md5": f" {OTHER_MD5} "}, "md5"),
        ({"md5": RCLONE}, "md5"),
        ({"md5chksum": RCLONE}, "md5chksum"),
        ({"md5chksum": OTHER_MD5}, "md5chksum"),
        ({"s3cmd_attrs": S3CMD.format(OTHER_MD5)}, "s3cmd-attrs"),
        ({"s3cmd_attrs": f"md5:{OTHER_MD5}"}, "s3cmd-attrs"),
        ({"s3cmd_attrs": f"md5:{OTHER_MD5}/mode:1"}, "s3cmd-attrs"),
        ({"s3cmd_attrs": f"mode:1/md5:{OTHER_MD5}"}, "s3cmd-attrs"),
    ],
)
def test_the_uploaders_md5_counts_where_the_etag_proves_nothing(metadata, source):
    assert proof(**metadata) == (OTHER_MD5, source)


def test_a_checksum_of_the_whole_object_is_the_second_proof():
    def of(etag=MULTIPART, **checksum):
        return proven_md5(present(etag=etag, checksum=checksum, metadata={"md5": "0" * 32}))

    assert of(md5=RCLONE, type="FULL_OBJECT") == (OTHER_MD5, "checksum")
    assert of(md5=RCLONE, sha512="x", type="FULL_OBJECT") == (OTHER_MD5, "checksum")
    assert of(etag=SOME_MD5, md5=RCLONE, type="FULL_OBJECT") == (SOME_MD5, "etag")
    for no_proof in (
        {"md5": f"{RCLONE}-3", "type": "COMPOSITE"},
        {"md5": RCLONE, "type": "COMPOSITE"},
        {"md5": f"{RCLONE}-3", "type": "FULL_OBJECT"},
        {"sha256": RCLONE, "type": "FULL_OBJECT"},
        {"xxhash128": RCLONE, "type": "FULL_OBJECT"},
    ):
        assert of(**no_proof) == ("0" * 32, "md5")


@pytest.mark.parametrize(
    "marker", ["s3tools-gpgenc", "x-amz-key", "x-amz-key-v2", "x-amz-iv", "x-amz-unencrypted-content-md5", "x-amz-3"]
)
def test_the_uploaders_md5_of_a_client_side_encrypted_object_is_no_proof(marker):
    declared = {"md5": OTHER_MD5, "md5chksum": RCLONE, "s3cmd-attrs": S3CMD.format(OTHER_MD5)}
    for name, value in declared.items():
        assert proven_md5(present(etag=MULTIPART, metadata={name: value, marker: "gpg"})) is None
    assert proven_md5(present(etag=SOME_MD5, metadata={**declared, marker: "gpg"})) == (SOME_MD5, "etag")


def test_the_uploaders_md5_counts_for_a_server_side_encrypted_object():
    assert proof(etag=SOME_MD5, encryption="aws:kms", md5=OTHER_MD5) == (OTHER_MD5, "md5")


def test_s3s_md5_takes_precedence_over_the_uploaders():
    assert proof(etag=SOME_MD5, md5=OTHER_MD5, md5chksum=RCLONE) == (SOME_MD5, "etag")


def test_the_proofs_are_tried_in_order():
    attributes = S3CMD.format(OTHER_MD5)
    assert proof(md5=SOME_MD5, md5chksum=RCLONE, s3cmd_attrs=attributes) == (SOME_MD5, "md5")
    assert proof(md5="garbage", md5chksum=RCLONE, s3cmd_attrs=attributes) == (OTHER_MD5, "md5chksum")
    assert proof(md5="garbage", md5chksum="garbage", s3cmd_attrs=attributes) == (OTHER_MD5, "s3cmd-attrs")


@pytest.mark.parametrize(
    "metadata",
    [
        {"md5": ""},
        {"md5": "garbage"},
        {"md5": OTHER_MD5[:-2]},
        {"md5": OTHER_MD5 + "00"},
        {"md5": "z" * 32},
        {"md5": "\x00"},
        {"md5": "é"},
        {"md5": "画" * 32},
        {"md5chksum": ""},
        {"md5chksum": RCLONE[:-1]},
        {"md5chksum": "a" * 20},
        {"md5chksum": "ключ"},
        {"md5chksum": base64.b64encode(b"x" * 20).decode()},
        {"s3cmd_attrs": ""},
        {"s3cmd_attrs": "mode:33188/uid:0"},
        {"s3cmd_attrs": S3CMD.format("none")},
        {"s3cmd_attrs": f"notmd5:{OTHER_MD5}"},
        {"s3cmd_attrs": f"md5:{OTHER_MD5}0"},
        {"content_md5": OTHER_MD5},
    ],
    ids=str,
)
def test_invalid_metadata_proves_no_md5(metadata):
    assert proof(**metadata) is None


def entry_with(computed, **facts):
    described = entry_of(present(**facts), STYLE, LOCATION, "s3_event", computed)
    return described.md5_hash, described.md5_source


def test_the_computed_md5_is_the_last_proof():
    assert entry_with(OTHER_MD5, etag=MULTIPART) == (OTHER_MD5, "computed")


def test_a_proof_in_the_head_takes_precedence_over_the_computed_md5():
    assert entry_with(OTHER_MD5, etag=SOME_MD5) == (SOME_MD5, "etag")


def test_without_a_proof_the_md5_is_none():
    assert entry_with(None, etag=MULTIPART) == (None, None)
