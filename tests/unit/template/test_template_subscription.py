"""The template's subscription: its permissions, its timeouts, its order, and what remains after the stack."""

import hashlib
import json
from typing import Any

import pytest

from s3_manifest.storage.subscription_record import record_key
from s3_manifest.subscription.event_rule import DETAIL_TYPES
from s3_manifest.subscription.notifications import EVENTS
from s3_manifest_cli.local_stack.stack import template

RESOURCES: dict[str, Any] = template()["Resources"]
FUNCTION: dict[str, Any] = RESOURCES["SubscriptionFunction"]["Properties"]
(POLICY,) = FUNCTION["Policies"]


def test_a_request_ends_before_cloudformation_sends_the_next_one():
    asynchronous = FUNCTION["EventInvokeConfig"]
    longest = asynchronous["MaximumEventAgeInSeconds"] + FUNCTION["Timeout"]
    assert longest < int(RESOURCES["Subscription"]["Properties"]["ServiceTimeout"])
    # A request that Lambda repeats would be outdated.
    assert asynchronous["MaximumRetryAttempts"] == 0
    assert "SubscriptionFunctionEventInvokeConfig" in RESOURCES["Subscription"]["DependsOn"]


def test_the_functions_permissions_do_not_depend_on_parameters():
    """The Delete for the bucket that an update left runs with the role of the new parameters."""
    text = json.dumps(POLICY)
    parameters = [name for name in template()["Parameters"] if f'"{name}"' in text or f"${{{name}}}" in text]
    assert (parameters, "Fn::If" in text) == ([], False)


def test_the_function_may_change_only_notifications_and_records_in_buckets_of_its_account():
    of_s3 = [item for item in POLICY["Statement"] if any(action.startswith("s3:") for action in item["Action"])]
    assert len(of_s3) == 2
    for statement in of_s3:
        assert statement["Condition"] == {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}
    (objects,) = [item["Resource"]["Fn::Sub"] for item in of_s3 if "s3:PutObject" in item["Action"]]
    assert objects.endswith(f"/{record_key('')}")


def test_the_function_may_use_keys_only_through_s3():
    (statement,) = [item for item in POLICY["Statement"] if "kms:Decrypt" in item["Action"]]
    assert statement["Condition"].keys() == {"StringEquals", "StringLike"}
    assert "kms:ViaService" in statement["Condition"]["StringEquals"]


def test_a_stack_that_is_updated_subscribes_the_events_of_the_new_version():
    """CloudFormation sends an Update only if a property changed; this one changes with what the function writes."""
    written = (*EVENTS, *DETAIL_TYPES, record_key(""))
    digest = hashlib.sha256(" ".join(written).encode()).hexdigest()[:8]
    assert RESOURCES["Subscription"]["Properties"]["Events"] == digest


def test_the_functions_are_ready_before_changes_and_the_first_sweep_reach_them():
    assert {"QueuePolicy", "ReconcileFunction", "SweepFunction"} <= set(RESOURCES["Subscription"]["DependsOn"])


@pytest.mark.parametrize("name", ["Bucket", "BucketPolicy"])
def test_the_bucket_outlives_the_stack_but_not_a_first_deployment_that_failed(name):
    assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_nothing_else_outlives_the_stack():
    retained = {name for name, item in RESOURCES.items() if {"DeletionPolicy", "UpdateReplacePolicy"} & item.keys()}
    assert retained == {"Bucket", "BucketPolicy"}
    layers = [item for item in RESOURCES.values() if item["Type"] == "AWS::Serverless::LayerVersion"]
    # SAM's default is to retain them.
    assert {layer["Properties"]["RetentionPolicy"] for layer in layers} == {"Delete"}


def test_only_the_buckets_name_may_conflict_with_another_deployment():
    """CloudFormation invents the others, or they contain the stack's name, which is unique."""
    fields = {"BucketName", "QueueName", "LogGroupName", "RoleName", "AlarmName", "DashboardName", "TopicName"}
    named = {
        (name, json.dumps(value))
        for name, item in RESOURCES.items()
        for field, value in item.get("Properties", {}).items()
        if field in fields
    }
    assert {name for name, value in named if "AWS::StackName" not in value} == {"Bucket"}
