"""A deployed stack is examined: one that is well, and one of which one thing after another is broken."""

import json
import shlex
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from s3_manifest_cli.client.doctor import Examination, Finding, Limits, doctor
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import STACK, Stack, delete, deploy
from s3_manifest_cli.main import main

AILING = "ailing"
LIMITS = Limits(comparing=30, again=0.5, round_trip=20)


def new_session() -> boto3.Session:
    return boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=REGION)


def examined(stack: Stack, name: str = AILING, **more: Any) -> Examination:
    given = {"session": new_session(), "limits": LIMITS} | more
    return doctor(name, endpoint=stack.platform.endpoint, **given)


def wrong(found: Examination) -> dict[tuple[str, str], Finding]:
    """What is wrong, or was not checked, by the check and the subject."""
    return {(one.check, one.subject): one for one in found.of("warning", "error", "not_checked")}


def versions(s3: Any, bucket: str) -> list[str]:
    found = s3.list_object_versions(Bucket=bucket)
    return [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in found.get(kind, ())]


@pytest.mark.slow
def test_a_stack_that_is_well_is_found_to_be_by_a_round_trip_too_of_which_nothing_is_left(
    stack, s3, style, manifest_when, monkeypatch
):
    s3.put_object(Bucket=stack.bucket, Key=f"styles/{style}/a.png", Body=b"a")
    manifest_when(style, lambda manifest: manifest["total_files"] == 1)
    for name, value in {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": stack.platform.endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(
        main, ["doctor", "--stack", STACK, "--collection", f"s3://{stack.bucket}/styles/{style}/", "--json"]
    )
    found = Examination.model_validate_json(result.stdout)
    # What other tests left in the dead-letter queue is found too.
    unwell = {one for one in wrong(found) if one[0] != "dead letters"}
    assert (unwell, result.exit_code) == (set(), found.exit_code)
    well = {one.check: one.found for one in found.of("ok")}
    assert {"notifications", "roles", "senders", "conditional writes", "manifests", "round trip"} <= set(well)
    assert "after the PUT, with its MD5; gone" in well["round trip"]
    assert [key for key in versions(s3, stack.bucket) if "__doctor" in key] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--stack", "no-such"], 3, "there is no stack no-such"),
        (["--stack", STACK, "--collection", "painting/16"], 2, "'painting/16' is not a collection"),
        (["--stack", STACK, "--collection", "actor/4711"], 3, "4711"),
    ],
)
def test_what_is_not_there_is_said_to_be_so(stack, arguments, code, words):
    result = CliRunner().invoke(
        main,
        ["doctor", *arguments, "--endpoint-url", stack.platform.endpoint, "--region", REGION],
        env={"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
    )
    assert (result.exit_code, words in result.output) == (code, True), result.output


def refused(**_: Any) -> tuple[Any, dict[str, Any]]:
    """AWS's answer to a request that a policy denies, instead of the request."""
    error = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    return SimpleNamespace(status_code=403), error


def test_what_is_refused_is_not_called_well_and_the_rest_is_checked(stack, s3):
    session = new_session()
    for operation in ("iam.SimulatePrincipalPolicy", "s3.GetBucketLifecycleConfiguration", "s3.ListObjectVersions"):
        session.events.register(f"before-call.{operation}", refused)
    found = examined(stack, STACK, session=session, go_round=False, collections=["style/none"])
    not_checked = {one.check: one.mend for one in found.of("not_checked")}
    assert not_checked == {
        "roles": "allow iam:SimulatePrincipalPolicy to whoever runs this",
        "lifecycle": "allow s3:GetLifecycleConfiguration to whoever runs this",
    }
    assert {"roles", "lifecycle"} & {one.check for one in found.of("ok", "notice")} == set()
    # What was written was deleted as far as could be.
    (left,) = [one for one in found.of("notice") if one.check == "clean-up"]
    assert left.mend == "allow s3:ListBucketVersions to whoever runs this"
    assert s3.list_objects_v2(Bucket=stack.bucket, Prefix="_manifests/__doctor/")["KeyCount"] == 0


def test_a_server_that_ignores_conditions_is_found(stack):
    def unconditional(params: dict[str, Any], **_: Any) -> None:
        for header in ("If-None-Match", "If-Match"):
            params["headers"].pop(header, None)

    session = new_session()
    session.events.register("before-call.s3.PutObject", unconditional)
    found = examined(stack, STACK, session=session, go_round=False, collections=["style/none"])
    (error,) = [one for one in found.of("error") if one.check == "conditional writes"]
    assert error.found.startswith("the server ignores If-None-Match: * and If-Match")


@pytest.fixture(scope="module")
def ailing(stack: Stack) -> Iterator[Stack]:
    """A stack of its own, over a bucket of its own, for these tests to break."""
    yield deploy(stack.platform, AILING, {"BucketName": "ailing-bucket"})
    cloudformation = stack.platform.client("cloudformation")
    cloudformation.delete_stack(StackName=AILING)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=AILING, WaiterConfig={"Delay": 1})


