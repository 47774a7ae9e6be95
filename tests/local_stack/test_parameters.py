"""A stack without optional parts, with EventSource=EventBridge."""

import re
from urllib.parse import quote

import boto3
import pytest

from s3_manifest_cli.client.doctor import DoctorOptions, Limits, doctor
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import Stack, deploy

QUIET = "quiet"
PARAMETERS = {
    "SweepSchedule": "",
    "AllowEdits": "false",
    "ApiAccessLog": "false",
    "LogLevel": "WARN",
    "EventSource": "EventBridge",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quiet(stack: Stack) -> Stack:
    return deploy(stack.platform, QUIET, PARAMETERS)


@pytest.fixture(scope="module")
def functions(quiet: Stack):
    functions = quiet.platform.client("lambda").list_functions()["Functions"]
    return {
        function["FunctionName"].split("-")[1]: function
        for function in functions
        if function["FunctionName"].startswith(f"{QUIET}-")
    }


def test_a_stack_with_schedule_and_announcements_off_has_neither(quiet, functions):
    rules = quiet.platform.client("events").list_rules()["Rules"]
    assert not [rule for rule in rules if QUIET in rule["Name"]]
    writers = [functions[name] for name in ("ReconcileFunction", "SweepFunction")]
    assert [function["Environment"]["Variables"]["EVENT_BUS"] for function in writers] == ["", ""]


def test_functions_log_at_the_configured_level(functions):
    assert {function["LoggingConfig"]["ApplicationLogLevel"] for function in functions.values()} == {"WARN"}


def test_an_api_without_edits_rejects_them_and_documents_only_its_own_routes(quiet, functions):
    assert "EditFunction" not in functions
    document = quiet.get("/api/openapi.json").body
    methods = {(method, path) for path, operations in document["paths"].items() for method in operations}
    rescans = {path for method, path in methods if method != "get"}
    assert rescans == {"/api/manifests/rescan", "/api/manifests/{kind}/{collection_id}/rescan"}
    for method in ("PATCH", "DELETE"):
        answer = quiet.send(method, f"/api/manifests/style/1/files/{quote('a.png')}", {"good": False})
        assert answer.status == 404


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"ExistingBucket": "a-bucket", "BucketName": "another-bucket"}, "give one of them"),
        ({"ApiAuth": "JWT", "JwtIssuer": "https://issuer.example.com"}, "needs JwtAudience"),
        ({"JwtDeleteScope": "images/delete"}, "need ApiAuth=JWT"),
        ({"KmsKeyArn": "alias/images"}, "must be the ARN of a KMS key"),
        ({"AlarmTopicArn": "alarms"}, "must be the ARN of a standard SNS topic"),
        ({"Collections": "style=styles/{actor_id}/"}, "kind=prefix/{kind_id}/"),
        ({"AdditionalBuckets": "images,s3://more-images"}, "must be names of buckets"),
    ],
)
def test_invalid_parameters_are_rejected_before_a_stack_is_created(stack, parameters, words):
    cloudformation = stack.platform.client("cloudformation")
    with pytest.raises(cloudformation.exceptions.ClientError, match=re.escape(words)):
        deploy(stack.platform, "refused", parameters)
    assert "refused" not in {summary["StackName"] for summary in cloudformation.list_stacks()["StackSummaries"]}


def test_doctor_finds_no_problem(quiet):
    session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=REGION)
    limits = Limits(compare=30, recheck_after=0.5, round_trip=20)
    examination = doctor(QUIET, DoctorOptions(session=session, endpoint=quiet.platform.endpoint, limits=limits))
    assert examination.with_severity("warning", "error", "not_checked") == ()
