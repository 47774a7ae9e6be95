import uuid

import pytest

from s3_manifest.manifest.collections import (
    DEFAULT_COLLECTIONS,
    DEFAULT_ROOT,
    MAX_BELOW_FOLDER_BYTES,
    Collection,
    Collections,
    IdTooLong,
    InvalidCollections,
    Pattern,
    parse_collections,
)
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.storage import change_log, heads
from s3_manifest_cli.local_stack import stack

ROOT = "_manifests/"
BUCKET, OTHER = "storyboard-user-files", "story-boards-assets"
STYLES = "style=styles/{style_id}/"
NESTED = f"{STYLES}, variant=styles/{{variant_id}}/variants/, draft=styles/16/{{draft_id}}/"


def collection_of(key, text=STYLES):
    return parse_collections(text, ROOT, BUCKET).collection_of(BUCKET, key)


def test_the_defaults_equal_those_of_the_template():
    parameters = stack.template()["Parameters"]
    assert [parameters[name]["Default"] for name in ("Collections", "ManifestRoot")] == [
        DEFAULT_COLLECTIONS,
        DEFAULT_ROOT,
    ]


def test_a_key_belongs_to_the_collection_whose_prefix_it_is_below():
    assert collection_of("styles/16/a.jpg") == Collection("style", "16", "styles/16/", ROOT, BUCKET)


@pytest.mark.parametrize(
    ("key", "kind", "collection_id", "filename"),
    [
        ("styles/9/a.jpg", "style", "9", "a.jpg"),
        ("styles/9/variants/a.jpg", "variant", "9", "a.jpg"),
        ("styles/16/variants/a.jpg", "draft", "variants", "a.jpg"),
        ("styles/16/x/a.jpg", "draft", "x", "a.jpg"),
        ("styles/16/a.jpg", "style", "16", "a.jpg"),
        ("styles/9/variantsx/a.jpg", "style", "9", "variantsx/a.jpg"),
    ],
)
def test_a_key_belongs_to_the_deepest_collection_that_contains_it(key, kind, collection_id, filename):
    collection = collection_of(key, NESTED)
    assert (collection.kind, collection.id, collection.filename(key)) == (kind, collection_id, filename)


@pytest.mark.parametrize(
    ("key", "collection_id", "filename"),
    [
        ("styles/16//a.jpg", "16", "/a.jpg"),
        ("styles/16/deep/er/a.jpg", "16", "deep/er/a.jpg"),
        ("styles/16/folder/", "16", "folder/"),
        ("styles/ü +%/a.jpg", "ü +%", "a.jpg"),
        ("styles/../a.jpg", "..", "a.jpg"),
    ],
)
def test_everything_below_the_prefix_is_the_filename(key, collection_id, filename):
    collection = collection_of(key)
    assert (collection.id, collection.filename(key)) == (collection_id, filename)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "styles",
        "styles/",
        "styles/a.jpg",
        "styles/16",
        "styles/16/",
        "styles//a.jpg",
        "Styles/16/a.jpg",
        "/styles/16/a.jpg",
        "other/16/a.jpg",
        "_manifests/styles/16/manifest.json",
        "_manifests/a/b.jpg",
    ],
)
def test_a_key_outside_of_all_collections_belongs_to_none(key):
    assert collection_of(key) is None


TWO = f"{STYLES}, actor=s3://{OTHER}/styles/{{actor_id}}/, draft=s3://{OTHER}/styles/16/{{draft_id}}/"


@pytest.mark.parametrize(
    ("bucket", "key", "kind"),
    [
        (BUCKET, "styles/16/a.jpg", "style"),
        (BUCKET, "styles/16/x/a.jpg", "style"),
        (OTHER, "styles/16/a.jpg", "actor"),
        (OTHER, "styles/16/x/a.jpg", "draft"),
    ],
)
def test_a_pattern_may_name_the_bucket_of_its_collections(bucket, key, kind):
    collection = parse_collections(TWO, ROOT, BUCKET).collection_of(bucket, key)
    assert (collection.kind, collection.bucket) == (kind, bucket)


def test_a_key_of_another_bucket_belongs_to_no_collection():
    assert parse_collections(TWO, ROOT, BUCKET).collection_of("third", "styles/16/a.jpg") is None


def test_collections_nest_only_in_their_own_bucket():
    collections = parse_collections(TWO, ROOT, BUCKET)
    assert not collections.is_nested(collections.lookup("style", "16"))
    assert collections.is_nested(collections.lookup("actor", "16"))


def test_a_deployment_has_the_buckets_of_its_collections():
    collections = parse_collections(TWO, ROOT, BUCKET)
    assert collections.buckets == sorted([BUCKET, OTHER])
    assert [collections.notification_prefixes(bucket) for bucket in (BUCKET, OTHER, "third")] == [
        ["styles/"],
        ["styles/"],
        [],
    ]
    assert parse_collections(f"actor=s3://{OTHER}/actors/{{actor_id}}/", ROOT, BUCKET).buckets == [OTHER]


def test_keys_below_the_root_belong_to_no_collection():
    everything = Collections([Pattern("any", "", "/", BUCKET)], ROOT)
    assert everything.collection_of(BUCKET, "x/a.jpg").id == "x"
    assert everything.collection_of(BUCKET, "_manifests/styles/16/manifest.json") is None


def test_the_manifests_key_is_the_root_and_the_prefix_of_its_collection():
    assert collection_of("styles/16/a.jpg").head_key == "_manifests/styles/16/manifest.json"


