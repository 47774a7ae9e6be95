"""``doctor`` of a stack with two buckets: each is examined, named, and does not hold up the other."""

import json

import pytest
from click.testing import CliRunner
from client.doctor_values import STACK, stack_with
from moto import mock_aws
from unit.environments import replace_account

from s3_manifest.aws.clients import s3_client
from s3_manifest_cli.client.doctor import examination
from s3_manifest_cli.client.doctor.checks import buckets, functions, permissions
from s3_manifest_cli.client.doctor.checks.callers import Surroundings
from s3_manifest_cli.client.doctor.examination import DoctorOptions, Limits
from s3_manifest_cli.main import main

COLLECTIONS = "style=library/{style_id}/,actor=s3://assets/library/{actor_id}/"
TWO = stack_with(Collections=COLLECTIONS, AdditionalBuckets="assets")


@pytest.fixture
def examine(monkeypatch):
    """Examines the buckets of a stack in moto, without the checks of the stack itself."""
    replace_account(monkeypatch)
    monkeypatch.setattr(examination.stack_checks, "CHECKS", {"buckets": examination.stack_checks.CHECKS["buckets"]})

    def examine(stack, *existing, **options):
        for name in existing:
            s3_client(None).create_bucket(Bucket=name)
        monkeypatch.setattr(examination, "find", lambda _clients, _name: stack)
        return examination.doctor("it", DoctorOptions(round_trip=False, limits=Limits(recheck_after=0), **options))

    with mock_aws():
        yield examine


def checks_of(examined, bucket):
    return {finding.check for finding in examined.findings if finding.bucket == bucket}


def test_every_bucket_of_the_stack_is_examined_and_each_finding_names_its_own(examine):
    examined = examine(TWO, "bucket", "assets")
    assert {finding.bucket for finding in examined.findings} == {"bucket", "assets"}
    assert checks_of(examined, "bucket") == checks_of(examined, "assets")
    assert {"notifications", "lifecycle", "versioning", "manifests", "conditional writes"} <= checks_of(
        examined, "assets"
    )
    missing = {(finding.bucket, finding.subject) for finding in examined.findings if finding.check == "notifications"}
    assert missing == {("bucket", "library/"), ("assets", "library/")}


@pytest.mark.parametrize(("existing", "missing"), [("bucket", "assets"), ("assets", "bucket")])
def test_a_missing_bucket_does_not_stop_the_examination_of_the_other(examine, existing, missing):
    examined = examine(TWO, existing)
    (finding,) = [finding for finding in examined.findings if finding.bucket == missing]
    assert (finding.check, finding.severity, finding.subject) == ("bucket", "error", missing)
    assert ("AdditionalBuckets" in finding.mend) == (missing == "assets")
    assert {"notifications", "manifests"} <= checks_of(examined, existing)


def test_manifests_are_compared_in_the_bucket_of_their_collections(examine):
    with_objects = {"bucket": "library/16/a.png", "assets": "library/42/a.png"}
    for name, key in with_objects.items():
        s3_client(None).create_bucket(Bucket=name)
        s3_client(None).put_object(Bucket=name, Key=key, Body=b"x")
    examined = examine(TWO)
    found = {(finding.bucket, finding.subject) for finding in examined.findings if finding.check == "manifests"}
    assert found == {("bucket", "style/16"), ("assets", "actor/42")}
    only = examine(TWO, collections=["actor/42"])
    found = {(finding.bucket, finding.subject) for finding in only.findings if finding.check == "manifests"}
    assert found == {("assets", "actor/42")}


