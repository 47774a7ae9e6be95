import json

import pytest
from unit.values import ACTOR, NOON, STYLE, file_seen, head_of, sidecar_seen

from s3_manifest import heads
from s3_manifest.encoding import encode_head
from s3_manifest.memory import MemoryStore
from s3_manifest.model import UnreadableManifest
from s3_manifest.store import Conflict, Present

HEAD = head_of(file_seen("a.jpg"), sidecar_seen("collection.json", title="Snow"))


def stored(head):
    store = MemoryStore()
    heads.save(store, STYLE, head, None)
    return store


def test_where_no_head_was_written_none_is_loaded():
    assert heads.load(MemoryStore(), STYLE) == (None, None)


def test_what_was_saved_is_loaded_with_the_etag_it_has():
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
def test_an_unreadable_head_is_named_with_what_to_do_about_it(body):
    with pytest.raises(UnreadableManifest, match=r"_manifests/styles/16/manifest\.json: .* left untouched"):
        heads.decode(STYLE, body)


def test_the_manifest_of_another_collection_is_unreadable():
    with pytest.raises(UnreadableManifest, match="manifest of style 16"):
        heads.decode(ACTOR, encode_head(HEAD))


def test_the_summary_that_travels_with_a_head_says_what_the_head_says():
    summary = heads.summary_of(stored(HEAD).head(STYLE.head_key))
    assert summary.model_dump() == {
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
def test_an_object_that_others_wrote_has_no_summary(metadata):
    assert heads.summary_of(Present("k", 1, "e", NOON, metadata=metadata)) is None
