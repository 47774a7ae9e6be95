"""Requests over HTTP act on exactly the object that they name, or on none."""

import itertools
from urllib.parse import quote

import boto3
import pytest

from s3_manifest.manifest.collections import DEFAULT_ROOT, parse_collections
from s3_manifest_cli.client.access.http_api import HttpApi
from s3_manifest_cli.client.manifests.http import HttpManifests
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, BUCKET, PARAMETERS
from s3_manifest_cli.training_data.http import HttpService
from s3_manifest_cli.training_data.location import NamedLocation

COLLECTIONS = parse_collections(PARAMETERS["Collections"], DEFAULT_ROOT, BUCKET)
NUMBERS = itertools.count(1)


@pytest.fixture
def api(stack):
    session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=REGION)
    return HttpApi(stack.api_url, session)


@pytest.fixture
def names_in(s3):
    """Returns the names of the objects below a prefix."""

    def names_in(prefix, bucket=BUCKET):
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {entry["Key"].removeprefix(prefix) for entry in listed}

    return names_in


@pytest.mark.parametrize("pair", [("50%.png", "50%25.png"), ("a b.png", "a%20b.png"), ("q.png", "q.png?v=2")], ids=str)
def test_only_the_named_file_is_deleted(stack, s3, style, names_in, pair):
    prefix, path = f"styles/{style}/", f"/api/manifests/style/{quote(style)}/files"
    for name in pair:
        s3.put_object(Bucket=stack.bucket, Key=prefix + name, Body=b"bytes")
    for name, other in (pair, pair[::-1]):
        by_path = stack.send("DELETE", f"{path}/{quote(name, safe='')}", query={"delete_from_s3": "true"})
        assert by_path.status in {200, 400, 409}
        assert names_in(prefix) >= {other}
        s3.put_object(Bucket=stack.bucket, Key=prefix + name, Body=b"bytes")
    for name, left in ((pair[0], {pair[1]}), (pair[1], set())):
        deleted = stack.send("DELETE", path, query={"filename": name, "delete_from_s3": "true"})
        assert (deleted.status, deleted.body["s3_key"]) == (200, prefix + name)
        assert names_in(prefix) - {"prompt_metadata.json"} == left


@pytest.mark.parametrize("unusual", ["we b+1%", "50%25", "a?b#c", "größe 🎨,;&=", "e\u0301%2F"])
def test_the_http_clients_reach_unusual_ids_and_filenames(stack, s3, api, names_in, eventually, unusual):
    number = next(NUMBERS)
    style, actor = f"{unusual} {number}", f"{400 + number:04}_{unusual}"
    manifests, training = HttpManifests(api, COLLECTIONS), HttpService(api)
    prefix, filename = f"system_actors/training_data/{actor}/", f"sub/{unusual}.png"
    for bucket, key in ((BUCKET, f"styles/{style}/a.png"), (ACTOR_BUCKET, prefix + filename)):
        s3.put_object(Bucket=bucket, Key=key, Body=b"bytes")
    collection = COLLECTIONS.lookup("style", style)
    row = eventually(lambda: [entry for entry in manifests.collections() if entry.id == style], bool)
    assert row[0].total_files == 1
    assert [entry.filename for entry in manifests.read(collection).files] == ["a.png"]
    assert manifests.changes(collection, 0, 10)[0].added[0].filename == "a.png"
    requested_at = manifests.rescan(collection)
    eventually(lambda: manifests.facts(collection).last_verified_at or "", lambda at: at >= requested_at)
    done = training.describe(actor, {filename: {"good": False}})
    assert (done["actor_name"], training.shows(actor, done["reflects"], 20)) == (actor, True)
    (image,) = training.read(actor, NamedLocation(None, None), force_rescan=False, wait_seconds=20)["images"]
    assert (image["filename"], image["good"]) == (filename, False)
    deleted = training.delete(actor, filename, image["etag"])
    assert (deleted["actor_name"], names_in(prefix, ACTOR_BUCKET)) == (actor, {"prompt_metadata.json"})