@pytest.fixture
def resources(ailing: Stack) -> dict[str, str]:
    found = ailing.platform.client("cloudformation").describe_stack_resources(StackName=AILING)["StackResources"]
    return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}


def configuration(s3: Any, bucket: str) -> dict[str, Any]:
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


@pytest.mark.slow
def test_a_lost_subscription_is_found_with_what_was_missed_and_fixed_beside_somebody_elses(ailing, s3, eventually):
    bucket = ailing.bucket
    for name in ("kept.png", "deleted.png"):
        s3.put_object(Bucket=bucket, Key=f"styles/1/{name}", Body=b"bytes")
    eventually(
        lambda: ailing.get("/api/s3/manifest", {"styleId": "1"}),
        lambda answer: answer.status == 200 and answer.body["total_files"] == 2,
    )
    # As if one had been killed.
    s3.put_object(Bucket=bucket, Key="styles/__doctor-1/doctor.bin", Body=b"left")
    found = examined(ailing)
    assert wrong(found) == {}
    left = {one.subject for one in found.of("notice") if one.check == "clean-up"}
    assert left == {"styles/__doctor-1/", "_manifests/styles/__doctor-1/"}

    usual = configuration(s3, bucket)
    queue = ailing.platform.client("sqs").create_queue(QueueName="theirs")["QueueUrl"].rpartition("/")[2]
    theirs = {
        "Id": "theirs",
        "QueueArn": f"arn:aws:sqs:{REGION}:000000000000:{queue}",
        "Events": ["s3:ObjectCreated:Put"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "styles/1"}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [theirs], "EventBridgeConfiguration": {}}
    )
    s3.put_object(Bucket=bucket, Key="styles/1/missed.png", Body=b"bytes")
    s3.delete_object(Bucket=bucket, Key="styles/1/deleted.png")

    found = wrong(examined(ailing))
    assert set(found) == {
        ("notifications", "styles/"),
        ("notifications", "system_actors/training_data/"),
        ("notifications", "theirs"),
        ("manifests", "style/1"),
        ("round trip", bucket),
    }
    assert found["notifications", "styles/"].mend == f"s3-manifest doctor --stack {AILING} --fix"
    assert "SNS topic" in found["notifications", "theirs"].mend
    assert found["manifests", "style/1"].found.startswith("2 files are not in S3 as the manifest says")
    assert found["round trip", bucket].severity == "not_checked"
    assert "theirs" in json.dumps(configuration(s3, bucket))

    fixed = examined(ailing, fix=True)
    assert {one.subject for one in fixed.fixed} == {"styles/", "system_actors/training_data/"}
    # An event that was missed is not brought back by it: that a sweep does, for which it has the command.
    assert set(wrong(fixed)) == {("manifests", "style/1")}
    now = configuration(s3, bucket)
    assert now["QueueConfigurations"] == [theirs, *usual["QueueConfigurations"]]
    assert now["EventBridgeConfiguration"] == {}
    (missed,) = [one for one in fixed.of("notice") if one.check == "notifications" and "aws sqs" in one.mend]
    body = missed.mend.rpartition("--message-body ")[2].strip("'")
    ailing.platform.client("sqs").send_message(QueueUrl=ailing.outputs["SweepQueueUrl"], MessageBody=body)
    eventually(lambda: set(wrong(examined(ailing, go_round=False))), lambda found: found == set(), seconds=60)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=usual)


@pytest.mark.slow
def test_a_stack_that_takes_its_changes_from_eventbridge_is_examined_and_fixed(stack, s3):
    name = "bridged"
    bridged = deploy(stack.platform, name, {"BucketName": "doctors-bridge", "EventSource": "EventBridge"})
    assert wrong(examined(bridged, name)) == {}
    events = stack.platform.client("events")

    def rules() -> list[str]:
        return [one["Name"] for one in events.list_rules()["Rules"] if one.get("EventPattern")]

    (rule,) = rules()
    events.disable_rule(Name=rule)
    events.remove_targets(Rule=rule, Ids=["changes"])
    s3.put_bucket_notification_configuration(Bucket=bridged.bucket, NotificationConfiguration={})
    unwatched = {("notifications", "styles/"), ("notifications", "system_actors/training_data/")}
    assert unwatched <= set(wrong(examined(bridged, name, go_round=False)))
    # The round trip too is well again.
    assert wrong(examined(bridged, name, fix=True)) == {}
    delete(stack.platform, name)
    assert rules() == []


