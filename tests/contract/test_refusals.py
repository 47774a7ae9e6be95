"""Errors of S3, from a real HTTP server: the status decides, and a failure never counts as absence."""

import pytest
from contract.answers import Answer, error
from unit.environments import Harness, with_store
from unit.values import PUT, STYLE

from s3_manifest.aws import clients
from s3_manifest.reconcile.commit import commit
from s3_manifest.storage import s3
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import (
    Absent,
    Archived,
    Conflict,
    NotModified,
    OutcomeUnknown,
    Present,
    ReadFailed,
    StoredObject,
    WriteRefused,
)

ETAG = "0123456789abcdef0123456789abcdef"
READS = {
    "get": lambda store: store.get("k"),
    "get_if_changed": lambda store: store.get_if_changed("k", ETAG),
    "head": lambda store: store.head("k"),
    "list": lambda store: store.list("k"),
    "folders": lambda store: store.folders("k"),
    "md5": lambda store: store.md5("k", ETAG),
}
any_read = pytest.mark.parametrize("read", READS.values(), ids=READS)
read_of_an_object = pytest.mark.parametrize("read", [READS[name] for name in ("get", "get_if_changed", "md5")])


@pytest.fixture
def store(server, monkeypatch):
    """A store on that server, without retries even of reads."""
    monkeypatch.setitem(clients._TIMEOUTS, "read_timeout", 0.3)
    client = clients.s3_client(server.endpoint, retries=False)
    return s3.S3Store("bucket", client, client)


def ok_answer(body=b"", length=None, **headers):
    return Answer(
        200,
        body,
        {"ETag": f'"{ETAG}"', "Last-Modified": "Sun, 01 Mar 2026 08:00:00 GMT"}
        | {name.replace("_", "-"): value for name, value in headers.items()},
        length,
    )


def in_missing_bucket(bucket):
    return s3.S3Store("no-such-bucket", bucket.store._reads, bucket.store._writes)


@any_read
@pytest.mark.parametrize("status", [400, 403, 405, 429, 500, 501, 502, 503])
def test_an_error_is_not_reported_as_absence(server, store, read, status):
    server.answers = [error(status)]
    with pytest.raises(ReadFailed, match=f"{status}"):
        read(store)


@any_read
@pytest.mark.parametrize("answer", [Answer(dropped=True), Answer(seconds=2)], ids=["dropped", "late"])
def test_a_missing_response_is_not_reported_as_absence(server, store, read, answer):
    server.answers = [answer]
    with pytest.raises(ReadFailed, match="k: not read"):
        read(store)


@any_read
def test_an_unreachable_server_is_not_reported_as_absence(server, read):
    client = clients.s3_client("http://127.0.0.1:9", retries=False)
    with pytest.raises(ReadFailed):
        read(s3.S3Store("bucket", client, client))


def test_a_404_is_reported_as_absence(server, store):
    server.answers = [error(404, "NoSuchKey")]
    assert store.get("k") is None
    assert store.get_if_changed("k", ETAG) is None
    assert store.head("k") == Absent("k")


def test_an_archived_object_exists_and_cannot_be_read(server, store):
    server.answers = [error(403, "InvalidObjectState")]
    for read in (store.get, lambda key: store.get_if_changed(key, ETAG), lambda key: store.md5(key, ETAG)):
        with pytest.raises(Archived, match="k: its bytes are in an archive"):
            read("k")


def test_a_not_modified_response_may_have_any_checksum(server, store):
    server.answers = [Answer(304, b"", {"ETag": f'"{ETAG}"', "x-amz-checksum-crc32": "AcHUSQ=="})]
    assert store.get_if_changed("k", ETAG) == NotModified(ETAG)


# The 404 of a HEAD has no body, so it does not distinguish bucket and key; see the next test.
@pytest.mark.parametrize("read", [READS[name] for name in READS if name != "head"])
def test_a_read_from_a_missing_bucket_fails(s3_bucket, read):
    with pytest.raises(ReadFailed, match="NoSuchBucket"):
        read(in_missing_bucket(s3_bucket))


def test_a_commit_in_a_missing_bucket_fails(s3_bucket):
    environment = with_store(Harness().environment, in_missing_bucket(s3_bucket))
    with pytest.raises(ReadFailed, match="NoSuchBucket"):
        commit(environment, STYLE, {STYLE.prefix + "a.jpg": PUT})


