"""The subscription function where the bucket's changes come through EventBridge."""

import json
from typing import Any

import pytest
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import BUCKET, Context, sqs_event_of
from handlers.subscription.test_subscription import OTHERS, PROPERTIES, cloudformation, configuration, deny, prefixes
from moto.s3.responses import S3Response

import reconcile_handler
from s3_manifest.manifest.jobs import SweepAll, decode_job
from s3_manifest.subscription import custom_resource, event_rule

__all__ = ["cloudformation"]

BRIDGE = {"EventSource": "EventBridge"}
NOTIFY = {"EventSource": "Notifications"}
RULE = event_rule.name(PROPERTIES["RulePrefix"], BUCKET)
ON: dict[str, Any] = {"EventBridgeConfiguration": {}}
UNANSWERED = "images-Subscription-1XKJ0ZP7QW2M3"


@pytest.fixture(autouse=True)
def told_by_s3(monkeypatch):
    """That a bucket sends to EventBridge is in S3's answers; moto stores it, and leaves it out of them."""
    serialized = S3Response.serialized

    def complete(self, result):
        if self.data.get("Action") == "GetBucketNotificationConfiguration":
            stored = self.backend.get_bucket_notification_configuration(self.bucket_name)
            if stored.event_bridge is not None:
                result.result["EventBridgeConfiguration"] = {}
        return serialized(self, result)

    monkeypatch.setattr(S3Response, "serialized", complete)


def rules(account) -> dict[str, list[str]]:
    """The prefixes of our rules, by name."""
    found = {one["Name"]: json.loads(one["EventPattern"]) for one in account.events.list_rules()["Rules"]}
    ours = {name: pattern for name, pattern in found.items() if name.startswith(PROPERTIES["RulePrefix"])}
    return {name: [one["prefix"] for one in pattern["detail"]["object"]["key"]] for name, pattern in ours.items()}


def turn_on(account, bucket: str = BUCKET) -> None:
    account.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=ON)


def test_create_makes_the_rule_turns_the_setting_on_and_leaves_the_rest_as_it_is(account, cloudformation):
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    before = configuration(account)
    assert cloudformation.ask("Create", **BRIDGE)["Status"] == "SUCCESS"
    assert configuration(account) == before | ON
    assert rules(account) == {RULE: ["styles/", "system_actors/training_data/"]}
    (target,) = account.events.list_targets_by_rule(Rule=RULE)["Targets"]
    assert target["Arn"] == account.queue_arn


def test_a_change_comes_into_the_queue_and_the_manifest(account, cloudformation):
    cloudformation.ask("Create", **BRIDGE)
    account.put("styles/16/a 50%25+.png")
    account.put("elsewhere/a.png")
    received = account.received()
    # moto names its own sort of event "ObjectCreated:Put"; what is asked of EventBridge is "Object Created".
    for message in received:
        message["Body"] = json.dumps(json.loads(message["Body"]) | {"detail-type": "Object Created"})
    assert failed_ids(reconcile_handler.handler(sqs_event_of(received), Context())) == []
    assert list(account.files("styles/16/")) == ["a 50%25+.png"]


def test_delete_turns_the_setting_off_that_create_turned_on(account, cloudformation):
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    before = configuration(account)
    cloudformation.ask("Create", **BRIDGE)
    cloudformation.ask("Update", BUCKET, old=BRIDGE, **BRIDGE, Collections="cat=cats/{cat_id}/")
    assert rules(account) == {RULE: ["cats/"]}
    assert cloudformation.ask("Delete", BUCKET, **BRIDGE)["Status"] == "SUCCESS"
    assert (configuration(account), rules(account)) == (before, {})


def test_delete_leaves_the_setting_that_was_on_before(account, cloudformation):
    turn_on(account)
    cloudformation.ask("Create", **BRIDGE)
    cloudformation.ask("Update", BUCKET, old=BRIDGE, **BRIDGE)
    cloudformation.ask("Delete", BUCKET, **BRIDGE)
    assert (configuration(account), rules(account)) == (ON, {})


def test_delete_leaves_the_setting_that_another_rule_needs_by_now(account, cloudformation):
    cloudformation.ask("Create", **BRIDGE)
    account.events.put_rule(Name="theirs", EventPattern='{"source": ["aws.s3"]}')
    cloudformation.ask("Delete", BUCKET, **BRIDGE)
    assert (configuration(account), rules(account)) == (ON, {})


def test_a_second_stack_of_ours_keeps_getting_events_when_the_first_is_deleted(account, cloudformation):
    second = BRIDGE | {"RulePrefix": "s3-manifest-99aa", "Name": "s3-manifest-second"}
    cloudformation.ask("Create", **BRIDGE)
    cloudformation.ask("Create", **second)
    cloudformation.ask("Delete", BUCKET, **BRIDGE)
    assert configuration(account) == ON


def test_a_rule_about_another_bucket_keeps_nothing_on(account, cloudformation):
    cloudformation.ask("Create", **BRIDGE)
    pattern = '{"source": ["aws.s3"], "detail": {"bucket": {"name": ["another"]}}}'
    account.events.put_rule(Name="theirs", EventPattern=pattern)
    account.events.put_rule(Name="nightly", ScheduleExpression="rate(1 day)")
    cloudformation.ask("Delete", BUCKET, **BRIDGE)
    assert configuration(account) == {}


