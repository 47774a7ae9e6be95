"""The checks of the queues, functions, roles and alarms of a deployed stack."""

import json
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from client.doctor_values import STACK, stack_with

from s3_manifest.manifest.jobs import Sweep, SweepAll, encode_job
from s3_manifest_cli.client.doctor.checks import functions, permissions, queues
from s3_manifest_cli.client.doctor.checks.permissions import needs
from s3_manifest_cli.client.doctor.checks.queues import describe
from s3_manifest_cli.client.doctor.stack import FUNCTIONS
from s3_manifest_cli.client.doctor.stack_checks import CHECKS
from s3_manifest_cli.local_stack.stack import template

DEAD_LETTERS = STACK.queue_arn("DeadLetterQueue")
HEALTHY = {
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "VisibilityTimeout": "360",
    "RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD_LETTERS, "maxReceiveCount": 5}),
}


def severities(findings):
    return [finding.severity for finding in findings]


@pytest.mark.parametrize(
    ("attributes", "oldest", "expected", "remedy"),
    [
        ({}, None, ["ok"], ""),
        ({"ApproximateNumberOfMessages": "7"}, 299.0, ["ok"], ""),
        ({"ApproximateNumberOfMessages": "7"}, 301.0, ["warning"], "log"),
        ({"RedrivePolicy": ""}, None, ["error"], "RedrivePolicy"),
        (
            {"RedrivePolicy": '{"deadLetterTargetArn": "other", "maxReceiveCount": 5}'},
            None,
            ["error"],
            DEAD_LETTERS,
        ),
        (
            {"RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD_LETTERS, "maxReceiveCount": 1})},
            None,
            ["error"],
            "5",
        ),
        ({"VisibilityTimeout": "30"}, None, ["warning"], "VisibilityTimeout=360"),
    ],
)
def test_a_queue_is_checked_for_its_settings_and_its_backlog(attributes, oldest, expected, remedy):
    findings = queues.check(STACK, "ChangeQueue", HEALTHY | attributes, 60, oldest)
    assert severities(findings) == expected
    assert remedy in findings[0].mend


RECORD = {
    "eventVersion": "2.1",
    "eventSource": "aws:s3",
    "eventName": "ObjectCreated:Put",
    "s3": {"bucket": {"name": "b"}, "object": {"key": "a+b.png"}},
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps({"Records": [RECORD]}), "a b.png (ObjectCreated:Put)"),
        (json.dumps({"Records": [RECORD] * 7}), ", ".join(["a b.png (ObjectCreated:Put)"] * 5) + " and 2 more"),
        (encode_job(Sweep(kind="style", id="16")), "a sweep of style/16"),
        (encode_job(SweepAll()), "a sweep of all"),
        ('{"Event": "s3:TestEvent"}', "a test message of S3"),
        ("hello", "malformed (not JSON: expected value at line 1 column 1)"),
    ],
)
def test_a_dead_letter_is_described_by_its_content(body, expected):
    assert describe(body) == expected


def test_dead_letters_are_reported_with_count_dates_and_the_redrive_command():
    letters = [
        (datetime(2026, 3, 2, tzinfo=UTC), "a.png"),
        (datetime(2026, 3, 1, tzinfo=UTC), "b.png"),
    ]
    found = queues.check_dead_letters(STACK, 12, letters)
    assert found.severity == "error"
    assert found.found.startswith("messages failed 5 times, 12 in all: ")
    assert "a.png, b.png; the oldest was sent at 2026-03-01T00:00:00.000Z and expires on 2026-03-15" in found.found
    assert "start-message-move-task --source-arn arn:aws:sqs:us-east-1:1:it-DeadLetterQueue" in found.mend
    assert queues.check_dead_letters(STACK, 0, []).severity == "ok"
    # Another consumer is reading it.
    assert queues.check_dead_letters(STACK, 1, []).severity == "error"


ENVIRONMENT = {
    "BUCKET": "bucket",
    "COLLECTIONS": STACK.parameters["Collections"],
    "MANIFEST_ROOT": "_manifests/",
}