def test_without_a_stack_a_named_collection_must_be_in_the_examined_bucket(examine):
    for name, key in {"bucket": "library/16/a.png", "assets": "library/42/a.png"}.items():
        s3_client(None).create_bucket(Bucket=name)
        s3_client(None).put_object(Bucket=name, Key=key, Body=b"x")

    def doctor(bucket, collection):
        kinds = COLLECTIONS.replace("=library", "=s3://bucket/library")
        options = ["--bucket", bucket, "--collections", kinds, "--collection", collection]
        return CliRunner().invoke(main, ["doctor", *options])

    for bucket, collection in (("bucket", "style/16"), ("assets", "actor/42"), ("assets", "s3://assets/library/42/")):
        assert "manifests: " in doctor(bucket, collection).output
    for collection in ("actor/42", "s3://assets/library/42/"):
        refused = doctor("bucket", collection)
        assert "actor/42 is in bucket assets, and only bucket is examined. Pass --bucket assets" in refused.output
        assert (refused.exit_code, "conditional writes" in refused.output) == (2, False)


def test_collections_in_a_bucket_that_the_stack_may_not_use_are_an_error_with_the_remedy():
    (finding,) = buckets.check_listed(stack_with(Collections=COLLECTIONS, AdditionalBuckets=""))
    assert (finding.severity, finding.subject) == ("error", "assets")
    assert "actor" in finding.found
    assert "AdditionalBuckets=assets" in finding.mend
    more = next(buckets.check_listed(stack_with(Collections=COLLECTIONS, AdditionalBuckets="others")))
    assert "AdditionalBuckets=others,assets" in more.mend


def test_an_additional_bucket_without_collections_is_a_notice():
    (finding,) = buckets.check_listed(TWO._replace(parameters={**TWO.parameters, "AdditionalBuckets": "assets,idle"}))
    assert (finding.severity, finding.subject) == ("notice", "idle")


def test_a_bucket_of_another_region_or_account_is_an_error():
    view = TWO.at("assets")
    assert buckets.check_place(view, "us-east-1", is_owned=True).severity == "ok"
    assert buckets.check_place(view, None, is_owned=True).severity == "ok"
    assert "eu-west-1" in buckets.check_place(view, "eu-west-1", is_owned=True).found
    assert "another account" in buckets.check_place(view, "us-east-1", is_owned=False).found


def test_the_queue_and_the_roles_are_checked_for_every_bucket():
    policy = {
        "Statement": [
            {
                "Sid": "Own",
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": TWO.change_queue_arn,
                "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"}},
            }
        ]
    }
    attributes = {queue: {"Policy": json.dumps(policy)} for queue in ("ChangeQueue", "SweepQueue")}
    findings = permissions.check_senders(TWO, attributes)
    texts = [(finding.severity, finding.found) for finding in findings if "S3" in finding.found]
    assert [severity for severity, _ in texts] == ["ok", "error"]
    assert "assets" in texts[1][1]
    resources = {need.resource for need in permissions.needs(TWO.at("assets"))}
    assert {"arn:aws:s3:::assets", "arn:aws:s3:::assets/library/doctor/image.png"} <= resources
    assert not any(resource.startswith("arn:aws:s3:::bucket") for resource in resources)


def test_a_policy_of_the_additional_bucket_that_denies_the_functions_is_found():
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::assets/library/*"}
    policy = {"Statement": [{"Sid": "No", **deny}]}
    (finding,) = permissions.check_bucket_policy(TWO.at("assets"), policy, Surroundings({}, None))
    assert finding.severity == "error"
    (own,) = permissions.check_bucket_policy(TWO.at("bucket"), policy, Surroundings({}, None))
    assert own.severity == "ok"


def test_functions_have_the_own_bucket_in_their_environment():
    variables = {"BUCKET": "bucket", "COLLECTIONS": COLLECTIONS, "MANIFEST_ROOT": "_manifests/"}
    configuration = {"FunctionName": "f", "Environment": {"Variables": variables}}
    for view in (TWO, TWO.at("assets")):
        assert list(functions.check(view, "QueryFunction", configuration, None)) == []
    assert STACK.at("bucket").owns_bucket
    assert not TWO.at("assets").owns_bucket
