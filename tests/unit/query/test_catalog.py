import pytest
from unit.environments import DeniedStore, serial_map
from unit.values import BUCKET, COLLECTIONS, NOON, file_observation, head_of, sidecar_observation

from s3_manifest.manifest.collections import parse_collections
from s3_manifest.manifest.encoding import encode_head
from s3_manifest.query.catalog import Position, read_catalog
from s3_manifest.query.cursors import encode_cursor
from s3_manifest.storage import heads
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import ReadFailed

NESTED = parse_collections(
    "style=styles/{style_id}/, variant=styles/{variant_id}/variants/, draft=styles/16/{draft_id}/",
    "_manifests/",
    BUCKET,
)


def with_manifests(collections, *names):
    store = MemoryStore()
    for kind, collection_id in names:
        collection = collections.lookup(kind, collection_id)
        heads.save(store, collection, head_of(collection=collection), None)
    return store


def in_each_bucket(store, collections):
    return dict.fromkeys(collections.buckets, store)


def read(store, collections=COLLECTIONS, limit=1000):
    """The names on each page, to the last one."""
    after, pages = None, []
    while after or not pages:
        rows, _, after = read_catalog(in_each_bucket(store, collections), collections, serial_map, limit, after)
        pages.append([(row["kind"], row[f"{row['kind']}_id"]) for row in rows])
        assert len(pages) <= 1000, "the pages have no end"
    return pages


def test_a_row_has_the_totals_of_its_manifest():
    store = MemoryStore()
    collection = COLLECTIONS.lookup("style", "16")
    observations = [
        file_observation("a.jpg", size=10),
        file_observation("b.jpg"),
        sidecar_observation("collection.json", title="Snow"),
    ]
    heads.save(store, collection, head_of(*observations, complete=False), None)
    (row,), _, following = read_catalog(in_each_bucket(store, COLLECTIONS), COLLECTIONS, serial_map, 10, None)
    assert following is None
    assert row == {
        "kind": "style",
        "style_id": "16",
        "style_title": "Snow",
        "s3_bucket": BUCKET,
        "s3_prefix": "styles/16/",
        "revision": 1,
        "complete": False,
        "total_files": 2,
        "total_size_bytes": 13,
        "created_at": NOON,
        "last_synced": NOON,
    }


def test_without_a_manifest_the_catalog_is_empty():
    assert read(MemoryStore()) == [[]]


def test_collections_are_ordered_by_kind_and_by_the_folder_of_their_id():
    # A folder's name ends in its slash, so what sorts before "/" puts the longer id first.
    ids = ("16", "9", "a", "a!", "a-1", "a1", "B", "é", "🎨", "\ufffd", "a b")
    store = with_manifests(COLLECTIONS, ("style", "1"), *(("actor", id_) for id_ in ids), ("style", "0"))
    in_order = sorted(ids, key=lambda id_: f"{id_}/".encode())
    assert read(store) == [[*(("actor", id_) for id_ in in_order), ("style", "0"), ("style", "1")]]


MANY = [*(("actor", f"{n:03}") for n in range(5)), *(("style", id_) for id_ in ("a", "a b", "a-1", "a.b", "b", "é"))]


