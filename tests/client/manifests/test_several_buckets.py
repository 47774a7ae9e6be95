"""A deployment with two buckets, in which styles and actors have the same prefixes."""

import json
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner
from unit.environments import DeniedStore, replace_account
from unit.values import head_of

from s3_manifest.manifest.collections import parse_collections
from s3_manifest.manifest.jobs import SweepAll
from s3_manifest.storage import heads
from s3_manifest.storage.memory import MemoryStore
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.client.manifests import deployment as module
from s3_manifest_cli.client.manifests.deployment import Deployment, connect
from s3_manifest_cli.client.manifests.direct import S3Manifests
from s3_manifest_cli.client.manifests.http import HttpManifests
from s3_manifest_cli.client.sync.plan import BaselineEntry
from s3_manifest_cli.client.sync.sync import Baseline, new_plan
from s3_manifest_cli.errors import Invalid, NotFound
from s3_manifest_cli.main import main

OWN, ASSETS = "storyboard-user-files", "story-boards-assets"
COLLECTIONS = f"style=library/{{style_id}}/,actor=s3://{ASSETS}/library/{{actor_id}}/"
SETTINGS = {"BucketName": OWN, "Collections": COLLECTIONS, "ManifestRoot": "_manifests/"}


@pytest.fixture(autouse=True)
def _account(monkeypatch):
    for name in ("S3_MANIFEST_BUCKET", "S3_MANIFEST_STACK", "S3_MANIFEST_COLLECTIONS", "S3_MANIFEST_API_URL"):
        monkeypatch.delenv(name, raising=False)
    replace_account(monkeypatch)
    monkeypatch.setattr(module, "_stack_settings", lambda *_: SETTINGS)


@pytest.fixture(params=["stack", "bucket"])
def direct(request, tmp_path):
    """The deployment in S3, named by its stack alone or by its own bucket and its collections."""
    named = {"stack": "s"} if request.param == "stack" else {"bucket": OWN, "collections": COLLECTIONS}
    return connect(**named, cache=tmp_path)


class Known:
    """Manifests over HTTP: only style 16 exists, in the deployment's own bucket."""

    def facts(self, collection):
        if (collection.kind, collection.id) != ("style", "16"):
            raise NotFound("it has no manifest yet")
        return SimpleNamespace(s3_bucket=OWN, s3_prefix=collection.prefix, revision=1)


@pytest.fixture
def over_http(tmp_path):
    kinds = parse_collections(COLLECTIONS, "_manifests/", "")
    return Deployment(Known(), kinds, boto3.Session(), None, None, "https://api", tmp_path)


def test_a_collection_is_found_in_the_bucket_of_its_kind_by_name_and_by_place(direct):
    for kind, bucket in (("style", OWN), ("actor", ASSETS)):
        by_name = direct.collection(f"{kind}/a_1")
        assert (by_name.bucket, by_name.prefix) == (bucket, "library/a_1/")
        assert direct.collection(f"s3://{bucket}/library/a_1/") == by_name


@pytest.mark.parametrize("url", ["s3://another/library/16/", "s3:///library/16/", f"s3://{OWN}x/library/16/"])
def test_a_place_in_another_bucket_is_an_error_that_names_the_buckets(direct, url):
    with pytest.raises(Invalid, match=f"buckets {ASSETS} and {OWN}"):
        direct.collection(url)


def test_the_api_alone_is_read_over_http_and_knows_only_named_buckets(tmp_path):
    deployment = connect(api_url="https://api.example", collections=COLLECTIONS, cache=tmp_path)
    assert isinstance(deployment.manifests, HttpManifests)
    assert [deployment.collection(f"{kind}/x_1").bucket for kind in ("style", "actor")] == ["", ASSETS]


def test_over_http_the_manifest_decides_whether_a_place_is_in_the_own_bucket(over_http):
    assert over_http.collection(f"s3://{OWN}/library/16/") == over_http.collection("style/16")
    with pytest.raises(Invalid, match=f"style/16 is in bucket {OWN}"):
        over_http.collection("s3://another/library/16/")
    assert over_http.collection(f"s3://{ASSETS}/library/16/").kind == "actor"


def test_collections_with_equal_prefixes_have_separate_caches_and_baselines(direct, over_http, tmp_path):
    for deployment in (direct, over_http):
        style, actor = deployment.collection("style/16_a"), deployment.collection("actor/16_a")
        assert style.head_key == actor.head_key
        assert deployment.state_of(style) != deployment.state_of(actor)
        folder = Path(tmp_path / "folder")
        baseline = Baseline(deployment, style, folder)
        baseline.entries["a.png"] = BaselineEntry("etag", Identity(1, 2, 3, 4))
        baseline.save()
        assert Baseline(deployment, style, folder).entries.keys() == {"a.png"}
        assert Baseline(deployment, actor, folder).entries == {}


def test_a_plan_names_the_bucket_of_its_collection(direct, over_http):
    for kind, bucket in (("style", OWN), ("actor", ASSETS)):
        assert new_plan("push", "/f", direct.collection(f"{kind}/x_1"), None, ()).s3_bucket == bucket
    assert new_plan("push", "/f", over_http.collection("actor/x_1"), None, ()).s3_bucket == ASSETS
    with pytest.raises(Invalid, match="no manifest yet that names the bucket"):
        new_plan("push", "/f", over_http.collection("style/17"), None, ())


def test_a_manifest_that_was_copied_from_another_bucket_is_refused(direct):
    facts = SimpleNamespace(s3_bucket=OWN, s3_prefix="library/x_1/", revision=1)
    with pytest.raises(Invalid, match=f"describes s3://{OWN}/library/x_1/, but you asked for s3://{ASSETS}"):
        new_plan("pull", "/f", direct.collection("actor/x_1"), facts, ())


def test_a_rescan_of_all_names_a_bucket_that_cannot_be_read(tmp_path, monkeypatch):
    kinds, jobs = parse_collections(COLLECTIONS, "_manifests/", OWN), []
    stores = {OWN: MemoryStore(), ASSETS: DeniedStore(bucket=ASSETS)}
    style = kinds.lookup("style", "16")
    heads.save(stores[OWN], style, head_of(collection=style), None)
    manifests = S3Manifests(stores, kinds, jobs.extend)
    deployment = Deployment(manifests, kinds, boto3.Session(), None, OWN, "s3", tmp_path)
    monkeypatch.setattr("s3_manifest_cli.connect", lambda **_: deployment, raising=False)
    answer = CliRunner().invoke(main, ["rescan", "--all", "--json"])
    *lines, total = map(json.loads, answer.stdout.splitlines())
    assert jobs == [SweepAll()]
    assert [(line.get("kind"), line.get("id")) for line in lines if "error" not in line] == [("style", "16")]
    (failure,) = [line for line in lines if "error" in line]
    assert ASSETS in json.dumps(failure)
    assert (answer.exit_code, total["total"]["failed"]) == (3, 1)