def test_looking_up_a_collection_by_id_and_by_key_gives_the_same_result():
    collections = parse_collections(NESTED, ROOT, BUCKET)
    for key in ("styles/9/a", "styles/9/variants/a", "styles/16/x/a"):
        of_key = collections.collection_of(BUCKET, key)
        assert collections.lookup(of_key.kind, of_key.id) == of_key


@pytest.mark.parametrize(("kind", "collection_id"), [("actor", "1"), ("style", ""), ("style", "1/2"), ("", "1")])
def test_an_impossible_id_has_no_collection(kind, collection_id):
    assert parse_collections(STYLES, ROOT, BUCKET).lookup(kind, collection_id) is None


def test_an_id_too_long_for_the_keys_of_its_manifest_has_no_collection():
    collections = parse_collections(STYLES, ROOT, BUCKET)
    longest = "é" * 457
    link = change_log.RecordName(10**12 - 1, uuid.uuid4().hex, uuid.uuid4().hex)
    assert len(change_log.record_key(collections.lookup("style", longest), link).encode()) == 1024
    assert collections.collection_of(BUCKET, f"styles/{longest}/a.jpg").id == longest
    collections.check_id("style", longest)
    for too_long in (longest + "x", "x" * 915, "x" * 992, "x" * 5000):
        assert collections.lookup("style", too_long) is None
        assert collections.collection_of(BUCKET, f"styles/{too_long}/a.jpg") is None
        with pytest.raises(IdTooLong, match="the limit is 914"):
            collections.check_id("style", too_long)
        with pytest.raises(IdTooLong):
            collections.check_key(BUCKET, f"styles/{too_long}/a.jpg")


def test_no_key_of_a_manifest_exceeds_the_documented_maximum():
    collection, commit = parse_collections(STYLES, ROOT, BUCKET).lookup("style", "1"), uuid.uuid4().hex
    keys = [
        collection.head_key,
        change_log.record_key(collection, change_log.RecordName(10**12 - 1, commit, commit)),
        change_log.record_key(collection, change_log.RecordName(1, commit, change_log.REPAIRED)),
        heads.checkpoint_key(collection, 10**12 - 1, commit),
        f"{collection.folder}pages/{commit}-99999.json",
        *(f"{collection.folder}sidecars/{commit}-{name}" for name in SIDECARS),
        f"{collection.folder}releases/{'r' * 64}.json",
        f"{collection.folder}set-aside/{commit}-10000.json",
        f"{collection.folder}turn.json",
    ]
    assert max(len(key.encode()) for key in keys) == len(collection.folder) + MAX_BELOW_FOLDER_BYTES


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [
        (STYLES, ["styles/"]),
        (f"{STYLES},actor=actors/{{actor_id}}/", ["actors/", "styles/"]),
        (NESTED, ["styles/"]),
        ("one=a/b/{one_id}/,two=a/bc/{two_id}/", ["a/b/", "a/bc/"]),
    ],
    ids=["one", "two", "nested", "alike"],
)
def test_subscribed_prefixes_do_not_overlap(text, prefixes):
    assert parse_collections(text, ROOT, BUCKET).notification_prefixes(BUCKET) == prefixes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one"),
        (" , ", "at least one"),
        ("styles/{style_id}/", "write 'kind="),
        ("Style=styles/{Style_id}/", "lower-case"),
        ("style=styles/", "must contain {style_id} exactly once"),
        ("style=styles/{actor_id}/", "must contain {style_id} exactly once"),
        ("style=a/{style_id}/{style_id}/", "once"),
        ("style=a/{x}/{style_id}/", "must contain {style_id} exactly once"),
        ("style={style_id}/", "below a fixed prefix"),
        ("style=/styles/{style_id}/", "below a fixed prefix"),
        ("style=styles/x{style_id}/", "whole path segment"),
        ("style=styles/{style_id}", "whole path segment"),
        ("style=styles/{style_id}/x", "must end with '/'"),
        ("style=_manifests/{style_id}/", "overlap"),
        ("style=_manifests/deep/{style_id}/", "overlap"),
        ("style=s3://Styles/styles/{style_id}/", "'Styles' is not the name of a bucket"),
        ("style=s3:///styles/{style_id}/", "'' is not the name of a bucket"),
        ("style=s3://styles", "must contain {style_id} exactly once"),
        (f"style=s3://{OTHER}/{{style_id}}/", "below a fixed prefix"),
        (f"style=s3://{OTHER}/_manifests/{{style_id}}/", "overlap"),
        (f"{STYLES},style=s3://{OTHER}/styles/{{style_id}}/", "two collections are named 'style'"),
        (f"{STYLES},actor=s3://{BUCKET}/styles/{{actor_id}}/", "the same prefix"),
        (f"{STYLES},style=other/{{style_id}}/", "two collections are named 'style'"),
        (f"{STYLES},actor=styles/{{actor_id}}/", "the same prefix"),
    ],
)
def test_an_invalid_setting_is_an_error_that_explains_the_correct_form(text, words):
    with pytest.raises(InvalidCollections, match=words):
        parse_collections(text, ROOT, BUCKET)


@pytest.mark.parametrize("root", ["", "/", "manifests", "/manifests/"])
def test_a_root_that_is_not_a_prefix_is_an_error(root):
    with pytest.raises(InvalidCollections, match="manifest root"):
        parse_collections(STYLES, root, BUCKET)


def test_a_root_above_the_collections_is_an_error():
    with pytest.raises(InvalidCollections, match="overlap"):
        parse_collections("style=data/styles/{style_id}/", "data/", BUCKET)


def test_a_root_inside_a_prefix_of_the_collections_is_an_error():
    with pytest.raises(InvalidCollections, match="overlap"):
        parse_collections(STYLES, "styles/_manifests/", BUCKET)