@pytest.mark.parametrize("replaces", [None, ETAG])
def test_a_write_into_a_missing_bucket_is_refused(s3_bucket, replaces):
    with pytest.raises(WriteRefused, match="NoSuchBucket"):
        in_missing_bucket(s3_bucket).put("k", b"{}", replaces=replaces, metadata={})


@pytest.mark.parametrize(("status", "remedy"), [(403, "s3:ListBucket"), (400, "SSE-C")])
def test_a_refused_head_names_the_remedy(server, store, status, remedy):
    server.answers = [error(status)]
    with pytest.raises(ReadFailed, match=remedy):
        store.head("k")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html><body>Log in to the network</body></html>", {"Content-Type": "text/html"}),
        Answer(200, b"", {}),
        Answer(503, b"<Error><Code>SlowDo", {"Content-Type": "application/xml"}),
        Answer(302, b"<html>", {"Location": "http://login.example/"}),
    ],
    ids=["login page", "empty", "truncated", "redirect"],
)
@any_read
def test_a_response_that_is_not_from_s3_is_a_failed_read(server, store, read, answer):
    server.answers = [answer]
    with pytest.raises(ReadFailed):
        read(store)


@pytest.mark.parametrize("answer", [Answer(200, b"<html>", {"Content-Type": "text/html"}), Answer(503, b"<Error><Co")])
def test_after_a_response_that_is_not_from_s3_the_outcome_of_a_write_is_unknown(server, store, answer):
    server.answers = [answer]
    with pytest.raises(OutcomeUnknown):
        store.put("k", b"{}", replaces=None, metadata={})


def test_a_write_that_the_http_library_rejects_did_not_happen(server, store):
    with pytest.raises(WriteRefused, match="not written"):
        store.put("k", b"{}", replaces=None, metadata={"prompt": "two\nlines"})


@read_of_an_object
def test_a_truncated_body_is_a_failed_read(server, store, read):
    server.answers = [ok_answer(b"half of it", length=100)]
    with pytest.raises(ReadFailed):
        read(store)


def test_a_complete_body_is_read(server, store):
    server.answers = [ok_answer(b"all of it")]
    assert store.get("k") == StoredObject(b"all of it", ETAG)


@pytest.mark.parametrize(
    ("headers", "fact", "value"),
    [
        ({}, "encryption", None),
        ({"x_amz_server_side_encryption": "AES256"}, "encryption", "AES256"),
        ({"x_amz_server_side_encryption": "aws:kms"}, "encryption", "aws:kms"),
        ({}, "archived", False),
        ({"x_amz_storage_class": "STANDARD_IA"}, "archived", False),
        ({"x_amz_storage_class": "GLACIER_IR"}, "archived", False),
        ({"x_amz_storage_class": "GLACIER"}, "archived", True),
        ({"x_amz_storage_class": "GLACIER", "x_amz_restore": 'ongoing-request="true"'}, "archived", True),
        ({"x_amz_storage_class": "DEEP_ARCHIVE", "x_amz_restore": 'ongoing-request="false"'}, "archived", False),
        ({"x_amz_storage_class": "INTELLIGENT_TIERING"}, "archived", False),
        (
            {"x_amz_storage_class": "INTELLIGENT_TIERING", "x_amz_archive_status": "ARCHIVE_ACCESS"},
            "archived",
            True,
        ),
        ({}, "checksum", None),
        (
            {"x_amz_checksum_crc64nvme": "x==", "x_amz_checksum_type": "FULL_OBJECT"},
            "checksum",
            {"crc64nvme": "x==", "type": "FULL_OBJECT"},
        ),
        (
            {"x_amz_checksum_sha256": "x==-3", "x_amz_checksum_type": "COMPOSITE"},
            "checksum",
            {"sha256": "x==-3", "type": "COMPOSITE"},
        ),
        # Older servers omit the header.
        ({"x_amz_checksum_crc32": "x=="}, "checksum", {"crc32": "x==", "type": "FULL_OBJECT"}),
        ({"x_amz_checksum_crc32": "x==-3"}, "checksum", {"crc32": "x==-3", "type": "COMPOSITE"}),
        *(
            (
                {f"x_amz_checksum_{name}": "x==", "x_amz_checksum_type": "FULL_OBJECT"},
                "checksum",
                {name: "x==", "type": "FULL_OBJECT"},
            )
            for name in ("md5", "sha512", "xxhash64", "xxhash3", "xxhash128", "blake3", "crc32c")
        ),
        (
            {"x_amz_checksum_blake3": "x==-2", "x_amz_checksum_crc32": "y==-2"},
            "checksum",
            {"blake3": "x==-2", "crc32": "y==-2", "type": "COMPOSITE"},
        ),
        ({"x_amz_checksum_type": "FULL_OBJECT"}, "checksum", None),
        ({"x_amz_version_id": "v1"}, "version_id", "v1"),
        ({"x_amz_meta_Prompt": "a  fox"}, "metadata", {"prompt": "a  fox"}),
        *(
            ({"x_amz_meta_prompt": sent.decode("latin-1")}, "metadata", {"prompt": read})
            for sent, read in (
                ("Miniö".encode(), "Miniö"),
                ("狐 🦊".encode(), "狐 🦊"),
                ("Miniö".encode("latin-1"), "Miniö"),
                ("«coração»".encode("latin-1"), "«coração»"),
                (b"half \xc3\xb6 of \xf6", "half Ã¶ of ö"),
                (b"=?UTF-8?Q?Mini=C3=83=C2=B6?=", "=?UTF-8?Q?Mini=C3=83=C2=B6?="),
            )
        ),
        ({}, "last_modified", "2026-03-01T08:00:00.000Z"),
        ({}, "etag", ETAG),
    ],
    ids=str,
)
def test_a_head_parses_s3s_headers(server, store, headers, fact, value):
    server.answers = [ok_answer(**headers)]
    present = store.head("k")
    assert isinstance(present, Present)
    assert getattr(present, fact) == value


