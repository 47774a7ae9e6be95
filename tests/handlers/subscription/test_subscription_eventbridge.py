"""The subscription function with EventSource=EventBridge."""

import json
from typing import Any

import pytest
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import BUCKET, Context, sqs_event_of
from handlers.subscription.test_subscription import OTHERS, PROPERTIES, cloudformation, configuration, deny, prefixes
from moto.s3.responses import S3Response

import reconcile_handler
from s3_manifest.manifest.jobs import SweepAll, decode_job
from s3_manifest.subscription import event_rule

__all__ = ["cloudformation"]

BRIDGE = {"EventSource": "EventBridge"}
NOTIFY = {"EventSource": "Notifications"}
RULE = event_rule.name(PROPERTIES["RulePrefix"], BUCKET)
ON: dict[str, Any] = {"EventBridgeConfiguration": {}}
UNANSWERED = "images-Subscription-1XKJ0ZP7QW2M3"


@pytest.fixture(autouse=True)
def eventbridge_in_responses(monkeypatch):
    """Makes moto return the EventBridge setting of a bucket, which it only stores."""
    serialized = S3Response.serialized

    def complete(self, result):
        if self.data.get("Action") == "GetBucketNotificationConfiguration":
            stored = self.backend.get_bucket_notification_configuration(self.bucket_name)
            if stored.event_bridge is not None:
                result.result["EventBridgeConfiguration"] = {}
        return serialized(self, result)

    monkeypatch.setattr(S3Response, "serialized", complete)


def rules(account) -> dict[str, list[str]]:
    """Returns the prefixes of the stack's rules, by name."""
    patterns = {rule["Name"]: json.loads(rule["EventPattern"]) for rule in account.events.list_rules()["Rules"]}
    ours = {name: pattern for name, pattern in patterns.items() if name.startswith(PROPERTIES["RulePrefix"])}
    return {name: [key["prefix"] for key in pattern["detail"]["object"]["key"]] for name, pattern in ours.items()}


def enable_eventbridge(account, bucket: str = BUCKET) -> None:
    account.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=ON)


def test_create_adds_the_rule_enables_eventbridge_and_keeps_the_other_settings(account, cloudformation):
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    before = configuration(account)
    assert cloudformation.request("Create", **BRIDGE)["Status"] == "SUCCESS"
    assert configuration(account) == before | ON
    assert rules(account) == {RULE: ["styles/", "system_actors/training_data/"]}
    (target,) = account.events.list_targets_by_rule(Rule=RULE)["Targets"]
    assert target["Arn"] == account.queue_arn


def test_a_change_reaches_the_queue_and_the_manifest(account, cloudformation):
    cloudformation.request("Create", **BRIDGE)
    account.put("styles/16/a 50%25+.png")
    account.put("elsewhere/a.png")
    received = account.received()
    # moto sends the detail type "ObjectCreated:Put" instead of "Object Created".
    for message in received:
        message["Body"] = json.dumps(json.loads(message["Body"]) | {"detail-type": "Object Created"})
    assert failed_ids(reconcile_handler.handler(sqs_event_of(received), Context())) == []
    assert list(account.files("styles/16/")) == ["a 50%25+.png"]


def test_delete_disables_eventbridge_if_create_enabled_it(account, cloudformation):
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    before = configuration(account)
    cloudformation.request("Create", **BRIDGE)
    cloudformation.request("Update", BUCKET, old=BRIDGE, **BRIDGE, Collections="cat=cats/{cat_id}/")
    assert rules(account) == {RULE: ["cats/"]}
    assert cloudformation.request("Delete", BUCKET, **BRIDGE)["Status"] == "SUCCESS"
    assert (configuration(account), rules(account)) == (before, {})


def test_delete_keeps_eventbridge_on_if_it_was_on_before(account, cloudformation):
    enable_eventbridge(account)
    cloudformation.request("Create", **BRIDGE)
    cloudformation.request("Update", BUCKET, old=BRIDGE, **BRIDGE)
    cloudformation.request("Delete", BUCKET, **BRIDGE)
    assert (configuration(account), rules(account)) == (ON, {})


def test_delete_keeps_eventbridge_on_if_another_rule_needs_it(account, cloudformation):
    cloudformation.request("Create", **BRIDGE)
    account.events.put_rule(Name="theirs", EventPattern='{"source": ["aws.s3"]}')
    cloudformation.request("Delete", BUCKET, **BRIDGE)
    assert (configuration(account), rules(account)) == (ON, {})


def test_a_second_stack_still_receives_events_when_the_first_is_deleted(account, cloudformation):
    second = BRIDGE | {"RulePrefix": "s3-manifest-99aa", "Name": "s3-manifest-second"}
    cloudformation.request("Create", **BRIDGE)
    cloudformation.request("Create", **second)
    cloudformation.request("Delete", BUCKET, **BRIDGE)
    assert configuration(account) == ON


def test_a_rule_for_another_bucket_does_not_keep_eventbridge_on(account, cloudformation):
    cloudformation.request("Create", **BRIDGE)
    pattern = '{"source": ["aws.s3"], "detail": {"bucket": {"name": ["another"]}}}'
    account.events.put_rule(Name="theirs", EventPattern=pattern)
    account.events.put_rule(Name="nightly", ScheduleExpression="rate(1 day)")
    cloudformation.request("Delete", BUCKET, **BRIDGE)
    assert configuration(account) == {}


