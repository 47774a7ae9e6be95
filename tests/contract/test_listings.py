from urllib.parse import parse_qs

import pytest
from contract.answers import Answer

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Folders, Listing

# In the order of UTF-8 bytes; in UTF-16 the last two are in the opposite order.
ORDERED = ["A", "B/x", "a", "a b", "a!", "a+", "a-b", "a/", "a/b", "a/c", "a0", "b", "é", "\ufffd", "🎨"]


@pytest.fixture
def filled(bucket):
    for key in reversed(ORDERED):
        bucket.upload(key, b"")
    return bucket.store


def test_an_empty_bucket_lists_nothing(bucket):
    assert bucket.store.list("") == Listing((), truncated=False)
    assert bucket.store.folders("") == Folders((), truncated=False)


def test_keys_are_listed_in_the_order_of_their_utf_8_bytes(filled):
    assert filled.list("").keys == tuple(ORDERED)
    assert not filled.list("").truncated
    assert sorted(ORDERED, key=str.encode) == ORDERED


@pytest.mark.parametrize("prefix", ["a", "a/", "B/", "é", "none", "a/b", "a/b/"])
def test_only_keys_that_begin_with_the_prefix_are_listed(filled, prefix):
    assert list(filled.list(prefix).keys) == [key for key in ORDERED if key.startswith(prefix)]


@pytest.mark.parametrize("after", [*ORDERED, "0", "a/bb", "a.", "zz", "\U0010ffff"], ids=ascii)
def test_a_listing_continues_after_a_key_even_if_the_key_does_not_exist(filled, after):
    assert list(filled.list("", after=after).keys) == [key for key in ORDERED if key.encode() > after.encode()]


def test_a_listing_below_a_prefix_continues_after_a_key(filled):
    assert filled.list("a/", after="a/b").keys == ("a/c",)
    assert filled.list("a/", after="A").keys == ("a/", "a/b", "a/c")
    assert filled.list("a/", after="b").keys == ()


def test_a_listing_and_a_head_describe_an_object_alike(bucket):
    for key, body, storage_class in (("a", b"xyz", "STANDARD"), ("b ü%", b"", "STANDARD_IA")):
        bucket.upload(key, body, storage_class=storage_class)
    for listed in bucket.store.list("").objects:
        present = bucket.store.head(listed.key)
        assert (listed.size, listed.etag, listed.storage_class) == (
            present.size,
            present.etag,
            present.storage_class,
        )
        # A HEAD returns whole seconds; some servers list milliseconds.
        assert listed.last_modified[:19] == present.last_modified[:19]


@pytest.mark.parametrize("limit", [1, 2, 7, 14, 15, 16])
def test_listings_of_any_size_name_every_key_once(filled, limit):
    found, after, truncated = [], "", True
    while truncated:
        keys, truncated = (listing := filled.list("", after=after, limit=limit)).keys, listing.truncated
        assert len(keys) == limit or not truncated
        assert not set(keys) & set(found)
        found += keys
        after = keys[-1]
    assert found == ORDERED


@pytest.mark.parametrize(("limit", "truncated"), [(14, True), (15, False), (16, False)])
def test_a_listing_is_truncated_only_if_more_keys_follow(filled, limit, truncated):
    assert filled.list("", limit=limit).truncated is truncated


FOLDERS = ["r/a b/", "r/a!/", "r/a-1/", "r/a/", "r/a0/", "r/a~/", "r/b/", "r/é/", "r/🎨/"]


def with_folders(bucket, *more):
    for folder in FOLDERS:
        for name in ("manifest.json", "deep/x", "pages/1"):
            bucket.upload(folder + name, b"")
    for key in more:
        bucket.upload(key, b"")
    return bucket.store


def all_folders(store, prefix, limit):
    """Lists every folder as the catalog does, in a bounded number of steps."""
    found, after = [], ""
    for _ in range(100):
        folders, truncated = store.folders(prefix, after=after, limit=limit)
        found += folders
        after = folders[-1] if folders else after
        if not truncated:
            return found
    pytest.fail(f"there is no end to the folders after {after!r}")


def test_folders_are_the_next_path_segments_below_a_prefix(bucket):
    store = with_folders(bucket, "other/a/x", "r/file", "rest/x")
    assert store.folders("r/") == Folders(tuple(FOLDERS), truncated=False)
    assert store.folders("r/a/") == Folders(("r/a/deep/", "r/a/pages/"), truncated=False)
    assert store.folders("") == Folders(("other/", "r/", "rest/"), truncated=False)
    assert store.folders("none/") == Folders((), truncated=False)


@pytest.mark.parametrize(
    ("prefix", "folders"),
    [
        ("r/a", [folder for folder in FOLDERS if folder.startswith("r/a")]),
        ("r/a-", ["r/a-1/"]),
        ("r/a ", ["r/a b/"]),
        ("r/é", ["r/é/"]),
        ("r/a/d", ["r/a/deep/"]),
        ("r", ["r/"]),
        ("r/c", []),
    ],
)
def test_folders_are_listed_by_a_prefix_of_their_names(bucket, prefix, folders):
    store = with_folders(bucket, "r/a-file", "r/a", "other/a/x")
    assert list(store.folders(prefix).prefixes) == folders
    assert all_folders(store, prefix, 1) == folders


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 10])
def test_folders_in_pages_of_any_size_are_each_named_once(bucket, limit):
    assert all_folders(with_folders(bucket), "r/", limit) == FOLDERS


@pytest.mark.parametrize("after", [*FOLDERS, "r/a.x/", "r/0/", "r/zz/"], ids=ascii)
def test_folders_continue_after_a_folder_even_if_it_does_not_exist(bucket, after):
    assert list(with_folders(bucket).folders("r/", after=after).prefixes) == [
        folder for folder in FOLDERS if folder > after
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_objects_beside_the_folders_hide_no_folder(bucket, limit):
    beside = [f"r/{name}{n}" for name in ("", "a", "a-", "z", "\U0010ffff") for n in range(3)]
    assert all_folders(with_folders(bucket, *beside), "r/", limit) == FOLDERS


def test_a_folder_with_an_empty_name_is_listed(bucket):
    assert with_folders(bucket, "r//x").folders("r/").prefixes == ("r//", *FOLDERS)


def test_the_keys_below_the_last_folder_are_skipped(server):
    # The emulators omit a folder whose name equals start-after; S3 does not document that.
    server.answers = [Answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")]
    client = s3_client(server.endpoint)
    S3Store("bucket", client, client).folders("r/", after="r/a/")
    (start,) = parse_qs(server.requests[0])["start-after"]
    assert "r/a/\U0010ffff" < start < "r/a0/"