def test_the_etag_of_an_object_encrypted_with_sse_c_is_no_md5(server, store):
    server.answers = [ok_answer(x_amz_server_side_encryption_customer_algorithm="AES256")]
    assert proven_md5(store.head("k")) is None


def put(store, replaces=ETAG):
    return store.put("k", b"{}", replaces=replaces, metadata={})


@pytest.mark.parametrize("replaces", [None, ETAG], ids=["create", "replace"])
@pytest.mark.parametrize(
    ("status", "code"),
    [(412, "PreconditionFailed"), (412, ""), (409, "ConditionalRequestConflict"), (409, "ConcurrentModification")],
)
def test_a_condition_that_did_not_hold_is_a_conflict_whatever_its_code(server, store, status, code, replaces):
    server.answers = [error(status, code)]
    with pytest.raises(Conflict):
        put(store, replaces)


def test_replacing_a_deleted_object_is_a_conflict(server, store):
    server.answers = [error(404, "NoSuchKey")]
    with pytest.raises(Conflict):
        put(store)
    with pytest.raises(WriteRefused):
        put(store, None)


@pytest.mark.parametrize("status", [400, 403, 405, 411])
def test_a_refused_write_did_not_happen(server, store, status):
    server.answers = [error(status)]
    with pytest.raises(WriteRefused, match=str(status)):
        put(store)


@pytest.mark.parametrize(
    "answer",
    [*(error(status) for status in (500, 501, 502, 503, 504)), Answer(dropped=True), Answer(seconds=2)],
    ids=["500", "501", "502", "503", "504", "dropped", "late"],
)
def test_a_write_of_unknown_outcome_is_reported_and_not_retried(server, store, answer):
    server.answers = [answer, ok_answer()]
    with pytest.raises(OutcomeUnknown):
        put(store)
    assert server.requests == ["PUT /bucket/k"]


def test_a_write_to_an_unreachable_server_has_an_unknown_outcome():
    client = clients.s3_client("http://127.0.0.1:9", retries=False)
    with pytest.raises(OutcomeUnknown):
        put(s3.S3Store("bucket", client, client))


@pytest.mark.parametrize("first", [error(503), Answer(dropped=True)], ids=["503", "dropped"])
def test_a_read_is_retried(server, first, monkeypatch):
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    server.answers = [first, ok_answer(b"body")]
    client = clients.s3_client(server.endpoint)
    assert s3.S3Store("bucket", client, client).get("k") == StoredObject(b"body", ETAG)
    assert server.requests == ["GET /bucket/k"] * 2


def test_the_requests_carry_the_conditions(ministack_bucket):
    sent = []
    client = ministack_bucket.store._writes
    client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(dict(request.headers)))
    etag = ministack_bucket.store.put("k", b"{}", replaces=None, metadata={})
    ministack_bucket.store.put("k", b"{}", replaces=etag, metadata={})
    conditions = [{name: headers.get(name) for name in ("If-Match", "If-None-Match")} for headers in sent]
    assert conditions == [
        {"If-Match": None, "If-None-Match": b"*"},
        {"If-Match": f'"{etag}"'.encode(), "If-None-Match": None},
    ]