def test_there_and_back_leaves_one_subscription_at_any_time(account, cloudformation):
    cloudformation.ask("Create")
    notified = configuration(account)
    for new, old, expected in (
        (BRIDGE, NOTIFY, (ON, {RULE: ["styles/", "system_actors/training_data/"]})),
        (NOTIFY, BRIDGE, (notified, {})),
        (BRIDGE, NOTIFY, (ON, {RULE: ["styles/", "system_actors/training_data/"]})),
    ):
        assert cloudformation.ask("Update", BUCKET, old=old, **new)["Status"] == "SUCCESS"
        assert (configuration(account), rules(account)) == expected
    cloudformation.ask("Delete", BUCKET, **BRIDGE)
    assert (configuration(account), rules(account)) == ({}, {})


def test_the_switch_is_one_write_so_that_the_bucket_always_reports_its_changes(account, cloudformation):
    cloudformation.ask("Create")
    written = len(account.sent("PUT"))
    cloudformation.ask("Update", BUCKET, old=NOTIFY, **BRIDGE)
    cloudformation.ask("Update", BUCKET, old=BRIDGE, **NOTIFY)
    there, back = account.sent("PUT")[written:]
    assert (b"EventBridgeConfiguration" in there.body, b"QueueConfiguration" in there.body) == (True, False)
    assert (b"EventBridgeConfiguration" in back.body, b"QueueConfiguration" in back.body) == (False, True)


def test_a_stack_moves_to_another_bucket_and_the_first_ones_rule_and_setting_go(account, cloudformation):
    account.make_bucket("second")
    cloudformation.ask("Create", **BRIDGE)
    assert cloudformation.ask("Update", BUCKET, old=BRIDGE, **BRIDGE, Bucket="second")["Status"] == "SUCCESS"
    assert cloudformation.ask("Delete", BUCKET, **BRIDGE)["Status"] == "SUCCESS"
    assert list(rules(account)) == [event_rule.name(PROPERTIES["RulePrefix"], "second")]
    assert (configuration(account), configuration(account, "second")) == ({}, ON)


def test_a_switch_that_failed_is_taken_back(account, cloudformation):
    cloudformation.ask("Create")
    before = configuration(account)
    deny(account, ("PUT",), until=99)
    assert cloudformation.ask("Update", BUCKET, old=NOTIFY, **BRIDGE)["Status"] == "FAILED"
    account.faults.clear()
    assert cloudformation.ask("Update", BUCKET, old=BRIDGE, **NOTIFY)["Status"] == "SUCCESS"
    assert (configuration(account), rules(account)) == (before, {})


@pytest.mark.parametrize("physical_id", [BUCKET, UNANSWERED])
def test_the_delete_after_a_create_that_failed_in_the_middle_leaves_nothing(account, cloudformation, physical_id):
    deny(account, ("PUT",), until=99)
    assert cloudformation.ask("Create", **BRIDGE)["Status"] == "FAILED"
    account.faults.clear()
    assert cloudformation.ask("Delete", physical_id, **BRIDGE)["Status"] == "SUCCESS"
    assert (configuration(account), rules(account)) == ({}, {})


def test_delete_succeeds_when_the_bucket_is_gone_and_its_rule_goes_too(account, cloudformation):
    account.make_bucket("short-lived")
    cloudformation.ask("Create", Bucket="short-lived", **BRIDGE)
    account.s3.delete_bucket(Bucket="short-lived")
    assert cloudformation.ask("Delete", "short-lived", Bucket="short-lived", **BRIDGE)["Status"] == "SUCCESS"
    assert rules(account) == {}


def test_requests_that_come_twice_are_as_once(account, cloudformation):
    for event in (
        cloudformation.event("Create", **BRIDGE),
        cloudformation.event("Update", BUCKET, old=BRIDGE, **BRIDGE),
        cloudformation.event("Delete", BUCKET, **BRIDGE),
    ):
        first = cloudformation.send(event), configuration(account), rules(account)
        assert (cloudformation.send(event), configuration(account), rules(account)) == first
    assert (configuration(account), rules(account)) == ({}, {})


def test_in_notifications_mode_nothing_is_asked_of_eventbridge(account, cloudformation, monkeypatch):
    monkeypatch.setattr(custom_resource.event_rule, "find", lambda *_: pytest.fail("asked"))
    for request in ("Create", "Update", "Delete"):
        assert cloudformation.ask(request, None if request == "Create" else BUCKET)["Status"] == "SUCCESS"
    assert len(prefixes(configuration(account))) == 0


def test_a_second_sweep_follows_when_s3_has_begun_to_send_to_eventbridge(account, cloudformation, pass_seconds):
    cloudformation.ask("Create", **BRIDGE)
    assert [decode_job(body) for body in account.queued()] == [SweepAll()]
    # "It takes around five minutes for the changes to take effect."
    pass_seconds(601)
    assert [decode_job(body) for body in account.queued()] == [SweepAll()]
    cloudformation.ask("Update", BUCKET, old=BRIDGE, **NOTIFY)
    account.queued()
    pass_seconds(601)
    assert [decode_job(body) for body in account.queued()] == [SweepAll()]