@pytest.mark.parametrize(
    ("changes", "environment", "reserved", "expected"),
    [
        ({}, {}, None, []),
        # A function that was not invoked for weeks is inactive.
        ({"State": "Inactive"}, {}, 5, []),
        ({"State": "Failed", "StateReason": "no such layer"}, {}, None, ["error"]),
        ({"LastUpdateStatus": "Failed"}, {}, None, ["warning"]),
        ({}, {}, 0, ["error"]),
        ({}, {"BUCKET": "another"}, None, ["error"]),
        ({}, {"COLLECTIONS": "style=styles/{style_id}/"}, None, ["error"]),
    ],
)
def test_a_function_is_checked_for_its_state_and_its_settings(changes, environment, reserved, expected):
    configuration = {"FunctionName": "f", "Environment": {"Variables": ENVIRONMENT | environment}} | changes
    assert severities(functions.check(STACK, "ReconcileFunction", configuration, reserved)) == expected


MAPPING = {"State": "Enabled", "EventSourceArn": "queue", "FunctionResponseTypes": ["ReportBatchItemFailures"]}


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        (MAPPING, []),
        (None, ["error"]),
        (MAPPING | {"State": "Disabled"}, ["error"]),
        (MAPPING | {"EventSourceArn": "other"}, ["error"]),
        (MAPPING | {"FunctionResponseTypes": []}, ["error"]),
        (MAPPING | {"LastProcessingResult": "PROBLEM: Function call failed"}, ["warning"]),
        (MAPPING | {"LastProcessingResult": "OK"}, []),
    ],
)
def test_a_mapping_is_checked_for_delivery_and_failure_reports(mapping, expected):
    assert severities(functions.check_mapping("ReconcileFunction", mapping, "queue", "uuid")) == expected


@pytest.mark.parametrize(
    ("schedule", "rule", "expected"),
    [
        ("rate(1 day)", {"State": "ENABLED", "Name": "r"}, "ok"),
        ("rate(1 day)", {"State": "DISABLED", "Name": "r"}, "warning"),
        ("rate(1 day)", None, "error"),
        ("", None, "notice"),
    ],
)
def test_a_schedule_is_checked_for_whether_it_starts_sweeps(schedule, rule, expected):
    assert functions.check_schedule(stack_with(SweepSchedule=schedule), rule).severity == expected


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        ("rate(1 day)", 1),
        ("rate(12 hours)", 0.5),
        ("rate(90 minutes)", 1 / 16),
        ("cron(0 3 * * ? *)", 1),
        ("cron(0 3 ? * MON-FRI *)", 7),
        ("cron(0 3 1 * ? *)", 31),
        ("cron(0 3 1 6 ? *)", 366),
    ],
)
def test_the_longest_time_between_two_sweeps(schedule, days):
    assert functions.sweep_interval(schedule) == timedelta(days=days)


def test_without_a_schedule_the_sweep_interval_is_unknown():
    assert functions.sweep_interval("") is None


def test_triggered_missing_disabled_and_unnotified_alarms_are_reported():
    alarm = {
        "AlarmName": "it-DriftAlarm",
        "AlarmDescription": "events were lost",
        "StateValue": "ALARM",
        "StateReason": "1 datapoint was 3.0",
        "StateUpdatedTimestamp": datetime(2026, 3, 1, tzinfo=UTC),
    }
    (found,) = functions.check_alarms(STACK, [alarm])
    assert (found.severity, found.found) == (
        "warning",
        "events were lost, since 2026-03-01T00:00:00.000Z (1 datapoint was 3.0)",
    )
    quiet = alarm | {"StateValue": "INSUFFICIENT_DATA"}
    assert severities(functions.check_alarms(STACK, [quiet])) == ["ok"]
    assert severities(functions.check_alarms(STACK, [quiet | {"ActionsEnabled": False}])) == ["notice"]
    assert severities(functions.check_alarms(STACK, [])) == ["warning"]
    assert severities(functions.check_alarms(stack_with(AlarmTopicArn=""), [quiet])) == ["notice"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("CREATE_COMPLETE", "ok"),
        ("UPDATE_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warning"),
        ("UPDATE_ROLLBACK_COMPLETE", "notice"),
        ("UPDATE_ROLLBACK_FAILED", "error"),
        ("DELETE_FAILED", "error"),
    ],
)
def test_a_stack_is_checked_for_its_last_deployment(status, expected):
    assert severities(CHECKS["stack"](None, STACK._replace(status=status))) == [expected]


