"""``ls`` lists every collection that has a manifest, and names those whose manifest cannot be read."""

import json

import pytest


@pytest.fixture
def three(sides):
    """Three manifests: a valid one, one with replaced bytes and the old metadata, and one without metadata."""
    sides.put("a.png", "b.png")
    client, bucket, bucket_keys = sides.bucket.client, sides.bucket.name, sides.bucket.keys()
    (key,) = [key for key in bucket_keys if key.endswith("16/manifest.json")]
    head = client.get_object(Bucket=bucket, Key=key)
    broken, bare = (key.replace("/16/", f"/{name}/") for name in ("broken", "bare"))
    client.put_object(Bucket=bucket, Key=broken, Body=head["Body"].read()[:-9], Metadata=head["Metadata"])
    client.put_object(Bucket=bucket, Key=bare, Body=b'{"schema": 2}')
    return sides


def test_a_corrupt_manifest_is_listed_and_the_exit_code_is_3(three):
    lines, root = three.call("ls", exit_code=3).stdout.splitlines(), f"s3://{three.bucket.name}/_manifests"
    assert lines[0].startswith("style/16  2 files  ")
    assert lines[1].startswith(f"style/bare  unreadable: {root}/styles/bare/manifest.json: ")
    assert lines[2].startswith(f"style/broken  unreadable: {root}/styles/broken/manifest.json: ")
    assert lines[3].startswith("3 collections, 2 unreadable, 2 files, ")


def test_ls_as_json_lists_the_problem_of_each_unreadable_manifest(three):
    found = {entry["id"]: entry for entry in json.loads(three.call("ls", "--json", exit_code=3).stdout)}
    assert found["16"]["total_files"] == 2
    assert "problem" not in found["16"]
    assert found["broken"].keys() == {"kind", "id", "s3_bucket", "s3_prefix", "problem"}
    assert "schema" in found["bare"]["problem"]


def test_ls_reads_only_manifests_without_valid_metadata(three):
    three.proxy.seen.clear()
    three.call("ls", exit_code=3)
    assert sorted(entry.key.split("/")[-2] for entry in three.proxy.of("GET", "manifest.json")) == ["bare", "broken"]
    assert len(three.proxy.of("HEAD")) == 3


def test_ls_of_another_kind_reports_no_unreadable_manifest(three):
    assert three.call("ls", "actor").stdout == "0 collections, 0 files, 0 bytes\n"


def test_a_single_collection_is_counted_in_the_singular(sides):
    sides.put("a.png")
    assert sides.call("ls").stdout.splitlines()[1].startswith("1 collection, 1 file, ")


def test_an_unknown_kind_is_wrong_usage(sides):
    assert "There is no collection kind 'styles'. Choose one of: actor, style." in " ".join(
        sides.call("ls", "styles", exit_code=2).stderr.split()
    )
