"""The command line, on an S3 server without a reconciler."""

import hashlib
import json

import pytest
from click.testing import CliRunner
from contract.buckets import in_moto
from migration.buckets import Migration

from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.main import main

NAME = "0042_european_30_male"
FOLDER = f"data/actors/{NAME}/training_data"
BUCKET = "contract-bucket"


@pytest.fixture
def tree(tmp_path):
    migration = Migration(tmp_path)
    migration.file(f"{FOLDER}/größe.png", "bytes")
    migration.file(f"{FOLDER}/manifest.json", json.dumps({"images": [{"filename": "größe.png", "prompt": "p 🎨"}]}))
    return migration


def call(*arguments):
    return CliRunner().invoke(main, ["migrate", *map(str, arguments)])


def migrate(tree, *more):
    return call(tree.root, "--bucket", BUCKET, "--wait", 0, *more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--plan", "--remove-legacy"], "Pass either --plan or --remove-legacy"),
        (["--collections", "nonsense"], "nonsense"),
        (["--prefer", "neither"], "neither"),
    ],
)
def test_wrong_usage_exits_with_2(tree, more, message):
    result = migrate(tree, *more)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_folder_without_data_is_wrong_usage(tmp_path):
    result = call(tmp_path, "--bucket", BUCKET)
    assert result.exit_code == 2
    assert "ROOT is the folder that contains data/actors." in result.stderr


def test_a_plan_is_printed_and_changes_nothing(tree):
    with in_moto() as bucket:
        result = migrate(tree, "--plan")
        assert result.exit_code == 1
        assert "local_only         1  only on disk" in result.stdout
        assert "To do: upload 1 image; edit the sidecars of 1 collection." in result.stdout
        assert result.stderr == ""
        assert bucket.store.list("").objects == ()


def test_a_plan_with_json_prints_only_json(tree):
    with in_moto():
        result = migrate(tree, "--plan", "--json")
    document = json.loads(result.stdout)
    assert document["counts"]["local_only"] == 1
    (collection,) = document["collections"]
    assert collection["images"][0]["action"] == "upload"
    assert collection["words"]["files"]["größe.png"]["prompt"] == "p 🎨"


@pytest.fixture
def _put_by_boto(monkeypatch):
    """Uploads with boto3, since moto does not serve the client's own requests."""

    def put(self, key, body, md5, *, replaces, headers):
        assert (replaces, hashlib.md5(body).hexdigest()) == (None, md5)
        request = {"Bucket": self.bucket, "Key": key, "Body": body, "ContentType": headers["Content-Type"]}
        return self.writes.put_object(**request, IfNoneMatch="*")["ETag"].strip('"')

    monkeypatch.setattr(Objects, "put", put)


@pytest.mark.usefixtures("_put_by_boto")
def test_a_run_uploads_and_reports_what_it_could_not_verify(tree):
    with in_moto() as bucket:
        result = migrate(tree)
        prefix = f"system_actors/training_data/{NAME}/"
        assert bucket.store.list("").keys == (f"{prefix}größe.png", f"{prefix}prompt_metadata.json")
    assert result.exit_code == 1
    assert "no manifest yet. Check that the stack watches this bucket, and run a rescan" in result.stdout


def test_a_missing_bucket_is_an_error(tree):
    with in_moto():
        result = call(tree.root, "--bucket", "no-such-bucket", "--wait", 0)
    assert result.exit_code == 3
    assert "NoSuchBucket" in result.stdout or "404" in result.stdout


def test_a_filename_cannot_control_the_terminal(tree):
    tree.file(f"{FOLDER}/manifest.json", json.dumps({"images": [{"filename": "\x1b[2J.png"}]}))
    with in_moto():
        result = migrate(tree, "--plan")
    assert result.exit_code == 3
    assert "\x1b" not in result.stdout
