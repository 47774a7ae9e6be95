"""The EventBridge rule of a stack that takes its bucket's changes from there, and what is found wrong with it."""

import json

import pytest
from client.doctor_values import DEPLOYED, deployed

from s3_manifest.subscription import event_rule
from s3_manifest_cli.client.doctor.bucket_checks import wanted
from s3_manifest_cli.client.doctor.checks import event_routes, permissions

STACK = deployed(EventSource="EventBridge")._replace(guid="0000-1111")
WANTED = wanted(STACK)
RULE = {"State": "ENABLED", "EventPattern": event_rule.pattern("bucket", ["actors/", "styles/"])}
ON = {"EventBridgeConfiguration": {}}
QUEUE = STACK.queue_arn("ChangeQueue")


def found(configuration=ON, rule=RULE, targets=(QUEUE,)):
    return event_routes.judge(configuration, WANTED, STACK, rule, targets)


def test_a_rule_that_sends_every_change_is_well():
    assert [(one.severity, one.subject) for one in found()] == [("ok", "actors/"), ("ok", "styles/")]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"configuration": {}}, "sends no events to EventBridge"),
        ({"rule": None}, "has no rule s3-manifest-0000-1111-"),
        ({"rule": RULE | {"State": "DISABLED"}}, "is disabled"),
        (
            {"rule": RULE | {"EventPattern": event_rule.pattern("bucket", ["styles/"])}},
            "is not that of the collections",
        ),
        ({"targets": []}, "does not send to the change queue"),
        ({"targets": [QUEUE + "-of-theirs"]}, "does not send to the change queue"),
    ],
)
def test_a_rule_that_does_not_is_an_error_for_each_prefix_that_fix_mends(broken, words):
    findings = found(**broken)
    assert [(one.severity, one.subject) for one in findings] == [("error", "actors/"), ("error", "styles/")]
    assert all(words in one.found and one.mend == WANTED.fix for one in findings)


def test_notifications_that_were_left_beside_the_rule_are_told():
    left = {"Id": "s3-manifest-it-0", "QueueArn": QUEUE, "Events": ["s3:ObjectCreated:*"]}
    findings = found({**ON, "QueueConfigurations": [left]})
    assert ("notice", "s3-manifest-it-0") in {(one.severity, one.subject) for one in findings}


@pytest.mark.parametrize(("source", "severity"), [("rule", "ok"), ("bucket", "error")])
def test_event_bridge_has_to_be_let_in_and_not_s3(source, severity):
    name = event_routes.rule_name(STACK)
    service, arn = {
        "rule": ("events.amazonaws.com", f"arn:aws:events:us-east-1:1:rule/{name}"),
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
    (changes, _) = permissions.judge_senders(STACK, {"ChangeQueue": policy, "SweepQueue": {}})
    assert changes.severity == severity


def test_a_stack_that_takes_notifications_has_no_such_rule():
    assert not DEPLOYED.uses_event_bridge
