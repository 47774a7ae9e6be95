import base64
import hashlib
import json
import zlib

import pytest
from unit.values import ACTOR, NOON, STYLE, file_observation, head_of, sidecar_observation

from s3_manifest.manifest.encoding import encode_head
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.storage import heads
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Conflict, Present

HEAD = head_of(file_observation("a.jpg"), sidecar_observation("collection.json", title="Snow"))


def stored(head):
    store = MemoryStore()
    heads.save(store, STYLE, head, None)
    return store


def test_no_head_is_loaded_before_the_first_is_written():
    assert heads.load(MemoryStore(), STYLE) == (None, None)


def test_a_saved_head_is_loaded_with_its_etag():
    store = stored(HEAD)
    assert heads.load(store, STYLE) == (HEAD, store.objects[STYLE.head_key][0].etag)


def test_a_head_is_saved_only_in_place_of_the_one_that_was_loaded():
    store = stored(HEAD)
    etag = heads.load(store, STYLE).etag
    second = HEAD.model_copy(update={"commit": "c2"})
    heads.save(store, STYLE, second, etag)
    for stale in (etag, None):
        with pytest.raises(Conflict):
            heads.save(store, STYLE, HEAD.model_copy(update={"commit": "c3"}), stale)
    assert heads.load(store, STYLE).head == second


@pytest.mark.parametrize("body", [b"", b'{"schema":2}', encode_head(HEAD).replace(b"styles/16/", b"styles/61/")])
def test_the_error_names_an_unreadable_head_and_the_remedy(body):
    with pytest.raises(UnreadableManifest, match=r"_manifests/styles/16/manifest\.json: .* left untouched"):
        heads.decode(STYLE, body)


def test_the_manifest_of_another_collection_is_unreadable():
    with pytest.raises(UnreadableManifest, match="manifest of style 16"):
        heads.decode(ACTOR, encode_head(HEAD))


def test_the_summary_in_a_heads_metadata_matches_the_head():
    summary = heads.read_summary(stored(HEAD).head(STYLE.head_key))
    assert summary.model_dump(exclude={"body"}) == {
        "revision": 1,
        "complete": True,
        "total_files": 1,
        "total_size_bytes": 3,
        "created_at": NOON,
        "last_synced": NOON,
        "title": "Snow",
    }


@pytest.mark.parametrize("title", ["é" * 3000, "🎨" * 3000, "a" * 3000, '"\\\n' * 900, "x" * 60, ""])
def test_a_summary_of_any_title_is_ascii_that_fits_into_metadata(title):
    store = stored(HEAD.model_copy(update={"title": title, "total_size_bytes": 10**18}))
    (name, value), *others = store.head(STYLE.head_key).metadata.items()
    assert not others
    assert value.isascii()
    assert value.isprintable()
    assert len(name + value) < 2048
    assert title.startswith(json.loads(value)["title"])
    assert json.loads(value)["title"] == title or len(title) > 100


@pytest.mark.parametrize("metadata", [{}, {"s3-manifest": ""}, {"s3-manifest": "{}"}, {"s3-manifest": "x"}])
def test_a_foreign_object_has_no_summary(metadata):
    assert heads.read_summary(Present("k", 1, "e", NOON, metadata=metadata)) is None


@pytest.mark.parametrize(
    ("facts", "is_known"),
    [
        ({}, True),
        ({"encryption": "AES256"}, True),
        ({"encryption": "aws:kms"}, False),
        ({"encryption": "aws:kms", "etag": "f" * 32}, False),
        ({"encryption": "aws:kms", "checksum": "its own"}, True),
        ({"encryption": "aws:kms", "checksum": {"crc32": "AAAAAA==", "type": "FULL_OBJECT"}}, False),
        ({"etag": "f" * 32}, False),
        ({"size": 7}, False),
    ],
)
def test_a_summary_counts_only_if_it_provably_belongs_to_the_bytes(facts, is_known):
    present = stored(HEAD).head(STYLE.head_key)
    summary = heads.read_summary(present)
    if facts.get("checksum") == "its own":
        facts = facts | {"checksum": {"crc32": summary.body.crc32, "type": "FULL_OBJECT"}}
    assert heads.summary_matches(summary, present._replace(**facts)) is is_known


def test_a_summary_of_an_older_version_proves_nothing():
    present = stored(HEAD).head(STYLE.head_key)
    assert not heads.summary_matches(heads.read_summary(present).model_copy(update={"body": None}), present)


def test_the_crc_of_a_head_is_in_s3s_format():
    body = encode_head(HEAD)
    summary = heads.read_summary(stored(HEAD).head(STYLE.head_key))
    assert summary.body.crc32 == base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert (summary.body.size, summary.body.md5) == (len(body), hashlib.md5(body).hexdigest())
