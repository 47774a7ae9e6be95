"""Cached indexes of manifests: a broken one is ignored, and each belongs to one collection of one deployment."""

import json

import pytest

from s3_manifest_cli.client.manifests import cache


def read(deployment, collection, folder, name):
    """The current index, cached in a folder for a deployment of that name."""
    return deployment._replace(cache=folder, name=name).current_index(collection)


@pytest.fixture
def cached(through_s3, add, style, tmp_path):
    """A cache folder, the file with the cached index, and the index."""
    add({"styles/16/a.png": b"a", "styles/16/b.txt": b"words"}, ChecksumAlgorithm="CRC32")
    folder = tmp_path / "kept"
    index = read(through_s3, style, folder, "here")
    (file,) = folder.iterdir()
    return folder, file, index


def test_a_cached_index_equals_the_one_that_was_read(through_s3, style, cached, account):
    folder, _, index = cached
    account.requests.clear()
    assert read(through_s3, style, folder, "here") == index
    assert [file.filename for file in index.files()] == ["a.png", "b.txt"]
    assert len(account.requests) == 1
    # The response was 304 Not Modified: nothing is written.
    assert len(list(folder.iterdir())) == 1


def test_a_changed_manifest_is_read_again_and_cached(through_s3, style, cached, add):
    folder, _, index = cached
    add({"styles/16/c.png": b"c"})
    second = read(through_s3, style, folder, "here")
    assert second.facts.revision == index.facts.revision + 1
    assert cache.load(next(folder.iterdir())) == second


BROKEN = (
    b"",
    b"\x00\xff",
    b"[]",
    b"{}",
    b"null",
    b'{"version": 3}',
    lambda good: good[: len(good) // 2],
    lambda good: good.replace(b'"version":3', b'"version":2'),
    lambda good: good.replace(b'"revision"', b'"revisions"'),
    lambda good: json.dumps(
        json.loads(good) | {"segments": [{"key": None, "files": {"filename": ["a.png"]}}]}
    ).encode(),
    lambda good: good.replace(b'"size":[1,5]', b'"size":[1]'),
    lambda good: json.dumps(json.loads(good) | {"segments": 5}).encode(),
    lambda good: json.dumps({k: v for k, v in json.loads(good).items() if k != "etag"}).encode(),
)


def test_a_broken_cache_file_is_ignored(through_s3, style, cached):
    folder, file, index = cached
    good = file.read_bytes()
    for number, broken in enumerate(BROKEN):
        file.write_bytes(broken if isinstance(broken, bytes) else broken(good))
        assert file.read_bytes() != good, number
        assert read(through_s3, style, folder, "here") == index, number
        assert file.read_bytes() == good, number


def test_deployments_and_collections_have_separate_cache_files(through_s3, style, cached, add):
    folder, _, _ = cached
    read(through_s3, style, folder, "there")
    add({"styles/7/a.png": b"a"})
    other = read(through_s3, through_s3.collection("style/7"), folder, "here")
    assert len(list(folder.iterdir())) == 3
    assert other.facts.id == "7"


def test_without_a_writable_cache_the_index_is_read_each_time(through_s3, style, cached, tmp_path):
    in_the_way = tmp_path / "in the way"
    in_the_way.write_bytes(b"")
    assert read(through_s3, style, in_the_way, "here") == cached[2]


def test_only_the_user_can_read_the_cache(cached):
    folder, file, _ = cached
    assert (folder.stat().st_mode & 0o077, file.stat().st_mode & 0o077) == (0, 0)