def policy(queue, service, arn, **more):
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": STACK.queue_arn(queue),
        "Condition": {"StringEquals": {"aws:SourceAccount": "1"}, "ArnLike": {"aws:SourceArn": arn}},
    }
    return {"Policy": json.dumps({"Statement": [statement | more]})}


S3_SENDS = policy("ChangeQueue", "s3.amazonaws.com", "arn:aws:s3:::bucket")
RULE_SENDS = policy("SweepQueue", "events.amazonaws.com", "arn:aws:events:us-east-1:1:rule/it-SweepRule")


@pytest.mark.parametrize(
    ("change", "sweep", "expected"),
    [
        (S3_SENDS, RULE_SENDS, ["ok", "ok"]),
        ({}, RULE_SENDS, ["error", "ok"]),
        (policy("ChangeQueue", "s3.amazonaws.com", "arn:aws:s3:::another"), RULE_SENDS, ["error", "ok"]),
        (policy("SweepQueue", "s3.amazonaws.com", "arn:aws:s3:::bucket"), RULE_SENDS, ["error", "ok"]),
        (policy("ChangeQueue", "s3.amazonaws.com", "*", Effect="Deny"), RULE_SENDS, ["error", "ok"]),
        (S3_SENDS, {}, ["ok", "error"]),
        (
            policy("ChangeQueue", "s3.amazonaws.com", "*", Condition={"StringEquals": {"aws:SourceOrgID": "o-1"}}),
            RULE_SENDS,
            ["notice", "ok"],
        ),
        (S3_SENDS | {"KmsMasterKeyId": "alias/aws/sqs"}, RULE_SENDS, ["ok", "warning", "ok"]),
    ],
)
def test_senders_are_checked_with_the_queues_policies(change, sweep, expected):
    assert severities(permissions.check_senders(STACK, {"ChangeQueue": change, "SweepQueue": sweep})) == expected


def test_the_remedy_for_a_policy_keeps_the_statements_of_others_and_passes_the_check():
    theirs = policy("ChangeQueue", "sns.amazonaws.com", "*", Sid="Theirs")
    (found, _) = permissions.check_senders(STACK, {"ChangeQueue": theirs, "SweepQueue": RULE_SENDS})
    command = shlex.split(found.mend)
    attributes = json.loads(command[-1])
    assert "Theirs" in attributes["Policy"]
    assert severities(permissions.check_senders(STACK, {"ChangeQueue": attributes, "SweepQueue": RULE_SENDS})) == [
        "ok",
        "ok",
    ]


def test_the_checked_permissions_are_those_of_the_template():
    granted, checked = set(), set()
    for function in FUNCTIONS:
        (policy,) = template()["Resources"][function]["Properties"]["Policies"]
        for item in policy["Statement"]:
            statement = item["Fn::If"][1] if "Fn::If" in item else item
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            granted |= {(function, action, statement["Effect"] == "Allow") for action in actions}
    for need in needs(stack_with(KmsKeyArn="arn:aws:kms:us-east-1:1:key/k", EventSource="EventBridge")):
        checked |= {(need.function, action, need.granted) for action in need.actions}
    # SAM itself grants what a queue's consumer needs; the function that drains the queue has some from the template.
    consume = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    assert {need for need in checked if need[1] not in consume} == {need for need in granted if need[1] not in consume}


def test_missing_and_excess_permissions_of_the_simulation_are_reported():
    reading = next(n for n in needs(STACK) if n.function == "QueryFunction" and "s3:GetObject" in n.actions)
    writing = next(n for n in needs(STACK) if not n.granted)

    def found(need, decision, **more):
        result = {"EvalActionName": need.actions[0], "EvalDecision": decision, **more}
        return list(permissions.check_simulation(need, "ROLE", [result]))

    assert found(reading, "allowed") == found(writing, "explicitDeny") == found(writing, "implicitDeny") == []
    (denied,) = found(reading, "implicitDeny", OrganizationsDecisionDetail={"AllowedByOrganizations": False})
    assert denied.found.endswith("is not allowed by the organization's policies")
    assert severities(found(writing, "allowed")) == ["warning"]
