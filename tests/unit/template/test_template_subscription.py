"""What the template says about the subscription: its permissions, its time, its order, and what outlives the stack."""

import hashlib
import json
from typing import Any

import pytest

from s3_manifest.subscription.event_rule import DETAIL_TYPES
from s3_manifest.subscription.subscription import EVENTS
from s3_manifest_cli.local_stack.stack import template

RESOURCES: dict[str, Any] = template()["Resources"]
FUNCTION: dict[str, Any] = RESOURCES["SubscriptionFunction"]["Properties"]
(POLICY,) = FUNCTION["Policies"]


def test_a_request_is_over_before_cloudformation_sends_the_next_one():
    asynchronous = FUNCTION["EventInvokeConfig"]
    longest = asynchronous["MaximumEventAgeInSeconds"] + FUNCTION["Timeout"]
    assert longest < int(RESOURCES["Subscription"]["Properties"]["ServiceTimeout"])
    # A request that Lambda repeats would be an old one.
    assert asynchronous["MaximumRetryAttempts"] == 0
    assert "SubscriptionFunctionEventInvokeConfig" in RESOURCES["Subscription"]["DependsOn"]


def test_what_the_function_may_do_does_not_depend_on_parameters():
    """The Delete for the bucket that an update left runs with the role of the new parameters."""
    text = json.dumps(POLICY)
    parameters = [name for name in template()["Parameters"] if f'"{name}"' in text or f"${{{name}}}" in text]
    assert (parameters, "Fn::If" in text) == ([], False)


def test_it_may_change_notifications_of_this_accounts_buckets_only():
    (statement,) = [one for one in POLICY["Statement"] if "s3:PutBucketNotification" in one["Action"]]
    assert statement["Condition"] == {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}


def test_a_stack_that_is_updated_subscribes_the_events_of_the_new_version():
    """CloudFormation sends no Update where no property changed; this one changes with the events."""
    digest = hashlib.sha256(" ".join((*EVENTS, *DETAIL_TYPES)).encode()).hexdigest()[:8]
    assert RESOURCES["Subscription"]["Properties"]["Events"] == digest


def test_the_functions_are_ready_before_changes_and_the_first_sweep_reach_them():
    assert {"QueuePolicy", "ReconcileFunction", "SweepFunction"} <= set(RESOURCES["Subscription"]["DependsOn"])


@pytest.mark.parametrize("name", ["Bucket", "BucketPolicy"])
def test_the_bucket_outlives_the_stack_but_not_a_first_deployment_that_failed(name):
    assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_nothing_else_outlives_the_stack():
    kept = {name for name, one in RESOURCES.items() if {"DeletionPolicy", "UpdateReplacePolicy"} & one.keys()}
    assert kept == {"Bucket", "BucketPolicy"}
    layers = [one for one in RESOURCES.values() if one["Type"] == "AWS::Serverless::LayerVersion"]
    # SAM's own default is to keep them.
    assert {one["Properties"]["RetentionPolicy"] for one in layers} == {"Delete"}


def test_a_name_that_a_second_deployment_would_find_taken_is_only_the_buckets():
    """CloudFormation makes the others up, or they are the stack's name, which only one stack has."""
    fields = {"BucketName", "QueueName", "LogGroupName", "RoleName", "AlarmName", "DashboardName", "TopicName"}
    named = {
        (name, json.dumps(value))
        for name, one in RESOURCES.items()
        for field, value in one.get("Properties", {}).items()
        if field in fields
    }
    assert {name for name, value in named if "AWS::StackName" not in value} == {"Bucket"}