@pytest.mark.parametrize("limit", range(1, 13))
def test_pages_of_any_size_list_each_collection_exactly_once(limit):
    pages = read(with_manifests(COLLECTIONS, *MANY), limit=limit)
    assert sorted(name for page in pages for name in page) == sorted(MANY)
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert len(pages) == -(-len(MANY) // limit)


@pytest.mark.parametrize("limit", [1, 99, 100, 101, 249, 250])
def test_more_collections_than_one_listing_returns_are_all_listed(limit):
    names = [("style", f"{n:04}") for n in range(250)]
    pages = read(with_manifests(COLLECTIONS, *names), limit=limit)
    assert [name for page in pages for name in page] == names


def test_continuing_after_a_deleted_collection_misses_no_other():
    store = with_manifests(COLLECTIONS, ("style", "a"), ("style", "c"))
    rows, _, _ = read_catalog(
        in_each_bucket(store, COLLECTIONS), COLLECTIONS, serial_map, 10, encode_cursor(Position(kind="style", id="b"))
    )
    assert [row["style_id"] for row in rows] == ["c"]


def test_continuing_after_a_kind_that_is_no_longer_configured_misses_no_other():
    store = with_manifests(COLLECTIONS, ("actor", "1"), ("style", "1"))
    rows, _, _ = read_catalog(
        in_each_bucket(store, COLLECTIONS), COLLECTIONS, serial_map, 10, encode_cursor(Position(kind="brush", id="1"))
    )
    assert [row["kind"] for row in rows] == ["style"]


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_a_nested_collection_is_listed_beside_the_outer_one(limit):
    names = [("draft", "x"), ("style", "16"), ("style", "9"), ("variant", "9")]
    pages = read(with_manifests(NESTED, *names), NESTED, limit)
    assert [name for page in pages for name in page] == names


TWO = parse_collections("style=styles/{style_id}/, actor=s3://other/actors/{actor_id}/", "_manifests/", BUCKET)


def test_the_collections_of_all_buckets_are_listed():
    buckets = {BUCKET: with_manifests(TWO, ("style", "16")), "other": with_manifests(TWO, ("actor", "7"))}
    rows, problems, _ = read_catalog(buckets, TWO, serial_map, 10, None)
    assert [(row["kind"], row["s3_bucket"]) for row in rows] == [("actor", "other"), ("style", BUCKET)]
    assert problems == []


def test_a_bucket_that_cannot_be_read_does_not_hold_up_the_others():
    buckets = {BUCKET: with_manifests(TWO, ("style", "16")), "other": DeniedStore()}
    rows, problems, following = read_catalog(buckets, TWO, serial_map, 10, None)
    assert ([row["kind"] for row in rows], following) == (["style"], None)
    assert [(problem.kind, problem.s3_bucket) for problem in problems] == [("actor", "other")]
    assert "403" in problems[0].problem


def test_if_no_bucket_can_be_read_the_catalog_fails():
    with pytest.raises(ReadFailed):
        read_catalog({BUCKET: DeniedStore(), "other": DeniedStore()}, TWO, serial_map, 10, None)


def test_a_nested_collection_without_an_outer_one_is_listed():
    assert read(with_manifests(NESTED, ("variant", "9")), NESTED) == [[("variant", "9")]]


def test_foreign_objects_below_the_root_are_skipped():
    store = with_manifests(COLLECTIONS, ("style", "16"))
    for key in (
        "_manifests/readme.txt",
        "_manifests/styles/readme.txt",
        "_manifests/styles//manifest.json",
        "_manifests/styles/18/manifest.json.bak",
        "_manifests/styles/18/pages/c-1.json",
        "_manifests/styles/19/deep/manifest.json",
        "_manifests/others/1/manifest.json",
    ):
        store.upload(key, b"{}")
    assert read(store) == [[("style", "16")]]


HEAD_KEY = "_manifests/styles/16/manifest.json"


class Counting(MemoryStore):
    """Counts the bodies that are read."""

    def get(self, key):
        self.gets = [*getattr(self, "gets", ()), key]
        return super().get(key)


def row_of(store):
    ((row, *others), _, following) = read_catalog(in_each_bucket(store, COLLECTIONS), COLLECTIONS, serial_map, 10, None)
    assert (others, following) == ([], None)
    return row


def stored_as(body, metadata=None, **facts):
    """A bucket whose head another program has overwritten."""
    store = Counting()
    collection = COLLECTIONS.lookup("style", "16")
    heads.save(store, collection, head_of(file_observation("a.jpg"), collection=collection), None)
    present = store.head(HEAD_KEY)
    saved_metadata = present.metadata if metadata is None else metadata
    store.upload(HEAD_KEY, store.objects[HEAD_KEY][1] if body is None else body, metadata=saved_metadata, **facts)
    return store


@pytest.mark.parametrize("metadata", [None, {}, {"s3-manifest": "x"}])
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "manifest.json: "),
        (b"{", "manifest.json: "),
        (b"<html>", "manifest.json: "),
        (b'{"schema": 2}', "schema"),
        (encode_head(head_of(collection=COLLECTIONS.lookup("style", "17"))), "it is the manifest of style 17"),
    ],
)
def test_an_unreadable_manifest_is_listed_with_its_problem_whatever_its_metadata(body, problem, metadata):
    row = row_of(stored_as(body, metadata))
    assert row.keys() == {"kind", "style_id", "s3_bucket", "s3_prefix", "problem"}
    assert (row["kind"], row["style_id"], row["s3_prefix"]) == ("style", "16", "styles/16/")
    assert problem in row["problem"]


@pytest.mark.parametrize("metadata", [{}, {"s3-manifest": "x"}, {"other": "1"}])
def test_a_manifest_without_summary_metadata_is_listed_from_its_content(metadata):
    row = row_of(stored_as(None, metadata))
    assert row == row_of(stored_as(None))
    assert row["total_files"] == 1


def test_metadata_of_other_bytes_are_ignored():
    newer = encode_head(
        head_of(file_observation("a.jpg"), file_observation("b.jpg"), collection=COLLECTIONS.lookup("style", "16"))
    )
    assert row_of(stored_as(newer))["total_files"] == 2


def test_an_archived_manifest_is_listed_with_its_problem():
    assert "archive" in row_of(stored_as(None, archived=True))["problem"]


def test_a_manifest_with_valid_summary_metadata_is_not_read():
    store = stored_as(None)
    row_of(store)
    assert not hasattr(store, "gets")


def test_pages_continue_after_unreadable_manifests():
    names = [("style", f"{number}") for number in range(6)]
    store = with_manifests(COLLECTIONS, *names)
    for number in (0, 3, 5):
        store.upload(f"_manifests/styles/{number}/manifest.json", b"{")
    for limit in range(1, 8):
        pages = read(store, limit=limit)
        assert [name for page in pages for name in page] == names


def test_a_kind_that_is_not_configured_is_not_listed():
    everything = with_manifests(NESTED, ("style", "1"), ("variant", "1"))
    assert read(everything, parse_collections("style=styles/{style_id}/", "_manifests/", BUCKET)) == [[("style", "1")]]


def test_a_collection_without_a_manifest_is_not_listed():
    store = with_manifests(COLLECTIONS, ("style", "16"))
    store.upload("styles/17/a.jpg", b"x")
    store.upload("styles/16/a.jpg", b"x")
    assert read(store) == [[("style", "16")]]
