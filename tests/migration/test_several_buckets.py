"""Styles go to one bucket and actors to another, in one run."""

import json

import pytest
from click.testing import CliRunner
from migration.buckets import ASSETS, BUCKET, TWO_BUCKETS, Bucket, Migration
from moto import mock_aws

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.store import ReadFailed
from s3_manifest_cli.main import main
from s3_manifest_cli.migration.report import as_json, result_lines

ACTOR = "0042_european_30_male"
ACTOR_FOLDER = f"data/actors/{ACTOR}/training_data"
STYLE_FILE = "data/s3_manifests/style_16_s3_manifest.json"
COLLECTIONS = f"style=library/{{style_id}}/,actor=s3://{ASSETS}/library/{{actor_id}}/"


@pytest.fixture
def migration(tmp_path):
    """A style and an actor with an image of the same name, each only on disk."""
    stores = (Bucket(name=name, kinds=TWO_BUCKETS) for name in (BUCKET, ASSETS))
    migration = Migration(tmp_path, next(stores), assets=next(stores))
    migration.file(f"{ACTOR_FOLDER}/a.png", "of the actor")
    migration.file(
        f"{ACTOR_FOLDER}/manifest.json", json.dumps({"images": [{"filename": "a.png", "prompt": "the actor"}]})
    )
    migration.file("data/styles/a.png", "of the style")
    images = [{"filename": "a.png", "local_path": "data/styles/a.png", "prompt": "the style"}]
    migration.file(STYLE_FILE, json.dumps({"style_id": "16", "style_title": "Simple", "files": images}))
    return migration


def data(bucket):
    return {key: stored[1] for key, stored in bucket.objects.items() if not key.startswith("_manifests/")}


def test_each_kind_is_uploaded_described_and_verified_in_its_bucket(migration):
    plan, result = migration.run()
    assert {(item.collection.kind, item.collection.bucket) for item in plan.collections} == {
        ("style", BUCKET),
        ("actor", ASSETS),
    }
    assert data(migration.bucket)["library/16/a.png"] == b"of the style"
    assert data(migration.assets)[f"library/{ACTOR}/a.png"] == b"of the actor"
    assert all(key.startswith("library/16/") for key in data(migration.bucket))
    assert all(key.startswith(f"library/{ACTOR}/") for key in data(migration.assets))
    assert b"the actor" in data(migration.assets)[f"library/{ACTOR}/prompt_metadata.json"]
    assert all(verification.is_verified for verification in result.verifications.values())
    assert len(result.verifications) == 2
    assert migration.plan().is_done


def test_a_run_removes_what_either_bucket_has(migration):
    _, result = migration.run(remove_legacy=True)
    assert set(result.removal.paths) == {
        f"{ACTOR_FOLDER}/a.png",
        f"{ACTOR_FOLDER}/manifest.json",
        "data/styles/a.png",
        STYLE_FILE,
    }


def test_the_same_bytes_in_the_other_bucket_are_no_reason_to_remove_an_image(migration):
    migration.run()
    key = f"library/{ACTOR}/a.png"
    migration.bucket.upload(key, b"of the actor")
    migration.assets.remove(key)
    _, result = migration.run(remove_legacy=True)
    assert f"{ACTOR_FOLDER}/a.png" not in result.removal.paths
    assert "data/styles/a.png" in result.removal.paths


def test_a_denied_bucket_is_named_and_the_other_is_migrated(migration, monkeypatch):
    def denied(*_, **__):
        raise ReadFailed("key", "403 AccessDenied", bucket=ASSETS)

    for method in ("get", "head", "list"):
        monkeypatch.setattr(migration.assets, method, denied)
    monkeypatch.setattr(migration.assets, "reconcile", lambda: None)
    plan, result = migration.run(remove_legacy=True)
    (problem,) = plan.problems
    assert problem.path == f"s3://{ASSETS}/library/{ACTOR}/"
    assert f"s3://{ASSETS}/" in problem.problem
    assert data(migration.bucket)["library/16/a.png"] == b"of the style"
    assert set(result.removal.paths) == {"data/styles/a.png", STYLE_FILE}


def test_reports_name_the_bucket_of_each_collection(migration):
    migration.deployed = False
    plan, result = migration.run()
    text = "\n".join(result_lines(plan, result))
    assert f"s3://{BUCKET}/library/16/" in text
    assert f"s3://{ASSETS}/library/{ACTOR}/" in text
    document = as_json(plan, result)
    assert {(item["kind"], item["bucket"]) for item in document["collections"]} == {
        ("style", BUCKET),
        ("actor", ASSETS),
    }


@pytest.fixture
def stack(monkeypatch):
    """The parameters and outputs of a stack whose own bucket has the styles."""
    settings = {"BucketName": BUCKET, "Collections": COLLECTIONS, "ManifestRoot": "_manifests/"}
    monkeypatch.setattr("s3_manifest_cli.client.manifests.deployment._stack_settings", lambda *_: settings)


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("target", [["--stack", "s3-manifest"], ["--bucket", BUCKET, "--collections", COLLECTIONS]])
def test_the_command_plans_for_the_buckets_of_the_stack_or_of_its_options(migration, target):
    with mock_aws():
        for name in (BUCKET, ASSETS):
            s3_client(None).create_bucket(Bucket=name)
        s3_client(None).put_object(Bucket=ASSETS, Key=f"library/{ACTOR}/a.png", Body=b"of the actor")
        result = CliRunner().invoke(main, ["migrate", str(migration.root), *target, "--plan", "--json"])
    document = json.loads(result.stdout)
    assert document["problems"] == []
    assert {item["bucket"]: item["images"][0]["status"] for item in document["collections"]} == {
        BUCKET: "local_only",
        ASSETS: "synced",
    }


@pytest.mark.parametrize(
    ("target", "message"),
    [([], "Missing option --bucket or --stack"), (["--bucket", "b", "--stack", "s"], "either --bucket or --stack")],
)
def test_exactly_one_of_a_bucket_and_a_stack_must_be_named(tmp_path, target, message):
    (tmp_path / "data").mkdir()
    result = CliRunner().invoke(main, ["migrate", str(tmp_path), *target])
    assert result.exit_code == 2
    assert message in result.stderr
