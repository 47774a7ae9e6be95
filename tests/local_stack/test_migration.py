"""A small legacy tree is migrated into the local stack."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.legacy_sample import sample
from benchmarks.legacy_truth import differences
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, STACK
from s3_manifest_cli.main import main


@pytest.fixture
def migrate(stack, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    options = [str(tmp_path), "--stack", STACK, "--endpoint-url", stack.platform.endpoint]

    def call(*more):
        answer = CliRunner().invoke(main, ["migrate", *options, "--json", "--wait", "60", *more])
        return json.loads(answer.stdout)

    return call


def test_a_migrated_tree_is_complete_in_the_manifests(stack, s3, tmp_path, migrate):
    tree = sample(actors=5, images=25, seed=3)
    tree.write(tmp_path)
    for key, body in tree.objects.items():
        s3.put_object(Bucket=ACTOR_BUCKET, Key=key, Body=body)
    planned = migrate("--plan")
    assert {status: count for status, count in planned["counts"].items() if count} == tree.counts
    first = migrate()
    assert (first["failed"], first["verified"]) == ([], len(first["collections"]))
    second = migrate("--remove-legacy")
    assert (second["uploads"], second["edits"]) == (0, 0)
    assert second["removed"]
    for prefix, truth in tree.truth.items():
        answer = stack.get("/api/s3/manifest", {"actorId": prefix.split("/")[-2]})
        assert list(differences(truth, answer.body)) == []