def test_switching_the_event_source_leaves_exactly_one_subscription(account, cloudformation):
    cloudformation.request("Create")
    notified = configuration(account)
    for new, old, expected in (
        (BRIDGE, NOTIFY, (ON, {RULE: ["styles/", "system_actors/training_data/"]})),
        (NOTIFY, BRIDGE, (notified, {})),
        (BRIDGE, NOTIFY, (ON, {RULE: ["styles/", "system_actors/training_data/"]})),
    ):
        assert cloudformation.request("Update", BUCKET, old=old, **new)["Status"] == "SUCCESS"
        assert (configuration(account), rules(account)) == expected
    cloudformation.request("Delete", BUCKET, **BRIDGE)
    assert (configuration(account), rules(account)) == ({}, {})


def test_the_switch_is_one_write_so_that_the_bucket_always_reports_its_changes(account, cloudformation):
    cloudformation.request("Create")
    written = len(account.sent("PUT"))
    cloudformation.request("Update", BUCKET, old=NOTIFY, **BRIDGE)
    cloudformation.request("Update", BUCKET, old=BRIDGE, **NOTIFY)
    forth, back = account.sent("PUT")[written:]
    assert (b"EventBridgeConfiguration" in forth.body, b"QueueConfiguration" in forth.body) == (True, False)
    assert (b"EventBridgeConfiguration" in back.body, b"QueueConfiguration" in back.body) == (False, True)


def test_a_move_to_another_bucket_removes_the_old_buckets_rule_and_setting(account, cloudformation):
    account.make_bucket("second")
    cloudformation.request("Create", **BRIDGE)
    assert cloudformation.request("Update", BUCKET, old=BRIDGE, **BRIDGE, Bucket="second")["Status"] == "SUCCESS"
    assert cloudformation.request("Delete", BUCKET, **BRIDGE)["Status"] == "SUCCESS"
    assert list(rules(account)) == [event_rule.name(PROPERTIES["RulePrefix"], "second")]
    assert (configuration(account), configuration(account, "second")) == ({}, ON)


def test_a_failed_switch_is_rolled_back(account, cloudformation):
    cloudformation.request("Create")
    before = configuration(account)
    deny(account, ("PUT",), until=99)
    assert cloudformation.request("Update", BUCKET, old=NOTIFY, **BRIDGE)["Status"] == "FAILED"
    account.faults.clear()
    assert cloudformation.request("Update", BUCKET, old=BRIDGE, **NOTIFY)["Status"] == "SUCCESS"
    assert (configuration(account), rules(account)) == (before, {})


@pytest.mark.parametrize("physical_id", [BUCKET, UNANSWERED])
def test_the_delete_after_a_create_that_failed_in_the_middle_leaves_nothing(account, cloudformation, physical_id):
    deny(account, ("PUT",), until=99)
    assert cloudformation.request("Create", **BRIDGE)["Status"] == "FAILED"
    account.faults.clear()
    assert cloudformation.request("Delete", physical_id, **BRIDGE)["Status"] == "SUCCESS"
    assert (configuration(account), rules(account)) == ({}, {})


def test_delete_removes_the_rule_of_a_missing_bucket(account, cloudformation):
    account.make_bucket("short-lived")
    cloudformation.request("Create", Bucket="short-lived", **BRIDGE)
    account.s3.delete_object(Bucket="short-lived", Key="_manifests/subscription.json")
    account.s3.delete_bucket(Bucket="short-lived")
    assert cloudformation.request("Delete", "short-lived", Bucket="short-lived", **BRIDGE)["Status"] == "SUCCESS"
    assert rules(account) == {}


def test_requests_that_arrive_twice_have_the_effect_of_one(account, cloudformation):
    for event in (
        cloudformation.event("Create", **BRIDGE),
        cloudformation.event("Update", BUCKET, old=BRIDGE, **BRIDGE),
        cloudformation.event("Delete", BUCKET, **BRIDGE),
    ):
        first = cloudformation.send(event), configuration(account), rules(account)
        assert (cloudformation.send(event), configuration(account), rules(account)) == first
    assert (configuration(account), rules(account)) == ({}, {})


def test_with_notifications_no_request_is_sent_to_eventbridge(account, cloudformation, monkeypatch):
    monkeypatch.setattr(event_rule, "find", lambda *_: pytest.fail("asked"))
    for request in ("Create", "Update", "Delete"):
        assert cloudformation.request(request, None if request == "Create" else BUCKET)["Status"] == "SUCCESS"
    assert len(prefixes(configuration(account))) == 0


def test_a_second_sweep_follows_after_s3_starts_sending_to_eventbridge(account, cloudformation, pass_seconds):
    cloudformation.request("Create", **BRIDGE)
    assert [decode_job(body) for body in account.queued()] == [SweepAll()]
    # "It takes around five minutes for the changes to take effect."
    pass_seconds(601)
    assert [decode_job(body) for body in account.queued()] == [SweepAll()]
    cloudformation.request("Update", BUCKET, old=BRIDGE, **NOTIFY)
    account.queued()
    pass_seconds(601)
    assert [decode_job(body) for body in account.queued()] == [SweepAll()]
