"""Queues, functions, roles and alarms of a deployed stack, and what is found wrong with them."""

import json
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from client.doctor_values import DEPLOYED, deployed

from s3_manifest.manifest.jobs import Sweep, SweepAll, encode_job
from s3_manifest_cli.client.doctor.checks import functions, permissions, queues
from s3_manifest_cli.client.doctor.checks.permissions import needs
from s3_manifest_cli.client.doctor.checks.queues import Letter, Queue, about
from s3_manifest_cli.client.doctor.deployed import FUNCTIONS
from s3_manifest_cli.client.doctor.stack_checks import stack
from s3_manifest_cli.local_stack.stack import template

WELL = {
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "VisibilityTimeout": "360",
    "RedrivePolicy": '{"deadLetterTargetArn": "dead", "maxReceiveCount": 5}',
}
QUEUE = Queue("changes", WELL, "dead", 60, None, 300, "URL")


def severities(found):
    return [one.severity for one in found]


@pytest.mark.parametrize(
    ("attributes", "more", "expected", "mend"),
    [
        ({}, {}, ["ok"], ""),
        ({"ApproximateNumberOfMessages": "7"}, {"oldest": 299.0}, ["ok"], ""),
        ({"ApproximateNumberOfMessages": "7"}, {"oldest": 301.0}, ["warning"], "log"),
        ({"RedrivePolicy": ""}, {}, ["error"], "RedrivePolicy"),
        ({"RedrivePolicy": '{"deadLetterTargetArn": "other", "maxReceiveCount": 5}'}, {}, ["error"], "dead"),
        ({"RedrivePolicy": '{"deadLetterTargetArn": "dead", "maxReceiveCount": 1}'}, {}, ["error"], "5"),
        ({"VisibilityTimeout": "30"}, {}, ["warning"], "VisibilityTimeout=360"),
    ],
)
def test_a_queue_is_judged_by_how_it_is_set_and_what_waits(attributes, more, expected, mend):
    found = queues.judge(QUEUE._replace(attributes=WELL | attributes, **more))
    assert severities(found) == expected
    assert mend in found[0].mend


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
        ('{"Event": "s3:TestEvent"}', "a test message of S3's"),
        ("hello", "malformed (not JSON: expected value at line 1 column 1)"),
    ],
)
def test_a_dead_letter_is_told_by_what_it_is_about(body, expected):
    assert about(body) == expected


def test_dead_letters_are_counted_dated_and_to_be_redriven():
    letters = [Letter("a.png", datetime(2026, 3, 2, tzinfo=UTC)), Letter("b.png", datetime(2026, 3, 1, tzinfo=UTC))]
    (found,) = queues.judge_dead("dead", "ARN", 12, letters, ["log"])
    assert found.severity == "error"
    assert found.found.startswith("messages that failed 5 times wait here, 12 in all: ")
    assert "a.png, b.png; the oldest is of 2026-03-01T00:00:00.000Z, and gone on 2026-03-15" in found.found
    assert "start-message-move-task --source-arn ARN" in found.mend
    assert severities(queues.judge_dead("dead", "ARN", 0, [], ["log"])) == ["ok"]
    # Somebody else is looking at it.
    assert severities(queues.judge_dead("dead", "ARN", 1, [], ["log"])) == ["error"]


ENVIRONMENT = {
    "BUCKET": "bucket",
    "COLLECTIONS": DEPLOYED.parameters["Collections"],
    "MANIFEST_ROOT": "_manifests/",
}


@pytest.mark.parametrize(
    ("configured", "environment", "reserved", "expected"),
    [
        ({}, {}, None, []),
        # What was not called for weeks is.
        ({"State": "Inactive"}, {}, 5, []),
        ({"State": "Failed", "StateReason": "no such layer"}, {}, None, ["error"]),
        ({"LastUpdateStatus": "Failed"}, {}, None, ["warning"]),
        ({}, {}, 0, ["error"]),
        ({}, {"BUCKET": "another"}, None, ["error"]),
        ({}, {"COLLECTIONS": "style=styles/{style_id}/"}, None, ["error"]),
    ],
)
def test_a_function_is_judged_by_its_state_and_its_settings(configured, environment, reserved, expected):
    given = {"FunctionName": "f", "Environment": {"Variables": ENVIRONMENT | environment}} | configured
    assert severities(functions.judge(DEPLOYED, "ReconcileFunction", given, reserved)) == expected


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
def test_a_mapping_is_judged_by_whether_messages_come_and_failures_count(mapping, expected):
    assert severities(functions.judge_mapping("ReconcileFunction", mapping, "queue", "uuid")) == expected


