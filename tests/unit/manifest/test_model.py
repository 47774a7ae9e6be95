import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from pydantic import ValidationError
from unit.values import ACTOR, NOON, file_change, file_observation, head_of, sidecar_observation

from s3_manifest.manifest.changes import decode_record, encode_record
from s3_manifest.manifest.encoding import decode_head, encode_head
from s3_manifest.manifest.model import UnreadableManifest, timestamp
from s3_manifest.manifest.runs import Run
from s3_manifest.reconcile.delta import change_record

HEAD_FIELDS = [
    "schema",
    "kind",
    "style_id",
    "style_title",
    "s3_bucket",
    "s3_prefix",
    "created_at",
    "last_synced",
    "last_verified_at",
    "complete",
    "revision",
    "commit",
    "last_change",
    "total_files",
    "total_size_bytes",
    "generations",
    "sidecars",
    "problems",
    "files",
    "captions",
    "hidden",
]
FILE_FIELDS = [
    "filename",
    "s3_key",
    "s3_url",
    "size_bytes",
    "md5_hash",
    "md5_source",
    "etag",
    "checksum",
    "content_type",
    "storage_class",
    "version_id",
    "uploaded_at",
    "last_modified",
    "local_path",
    "prompt",
    "generated_at",
    "generation_id",
    "generation_type",
    "source",
    "good",
    "labels",
    "metadata",
]
GENERATION_FIELDS = ["generation_id", "type", "generated_at", "image_count", "metadata"]

FULL = head_of(
    file_observation("plain.jpg"),
    file_observation(
        "deep/ü 🎨.png",
        "s3_scan",
        size=2**40,
        etag="0" * 32 + "-2",
        checksum={"crc64nvme": "x==", "type": "FULL_OBJECT"},
        version_id="v1",
        content_type=None,
        storage_class="GLACIER",
        metadata={
            "prompt": 'a "fox"\n\\ in snow',
            "generated-at": "2026-01-01",
            "generation-id": "run-1",
            "local-path": "/d/ü.png",
            "camera": "none",
            "md5": "f" * 32,
        },
    ),
    sidecar_observation("collection.json", title="Dynamic Simplicity"),
)
EMPTY = head_of().model_copy(update={"last_verified_at": NOON, "complete": False})
OF_ACTOR = EMPTY.model_copy(update={"kind": ACTOR.kind, "id": ACTOR.id, "s3_prefix": ACTOR.prefix})


@pytest.mark.parametrize("head", [FULL, EMPTY, OF_ACTOR], ids=["full", "empty", "actor"])
def test_a_head_is_the_same_after_it_was_written_and_read(head):
    assert decode_head(encode_head(head)) == head
    assert encode_head(decode_head(encode_head(head))) == encode_head(head)


def test_a_numeric_generation_id_stays_a_number_and_a_word_a_word():
    metadata = [{"generation-id": text} for text in ("7", "007")]
    head = decode_head(encode_head(head_of(*(file_observation(str(n), metadata=m) for n, m in enumerate(metadata)))))
    assert [entry.generation_id for entry in head.files] == [7, "007"]
    assert sorted(str(generation.generation_id) for generation in head.generations) == ["007", "7"]


def test_the_canonical_fields_have_their_names_and_their_order():
    written = json.loads(encode_head(FULL))
    assert list(written) == HEAD_FIELDS
    assert list(written["files"][0]) == FILE_FIELDS
    assert list(written["generations"][0]) == GENERATION_FIELDS
    assert list(written["sidecars"][0]) == ["s3_key", "etag"]
    assert (written["schema"], written["kind"]) == (1, "style")
    assert (written["style_id"], written["style_title"]) == ("16", "Dynamic Simplicity")


def test_the_id_and_the_title_are_named_after_the_kind():
    written = json.loads(encode_head(OF_ACTOR))
    assert list(written) == [name.replace("style", "actor") for name in HEAD_FIELDS]
    assert (written["actor_id"], written["actor_title"]) == ("7", None)


def test_an_unknown_value_is_null_and_never_omitted():
    written = json.loads(encode_head(head_of(file_observation("a.jpg", etag="0-2"))))
    assert written["last_verified_at"] is None
    assert [written["files"][0][name] for name in ("md5_hash", "md5_source", "prompt", "checksum")] == [None] * 4


def test_a_head_is_one_line_of_utf_8():
    assert b"\n" not in encode_head(FULL)
    assert "ü 🎨".encode() in encode_head(FULL)


PAGED = FULL.model_copy(
    update={"files": (), "pages": (Run(FULL.files).page_ref("_manifests/styles/16/pages/c-0.json"),)}
)
RECORD = change_record(
    FULL, None, [file_change(None, FULL.files[0]), file_change(*FULL.files), file_change(FULL.files[1], None)]
)


def test_a_head_with_pages_is_the_same_after_it_was_written_and_read_and_has_no_files():
    assert decode_head(encode_head(PAGED)) == PAGED
    written = json.loads(encode_head(PAGED))
    assert list(written) == [*HEAD_FIELDS[:-3], "pages"]
    assert list(written["pages"][0]) == ["key", "first", "last", "total_files", "total_size_bytes", "digest", "sha256"]


