"""The checks of a stack whose changes come through EventBridge."""

import json

import pytest
from client.doctor_values import STACK as PLAIN_STACK
from client.doctor_values import stack_with

from s3_manifest.subscription import event_rule
from s3_manifest_cli.client.doctor.checks import notifications, permissions

STACK = stack_with(EventSource="EventBridge")._replace(guid="0000-1111")
RULE = {"State": "ENABLED", "EventPattern": event_rule.pattern("bucket", ["actors/", "styles/"])}
ON = {"EventBridgeConfiguration": {}}
QUEUE = STACK.queue_arn("ChangeQueue")


def findings_of(configuration=ON, rule=RULE, targets=(QUEUE,)):
    return notifications.check_event_rule(configuration, STACK, rule, targets)


def test_a_rule_that_sends_every_change_is_ok():
    assert [(finding.severity, finding.subject) for finding in findings_of()] == [("ok", "actors/"), ("ok", "styles/")]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"configuration": {}}, "sends no events to EventBridge"),
        ({"rule": None}, "EventBridge rule s3-manifest-0000-1111-"),
        ({"rule": RULE | {"State": "DISABLED"}}, "is disabled"),
        (
            {"rule": RULE | {"EventPattern": event_rule.pattern("bucket", ["styles/"])}},
            "has another pattern than the collections need",
        ),
        ({"targets": []}, "does not send to the change queue"),
        ({"targets": [QUEUE + "-of-theirs"]}, "does not send to the change queue"),
    ],
)
def test_a_broken_rule_is_an_error_for_each_prefix_that_fix_repairs(broken, words):
    findings = findings_of(**broken)
    assert [(finding.severity, finding.subject) for finding in findings] == [("error", "actors/"), ("error", "styles/")]
    assert all(words in finding.found and finding.mend == STACK.fix_command for finding in findings)


def test_notifications_beside_the_rule_are_a_notice():
    left = {"Id": "s3-manifest-it-0", "QueueArn": QUEUE, "Events": ["s3:ObjectCreated:*"]}
    findings = findings_of({**ON, "QueueConfigurations": [left]})
    assert ("notice", "s3-manifest-it-0") in {(finding.severity, finding.subject) for finding in findings}


@pytest.mark.parametrize(("source", "severity"), [("rule", "ok"), ("bucket", "error")])
def test_the_queue_policy_has_to_allow_eventbridge_instead_of_s3(source, severity):
    service, arn = {
        "rule": ("events.amazonaws.com", f"arn:aws:events:us-east-1:1:rule/{STACK.rule_name}"),
        "bucket": ("s3.amazonaws.com", "arn:aws:s3:::bucket"),
    }[source]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {"ArnLike": {"aws:SourceArn": arn}},
    }
    policy = {"Policy": json.dumps({"Statement": [statement]})}
    (changes, _) = permissions.check_senders(STACK, {"ChangeQueue": policy, "SweepQueue": {}})
    assert changes.severity == severity


def test_a_stack_with_notifications_has_no_rule():
    assert not PLAIN_STACK.uses_event_bridge