@pytest.mark.parametrize(
    ("schedule", "rule", "expected"),
    [
        ("rate(1 day)", {"State": "ENABLED", "Name": "r"}, "ok"),
        ("rate(1 day)", {"State": "DISABLED", "Name": "r"}, "warning"),
        ("rate(1 day)", None, "error"),
        ("", None, "notice"),
    ],
)
def test_a_schedule_begins_sweeps_or_does_not(schedule, rule, expected):
    assert severities(functions.judge_rule(deployed(SweepSchedule=schedule), rule)) == [expected]


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
def test_how_long_it_is_at_most_between_two_sweeps(schedule, days):
    assert functions.longest_pause(schedule) == timedelta(days=days)


def test_without_a_schedule_no_pause_is_too_long():
    assert functions.longest_pause("") is None


def test_alarms_that_went_off_are_gone_silent_or_notify_nobody_are_told_of():
    alarm = {
        "AlarmName": "it-DriftAlarm",
        "AlarmDescription": "events were lost",
        "StateValue": "ALARM",
        "StateReason": "1 datapoint was 3.0",
        "StateUpdatedTimestamp": datetime(2026, 3, 1, tzinfo=UTC),
    }
    (found,) = functions.judge_alarms(DEPLOYED, [alarm])
    assert (found.severity, found.found) == ("warning", "events were lost, since 2026-03-01T00:00:00.000Z")
    quiet = alarm | {"StateValue": "INSUFFICIENT_DATA"}
    assert severities(functions.judge_alarms(DEPLOYED, [quiet])) == ["ok"]
    assert severities(functions.judge_alarms(DEPLOYED, [quiet | {"ActionsEnabled": False}])) == ["notice"]
    assert severities(functions.judge_alarms(DEPLOYED, [])) == ["warning"]
    assert severities(functions.judge_alarms(deployed(AlarmTopicArn=""), [quiet])) == ["notice"]


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
def test_a_stack_is_judged_by_how_its_last_deployment_went(status, expected):
    assert severities(stack(None, DEPLOYED._replace(status=status))) == [expected]


def policy(queue, service, arn, **more):
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": DEPLOYED.queue_arn(queue),
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
def test_who_may_send_is_told_by_the_queues_policies(change, sweep, expected):
    assert severities(permissions.judge_senders(DEPLOYED, {"ChangeQueue": change, "SweepQueue": sweep})) == expected


def test_the_mend_of_a_policy_keeps_what_others_put_there_and_mends_it():
    theirs = policy("ChangeQueue", "sns.amazonaws.com", "*", Sid="Theirs")
    (found, _) = permissions.judge_senders(DEPLOYED, {"ChangeQueue": theirs, "SweepQueue": RULE_SENDS})
    command = shlex.split(found.mend.partition(" (and")[0])
    attributes = json.loads(command[-1])
    assert "Theirs" in attributes["Policy"]
    assert severities(permissions.judge_senders(DEPLOYED, {"ChangeQueue": attributes, "SweepQueue": RULE_SENDS})) == [
        "ok",
        "ok",
    ]


def test_what_roles_are_asked_for_is_what_the_template_gives_them():
    given, asked_for = set(), set()
    for function in FUNCTIONS:
        (policy,) = template()["Resources"][function]["Properties"]["Policies"]
        for one in policy["Statement"]:
            statement = one["Fn::If"][1] if "Fn::If" in one else one
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            given |= {(function, action, statement["Effect"] == "Allow") for action in actions}
    for need in needs(deployed(KmsKeyArn="arn:aws:kms:us-east-1:1:key/k", EventSource="EventBridge")):
        asked_for |= {(need.function, action, need.granted) for action in need.actions}
    # SAM itself gives a function what its queue takes; one that drains it has some of that from the template too.
    taken = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    assert {one for one in asked_for if one[1] not in taken} == {one for one in given if one[1] not in taken}


def test_what_the_simulator_denies_is_found_and_what_it_should_deny():
    reading = next(n for n in needs(DEPLOYED) if n.function == "QueryFunction" and "s3:GetObject" in n.actions)
    writing = next(n for n in needs(DEPLOYED) if not n.granted)

    def found(need, decision, **more):
        result = {"EvalActionName": need.actions[0], "EvalDecision": decision, **more}
        return permissions.judge_simulated(need, "ROLE", [result])

    assert found(reading, "allowed") == found(writing, "explicitDeny") == found(writing, "implicitDeny") == []
    (denied,) = found(reading, "implicitDeny", OrganizationsDecisionDetail={"AllowedByOrganizations": False})
    assert denied.found.endswith("is not allowed by the organization's policies")
    assert severities(found(writing, "allowed")) == ["warning"]
