"""Stored objects are read strictly: types as they are, numbers in range, and everything consistent."""

import json

import pytest
from unit.environments import Harness
from unit.sweeping import complete_harness
from unit.values import STYLE, entry, head_of

from s3_manifest.manifest.encoding import encode_head
from s3_manifest.manifest.jobs import MalformedJob, decode_job
from s3_manifest.manifest.model import NewerManifest, Summary, UnreadableManifest
from s3_manifest.query.catalog import Position
from s3_manifest.query.cursors import BadParameter, decode_cursor, encode_cursor
from s3_manifest.sidecars.applied import Observation
from s3_manifest.storage import heads
from s3_manifest.storage.store import Present

FIELDS = json.loads(encode_head(head_of(*(Observation(e.s3_key, e) for e in map(entry, ("a.jpg", "b.jpg"))))))


def changed(path, value):
    fields = json.loads(json.dumps(FIELDS))
    *steps, last = path.split(".")
    place = fields
    for step in steps:
        place = place[int(step)] if step.isdecimal() else place[step]
    place[last] = value(place[last]) if callable(value) else value
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", True),
        ("schema", 1.0),
        ("schema", "1"),
        ("schema", 0),
        ("schema", -1),
        ("schema", None),
        ("total_files", "2"),
        ("total_files", 2.0),
        ("total_files", 3),
        ("total_files", -2),
        ("total_size_bytes", 7),
        ("total_size_bytes", "6"),
        ("complete", 1),
        ("complete", "true"),
        ("revision", 0),
        ("revision", -1),
        ("revision", True),
        ("revision", 10**12),
        ("created_at", "2026-13-01T00:00:00.000Z"),
        ("created_at", "2026-01-01T24:00:00.000Z"),
        ("created_at", "٢٠٢٦-01-01T00:00:00.000Z"),
        ("files.0.size_bytes", -3),
        ("files.0.size_bytes", "3"),
        ("files.0.size_bytes", 3.0),
        ("files.0.size_bytes", True),
        ("files.0.good", 1),
        ("files.0.labels", "x"),
        ("files.0.filename", "c.jpg"),
        ("files.0.filename", "b.jpg"),
        ("files.0.s3_key", "styles/17/a.jpg"),
        ("files.0.s3_key", "a.jpg"),
        ("files.0.hidden", True),
        ("files.0.caption", "a fox"),
        ("files", lambda files: files[::-1]),
        ("files", lambda files: [files[0], *files]),
        ("files", lambda files: files[:1]),
        ("generations.0.image_count", -2),
        ("generations.0.image_count", 1),
        ("generations.0.image_count", "2"),
        ("generations", lambda groups: groups * 2),
        ("s3_prefix", "styles/17/"),
        ("style_id", "17"),
        ("first_revision", 2),
        ("sidecars", [{"s3_key": "elsewhere/x.json", "etag": "e"}]),
    ],
)
def test_an_inconsistent_head_is_unreadable_and_is_not_overwritten(path, value):
    body = changed(path, value) if path != "first_revision" else json.dumps(FIELDS | {path: value}).encode()
    with pytest.raises(UnreadableManifest, match="left untouched"):
        heads.decode(STYLE, body)
    harness = Harness()
    harness.store.upload(STYLE.head_key, body)
    with pytest.raises(UnreadableManifest):
        harness.commit(harness.upload("c.jpg"))
    assert harness.store.objects[STYLE.head_key][1] == body


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(
    "change",
    [
        lambda pages: pages[::-1],
        lambda pages: [pages[0], *pages],
        lambda pages: pages[1:],
        lambda pages: [pages[0] | {"last": "0009.jpg"}, *pages[1:]],
        lambda pages: [pages[0] | {"first": "0005.jpg", "last": "0000.jpg"}, *pages[1:]],
        lambda pages: [pages[0] | {"total_files": 7}, *pages[1:]],
        lambda pages: [pages[0] | {"total_files": -6}, *pages[1:]],
        lambda pages: [pages[0] | {"total_size_bytes": 1}, *pages[1:]],
        lambda pages: [pages[0] | {"digest": "x"}, *pages[1:]],
        lambda pages: [pages[0] | {"sha256": "A" * 64}, *pages[1:]],
        lambda pages: [pages[0] | {"key": "styles/16/0000.jpg"}, *pages[1:]],
    ],
)
def test_inconsistent_pages_are_unreadable(change):
    fields = json.loads(encode_head(complete_harness(36).head()))
    heads.decode(STYLE, json.dumps(fields).encode())
    with pytest.raises(UnreadableManifest):
        heads.decode(STYLE, json.dumps(fields | {"pages": change(fields["pages"])}).encode())


def test_the_error_for_a_newer_head_asks_for_an_upgrade():
    with pytest.raises(NewerManifest, match=r"written by a newer version.*upgrade") as error:
        heads.decode(STYLE, changed("schema", 2))
    assert "move it away" not in str(error.value)


@pytest.mark.parametrize(
    "change", [{"revision": "1"}, {"revision": 0}, {"total_files": -1}, {"total_size_bytes": 1.0}, {"complete": 1}]
)
def test_an_invalid_summary_is_ignored(change):
    whole = Summary.model_validate(
        {name: FIELDS[name] for name in Summary.model_fields if name in FIELDS} | {"title": None}
    )
    values = whole.model_dump() | change
    present = Present("k", 1, "e", FIELDS["created_at"], metadata={"s3-manifest": json.dumps(values)})
    assert heads.read_summary(present) is None


@pytest.mark.parametrize(
    "body",
    [
        '{"job":"sweep","kind":"style","id":"16","rebuild":"true"}',
        '{"job":"sweep","kind":"style","id":"16","rebuild":1}',
        '{"job":"sweep","kind":"style","id":16}',
        '{"job":"sweep","kind":"style","id":"16","broken":"abc"}',
    ],
)
def test_a_job_with_fields_of_other_types_is_malformed(body):
    with pytest.raises(MalformedJob):
        decode_job(body)


def test_a_cursor_with_foreign_characters_is_rejected():
    cursor = encode_cursor(Position(kind="style", id="16"))
    assert decode_cursor(cursor, Position) == Position(kind="style", id="16")
    for wrong in (cursor[:4] + "!" + cursor[4:], cursor + "\n", cursor.replace("e", "é", 1), " " + cursor):
        with pytest.raises(BadParameter):
            decode_cursor(wrong, Position)