@pytest.mark.slow
def test_a_topic_that_hands_on_to_the_queue_is_as_good_if_it_is_let_in(ailing, resources, s3):
    bucket, sqs, sns = ailing.bucket, ailing.platform.client("sqs"), ailing.platform.client("sns")
    usual = configuration(s3, bucket)
    topic = sns.create_topic(Name="fan-out")["TopicArn"]
    queue = usual["QueueConfigurations"][0]["QueueArn"]
    told = [
        {"Id": one["Id"] + "-by-topic", "TopicArn": topic, "Events": one["Events"], "Filter": one["Filter"]}
        for one in usual["QueueConfigurations"]
    ]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"TopicConfigurations": told})
    try:
        assert ("notifications", "styles/") in wrong(examined(ailing, go_round=False))
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
        found = wrong(examined(ailing))
        assert set(found) == {("senders", f"{AILING} ChangeQueue")}
        *_, attributes = shlex.split(found["senders", f"{AILING} ChangeQueue"].mend.partition(" (and")[0])
        sqs.set_queue_attributes(QueueUrl=resources["ChangeQueue"], Attributes=json.loads(attributes))
        assert wrong(examined(ailing)) == {}
    finally:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=usual)


@pytest.mark.slow
def test_a_round_trip_that_does_not_come_to_its_end_is_an_error_and_its_object_is_removed(
    ailing, resources, s3, eventually
):
    functions, mapping = ailing.platform.client("lambda"), resources["ReconcileFunctionChanges"]
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        found = examined(ailing, collections=["style/none"], limits=Limits(round_trip=2))
    finally:
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    (error,) = [one for one in found.of("error") if one.check == "round trip"]
    assert error.found == "it was put, and the manifest did not show it within 2 s"
    # Its events come late, and are told of.
    (left,) = [one for one in found.of("notice") if one.check == "clean-up"]
    prefix = left.subject.removeprefix("_manifests/")
    assert prefix.startswith("styles/__doctor-")
    assert s3.list_objects_v2(Bucket=ailing.bucket, Prefix=prefix)["KeyCount"] == 0
    eventually(
        lambda: s3.list_objects_v2(Bucket=ailing.bucket, Prefix=left.subject)["KeyCount"], lambda count: count > 0
    )
    again = examined(ailing, go_round=False)
    assert left.subject in {one.subject for one in again.of("notice") if one.check == "clean-up"}


@pytest.mark.slow
def test_whatever_else_is_broken_is_found(ailing, resources, s3):
    client, bucket = ailing.platform.client, ailing.bucket
    root_rule = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [root_rule]})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=bucket, Key="_manifests/styles/broken/manifest.json", Body=b"{")
    encrypted = {
        "Sid": "Encrypted",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [encrypted]}))
    client("sqs").send_message(QueueUrl=resources["DeadLetterQueue"], MessageBody='{"job":"sweep_all"}')
    client("sqs").set_queue_attributes(QueueUrl=resources["SweepQueue"], Attributes={"Policy": ""})
    functions = client("lambda")
    functions.put_function_concurrency(FunctionName=resources["QueryFunction"], ReservedConcurrentExecutions=0)
    functions.update_event_source_mapping(UUID=resources["SweepFunctionJobs"], Enabled=False)
    client("events").disable_rule(Name=resources["SweepRule"])
    client("cloudwatch").set_alarm_state(AlarmName=resources["DriftAlarm"], StateValue="ALARM", StateReason="3.0 > 0.0")
    role = resources["EditFunctionRole"]
    iam = client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)

    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)

    found = wrong(examined(ailing, collections=["style/broken"]))
    expected = {
        ("lifecycle", "_manifests/"): "leaves '_manifests/' out",
        ("versioning", bucket): "Status=Enabled",
        ("manifests", "style/broken"): '"rebuild": true',
        ("dead letters", f"{AILING} DeadLetterQueue"): "start-message-move-task",
        ("bucket policy", "Encrypted"): "aws:PrincipalArn",
        ("senders", f"{AILING} SweepQueue"): "set-queue-attributes",
        ("functions", "QueryFunction"): "delete-function-concurrency",
        ("event source mappings", "SweepFunction"): "--enabled",
        ("encryption", bucket): f"KmsKeyArn={key}",
        ("schedule", AILING): "enable-rule",
        ("alarms", resources["DriftAlarm"]): "describe-alarm-history",
        ("roles", "EditFunction"): "allow it in the policies",
    }
    assert set(found) == set(expected)
    assert [key for key, mend in expected.items() if mend not in found[key].mend] == []
    assert "a sweep of all" in found["dead letters", f"{AILING} DeadLetterQueue"].found

    # It was only looked at.
    counts = ["ApproximateNumberOfMessages"]
    left = client("sqs").get_queue_attributes(QueueUrl=resources["DeadLetterQueue"], AttributeNames=counts)
    assert left["Attributes"] == {"ApproximateNumberOfMessages": "1"}
