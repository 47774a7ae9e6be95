"""doctor checks a bucket without a stack, as on a self-hosted S3 server."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from contract.small_s3 import SmallS3

from s3_manifest_cli.local_stack.platform import ACCESS_KEY, SECRET_KEY
from s3_manifest_cli.main import main


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("S3_MANIFEST_STACK", "S3_MANIFEST_BUCKET", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


@pytest.fixture
def examine():
    def examine(*arguments, exit_code=0):
        answer = CliRunner().invoke(main, ["doctor", *map(str, arguments)])
        assert answer.exit_code == exit_code, (answer.output, answer.exception)
        return answer

    return examine


@pytest.fixture
def server():
    with SmallS3() as running:
        running.objects["bucket/styles/16/a.png"] = b"a"
        yield running


def by_check(answer):
    return {(finding["check"], finding["severity"]): finding for finding in json.loads(answer.stdout)["findings"]}


def test_a_bucket_on_a_server_that_honours_conditions_is_ok_and_unchanged(server, examine):
    before = dict(server.objects)
    answer = examine("--bucket", "bucket", "--endpoint-url", server.endpoint, "--json")
    assert set(by_check(answer)) == {
        ("bucket", "ok"),
        ("lifecycle", "ok"),
        ("versioning", "notice"),
        ("conditional writes", "ok"),
        ("conditional uploads in parts", "ok"),
        ("conditional reads", "ok"),
        ("conditional deletes", "ok"),
        ("manifests", "ok"),
        ("stack", "notice"),
    }
    assert (json.loads(answer.stdout)["bucket"], json.loads(answer.stdout)["stack"]) == ("bucket", "")
    assert server.objects == before


def test_a_server_that_rejects_quoted_etags_is_an_error(server, examine):
    server.faults = ("quoted_refused",)
    answer = examine("--bucket", "bucket", "--endpoint-url", server.endpoint, exit_code=1)
    assert "no commit can ever succeed" in answer.stdout
    assert "s3://bucket: " in answer.stdout


def test_the_bucket_may_come_from_the_environment_and_the_manifest_root_from_an_option(server, examine, monkeypatch):
    monkeypatch.setenv("S3_MANIFEST_BUCKET", "bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    examine("--manifest-root", "other/", "--collections", "album=albums/{album_id}/")
    written = [request for request in server.requests if request.startswith("PUT")]
    assert written
    assert all(request.startswith("PUT /bucket/other/__doctor/") for request in written)


def test_an_unreadable_manifest_is_an_error(server, examine):
    server.objects["bucket/_manifests/styles/16/manifest.json"] = b"{"
    answer = examine("--bucket", "bucket", "--endpoint-url", server.endpoint, "--json", exit_code=1)
    finding = by_check(answer)["manifests", "error"]
    assert "the manifest cannot be read" in finding["found"]
    assert "s3-manifest doctor --stack NAME --collection style/16" in finding["mend"]


def test_a_collection_without_a_manifest_is_a_warning_only_if_it_is_named(server, examine):
    where = ["--bucket", "bucket", "--endpoint-url", server.endpoint]
    examine(*where)
    answer = examine(*where, "--collection", "style/16", "--json", exit_code=1)
    stamp = datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert stamp < datetime.now(UTC)  # so that the object is not of the last minute
    assert by_check(answer)["manifests", "warning"]["found"] == "there are objects in S3 and no manifest"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "doctor needs the CloudFormation stack: --stack NAME. List yours with 'aws cloudformation list-stacks'."),
        (["--stack", "s", "--bucket", "b"], "either --stack or --bucket"),
        (["--bucket", "b", "--fix"], "--fix needs the stack"),
        (["--stack", "s", "--manifest-root", "r/"], "require --bucket"),
        (["--bucket", "b", "--collections", "nonsense"], "collection 'nonsense'"),
    ],
)
def test_contradictory_options_are_wrong_usage(arguments, message, examine):
    assert message in " ".join(examine(*arguments, exit_code=2).stderr.split())
