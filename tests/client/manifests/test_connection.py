"""The error for a missing manifest suggests a command with the options of the same deployment."""

import shlex

import pytest

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.manifests.manifests import Connection

STYLE = Collection("style", "16", "styles/16/", "_manifests/", "b")


@pytest.mark.parametrize(
    ("connection", "collection", "remedy"),
    [
        (
            Connection({"--stack": "s", "--region": "eu-west-1"}, can_rescan=True),
            STYLE,
            "Upload something to s3://b/styles/16/, or run 's3-manifest rescan style/16 --stack s --region eu-west-1'.",
        ),
        (
            Connection({"--bucket": "b", "--profile": "p"}),
            STYLE,
            "Upload something to s3://b/styles/16/, or run 's3-manifest rescan style/16 --stack NAME --profile p'.",
        ),
        (
            Connection({"--api-url": "https://a"}, can_rescan=True),
            STYLE._replace(bucket=""),
            "Upload something to styles/16/ in its bucket, or run 's3-manifest rescan style/16 --api-url https://a'.",
        ),
    ],
)
def test_the_remedy_has_the_options_that_reach_the_deployment(connection, collection, remedy):
    error = connection.no_manifest(collection)
    assert (error.message, error.remedy) == ("style/16 has no manifest yet.", remedy)


@pytest.mark.parametrize("name", ["a b", "it's", "$(rm -rf /)", "`x`", ";"])
def test_a_suggested_command_quotes_any_id(name):
    error = Connection({"--stack": "s"}, can_rescan=True).no_manifest(STYLE._replace(id=name))
    command = error.remedy.partition(" or run ")[2].removesuffix(".")[1:-1]
    assert shlex.split(command) == ["s3-manifest", "rescan", f"style/{name}", "--stack", "s"]
