"""Errors of denied requests name the permission to allow; and doctor's exit codes."""

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from click.testing import CliRunner

from s3_manifest_cli.client.doctor.clients import Clients, send
from s3_manifest_cli.client.doctor.findings import Examination, error, not_checked, notice, ok, warning
from s3_manifest_cli.errors import Unavailable
from s3_manifest_cli.main import main

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    return Clients(boto3.Session(region_name="us-east-1"), NOWHERE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code", "permission"),
    [
        ("s3", "get_bucket_notification_configuration", {"Bucket": "b"}, "AccessDenied", "s3:GetBucketNotification"),
        ("s3", "get_bucket_lifecycle_configuration", {"Bucket": "b"}, "AccessDenied", "s3:GetLifecycleConfiguration"),
        ("cloudwatch", "describe_alarms", {}, "AccessDenied", "cloudwatch:DescribeAlarms"),
        (
            "lambda",
            "get_function_concurrency",
            {"FunctionName": "f"},
            "AccessDeniedException",
            "lambda:GetFunctionConcurrency",
        ),
        ("sqs", "list_message_move_tasks", {"SourceArn": "a"}, "InvalidAction", None),
        ("sqs", "list_message_move_tasks", {"SourceArn": "a"}, "InternalFailure", ""),
    ],
)
def test_a_denied_request_names_the_permission_to_allow(clients, service, operation, parameters, code, permission):
    client = clients.client(service)
    with Stubber(client) as stubber:
        stubber.add_client_error(operation, service_error_code=code, service_message="no")
        with pytest.raises(Unavailable, match=code) as refused:
            send(getattr(client, operation), **parameters)
    allow = (
        f"allow {permission} to your IAM identity (aws sts get-caller-identity shows it), and run doctor again"
        if permission
        else ""
    )
    assert refused.value.remedy == ("this server does not support the request" if permission is None else allow)


def test_an_absent_resource_is_returned_as_none(clients):
    client = clients.s3
    with Stubber(client) as stubber:
        stubber.add_client_error("get_bucket_policy", service_error_code="NoSuchBucketPolicy")
        assert send(client.get_bucket_policy, absent=("NoSuchBucketPolicy",), Bucket="b") is None


FINDINGS = {
    finding.severity: finding
    for finding in (
        ok("c", "s", "f"),
        notice("c", "s", "f"),
        warning("c", "s", "f", "m"),
        error("c", "s", "f", "m"),
        not_checked("c", "s", "f"),
    )
}


@pytest.mark.parametrize(
    ("severities", "code"),
    [
        (["ok", "notice"], 0),
        (["ok", "warning"], 1),
        (["error"], 1),
        (["ok", "not_checked"], 3),
        (["not_checked", "error"], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst_finding(severities, code):
    findings = tuple(FINDINGS[severity] for severity in severities)
    assert Examination(stack="s", examined_at="2026-03-01T00:00:00.000Z", findings=findings).exit_code == code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--stack"),
        (["--stack", "s", "--profile", "no such profile"], 2, "no such profile"),
        (
            ["--stack", "s", "--endpoint-url", "nowhere", "--region", "us-east-1"],
            2,
            "write the endpoint as http://host:port",
        ),
        (
            ["--stack", "s", "--endpoint-url", NOWHERE, "--region", "us-east-1"],
            3,
            "CloudFormation did not answer: 127.0.0.1:9 cannot be reached.",
        ),
    ],
)
def test_wrong_usage_exits_with_2_and_an_unreachable_server_with_3(monkeypatch, arguments, code, words):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr("s3_manifest_cli.client.doctor.clients._CONFIG", Config(retries={"total_max_attempts": 1}))
    result = CliRunner().invoke(main, ["doctor", *arguments])
    assert (result.exit_code, words in result.output) == (code, True), result.output