@pytest.mark.parametrize("pages", [[], None, [{}], [json.loads(encode_head(PAGED))["pages"][0] | {"more": 1}]])
def test_a_head_with_broken_pages_is_unreadable(pages):
    with pytest.raises(UnreadableManifest, match="pages"):
        decode_head(json.dumps(json.loads(encode_head(PAGED)) | {"pages": pages}).encode())


def test_a_change_record_is_the_same_after_it_was_written_and_read():
    assert decode_record(encode_record(RECORD)) == RECORD
    lists = [len(json.loads(encode_record(RECORD))[name]) for name in ("added", "modified", "removed")]
    assert lists == [1, 1, 1]


def earlier_format(record, *, is_sealed):
    """A change record with ``altered`` for ``modified``; the oldest have no SHA-256."""
    body = encode_record(record).replace(b'"modified":', b'"altered":')[: -len(b',"sha256":""}') - 64]
    return body + (b',"sha256":"%s"}' % sha256(body).hexdigest().encode() if is_sealed else b"}")


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_record_of_an_earlier_version_is_read_and_written_with_todays_names(is_sealed):
    body = earlier_format(RECORD, is_sealed=is_sealed)
    assert json.loads(body)["altered"]
    assert decode_record(body) == RECORD
    assert encode_record(decode_record(body)) == encode_record(RECORD)


@pytest.mark.parametrize("names", [(b'"modified":', b'"changed":'), (b'"added":[', b'"altered":[],"added":[')])
def test_a_record_without_modified_files_or_with_both_names_for_them_is_unreadable(names):
    body = encode_record(RECORD).replace(*names)[: -len(b',"sha256":""}') - 64] + b"}"
    with pytest.raises(UnreadableManifest):
        decode_record(body)


@pytest.mark.parametrize(
    "body", [b"", b"[]", encode_head(FULL), encode_record(RECORD).replace(b'"schema":1', b'"schema":2')]
)
def test_a_body_that_is_not_a_change_record_is_unreadable(body):
    with pytest.raises(UnreadableManifest):
        decode_record(body)


@pytest.mark.parametrize("body", [encode_record(RECORD), encode_head(PAGED).replace(b'"pages"', b'"files"')])
def test_a_body_similar_to_a_head_is_unreadable(body):
    with pytest.raises(UnreadableManifest):
        decode_head(body)


def changed(**fields):
    """The JSON of a head with these fields replaced, or removed by ``...``."""
    written = json.loads(encode_head(FULL)) | fields
    return json.dumps({name: value for name, value in written.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (encode_head(FULL)[:-1], "not JSON"),
        (encode_head(FULL) + b"x", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"{}", "schema is None"),
        (changed(schema=2), "schema is 2"),
        (changed(schema="1"), "schema is '1'"),
        (changed(schema=...), "schema is None"),
        (changed(schema=0), "schema is 0"),
        (changed(something_new=1), "something_new: Extra"),
        (changed(pages=[]), "files, captions and hidden"),
        (changed(pages=[], files=...), "files, captions and hidden"),
        (changed(files=...), "files, captions and hidden"),
        (changed(actor_id="16"), "actor_id: Extra"),
        (changed(kind="actor"), "id: "),
        (changed(kind=None), "kind: "),
        (changed(kind=...), "kind: "),
        (changed(style_id=...), "id: "),
        (changed(style_id=16), "id: "),
        (changed(revision=None), "revision: "),
        (changed(revision=1.5), "revision: "),
        (changed(complete=None), "complete: "),
        (changed(commit=...), "commit: "),
        (changed(created_at="2026-01-01"), "created_at: "),
        (changed(created_at="2026-01-01T00:00:00.000+00:00"), "created_at: "),
        (changed(last_synced=NOON + "\n"), "last_synced: "),
        (changed(files={}), "files: "),
        (changed(files=[{}]), r"files\.0\.filename: "),
        (changed(sidecars=[{"s3_key": "k", "etag": "e", "more": 1}]), r"sidecars\.0\.more: Extra"),
        (changed(generations=[1]), r"generations\.0: "),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else value,
)
def test_a_body_that_is_not_exactly_a_head_is_unreadable_with_the_reason(body, words):
    with pytest.raises(UnreadableManifest, match=words):
        decode_head(body)


@pytest.mark.parametrize("name", [name for name in HEAD_FIELDS if name not in ("last_verified_at", "style_title")])
def test_a_head_that_lacks_a_field_is_unreadable(name):
    with pytest.raises(UnreadableManifest):
        decode_head(changed(**{name: ...}))


def test_an_entry_with_an_unknown_proof_is_unreadable():
    files = json.loads(encode_head(FULL))["files"]
    with pytest.raises(UnreadableManifest, match=r"files\.0\.md5_source"):
        decode_head(changed(files=[files[0] | {"md5_source": "size"}]))


def test_values_are_immutable():
    with pytest.raises(ValidationError, match="frozen"):
        FULL.revision = 7


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678999, UTC), "2026-01-02T03:04:05.678Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00.000Z"),
        (datetime(900, 1, 1, tzinfo=UTC), "0900-01-01T00:00:00.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05.000Z"),  # noqa: DTZ001  # without a zone, on purpose
    ],
)
def test_a_time_is_utc_with_milliseconds(moment, text):
    assert timestamp(moment) == text
