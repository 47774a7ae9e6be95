"""Stacks with IAM enforced, deployed by change sets as `sam deploy` does, with the unchanged template over TLS.

Over plain HTTP no change set and no `create_stack` can succeed there: the bucket's and the queues' policies deny it,
to CloudFormation's custom resource first of all.
"""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from local_stack.stacks import delete, deploy_by_change_set

import s3_manifest_cli.local_stack.stack
from s3_manifest_cli.local_stack.platform import Platform, running_platform
from s3_manifest_cli.local_stack.stack import Stack

NAME = "living"
FIRST, SECOND = "first-bucket", "second-bucket"


def ministack_template() -> dict[str, Any]:
    """Returns the template with workarounds for requests that MiniStack denies and AWS allows.

    To it a batch of messages has an action of its own:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    To it a rule of the default bus is ``rule/default/NAME``, and for its targets it is not named at all:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-manage-iam-access.html
    """
    changed: dict[str, Any] = copy.deepcopy(template())
    for resource in changed["Resources"].values():
        for policy in resource["Properties"].get("Policies", ()):
            for conditional in policy["Statement"]:
                statement = conditional["Fn::If"][1] if "Fn::If" in conditional else conditional
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                batches = [f"{action}Batch" for action in actions if action in {"sqs:SendMessage", "sqs:DeleteMessage"}]
                statement["Action"] = [*actions, *batches]
                if statement["Sid"] == "RouteEvents":
                    statement["Resource"] = "*"
    return changed


template = s3_manifest_cli.local_stack.stack.template


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with running_platform(enforce_iam=True, tls=True) as running, pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_manifest_cli.local_stack.stack, "template", ministack_template)
        yield running


@pytest.fixture
def s3(platform) -> Any:
    return platform.client("s3")


def configuration(s3: Any, bucket: str) -> dict[str, Any]:
    response = s3.get_bucket_notification_configuration(Bucket=bucket)
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}


def prefixes(s3: Any, bucket: str) -> set[str]:
    """Returns the prefixes of the stack's notification configurations."""
    own = [item for item in configuration(s3, bucket).get("QueueConfigurations", ()) if NAME in item["Id"]]
    return {rule["Value"] for item in own for rule in item["Filter"]["Key"]["FilterRules"]}


def with_a_queue_of_others(platform: Platform, s3: Any, bucket: str, prefix: str) -> str:
    """Creates a bucket that sends some events to another queue; returns the queue's URL."""
    sqs = platform.client("sqs")
    queue = sqs.create_queue(QueueName=f"others-of-{bucket}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    s3.create_bucket(Bucket=bucket)
    rules = [{"Name": "prefix", "Value": prefix}]
    other = {
        "Id": "theirs",
        "QueueArn": arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [other]})
    return queue


def files(s3: Any, bucket: str, collection: str) -> set[str]:
    """Returns the filenames in a collection's manifest; empty without a manifest."""
    try:
        head = s3.get_object(Bucket=bucket, Key=f"_manifests/{collection}manifest.json")["Body"].read()
    except s3.exceptions.NoSuchKey:
        return set()
    return {item["filename"] for item in json.loads(head)["files"]}


@pytest.mark.slow
def test_a_stack_that_is_created_moved_and_deleted_leaves_nothing_behind(platform, s3, eventually):
    other_queue = with_a_queue_of_others(platform, s3, FIRST, "invoices/")
    with_a_queue_of_others(platform, s3, SECOND, "receipts/")
    before = {bucket: configuration(s3, bucket) for bucket in (FIRST, SECOND)}
    for bucket in (FIRST, SECOND):
        s3.put_object(Bucket=bucket, Key="styles/1/old.png", Body=b"old")

    deploy_by_change_set(platform, NAME, {"ExistingBucket": FIRST})
    assert prefixes(s3, FIRST) == {"styles/", "system_actors/training_data/"}
    s3.put_object(Bucket=FIRST, Key="styles/1/new.png", Body=b"new")
    eventually(lambda: files(s3, FIRST, "styles/1/"), lambda found: found == {"old.png", "new.png"})

    # The other destination is deleted; S3 then rejects every change that validates it.
    platform.client("sqs").delete_queue(QueueUrl=other_queue)
    deploy_by_change_set(platform, NAME, {"ExistingBucket": SECOND})
    assert configuration(s3, FIRST) == before[FIRST]
    assert prefixes(s3, SECOND) == {"styles/", "system_actors/training_data/"}
    # Existing objects are in the manifest without an event, and so are later changes.
    eventually(lambda: files(s3, SECOND, "styles/1/"), lambda found: found == {"old.png"}, seconds=120)

    deploy_by_change_set(platform, NAME, {"ExistingBucket": SECOND, "Collections": "brush=brushes/{brush_id}/"})
    assert prefixes(s3, SECOND) == {"brushes/"}
    s3.put_object(Bucket=SECOND, Key="brushes/7/b.png", Body=b"new")
    eventually(lambda: files(s3, SECOND, "brushes/7/"), lambda found: found == {"b.png"})

    delete(platform, NAME)
    assert {bucket: configuration(s3, bucket) for bucket in (FIRST, SECOND)} == before


def rules(platform: Platform) -> dict[str, Any]:
    """Returns the event patterns of the stack's rules for objects, by name."""
    listed = platform.client("events").list_rules(NamePrefix="s3-manifest-")["Rules"]
    return {item["Name"]: json.loads(item["EventPattern"]) for item in listed}


@pytest.mark.slow
def test_a_stack_switches_to_eventbridge_and_back_with_exactly_one_subscription(
    platform, s3, eventually: Callable[..., Any]
):
    bucket = "bridged-bucket"
    # The existing configuration overlaps the stack's: S3 would reject both together.
    with_a_queue_of_others(platform, s3, bucket, "styles/")
    before = configuration(s3, bucket)
    parameters = {"ExistingBucket": bucket, "EventSource": "EventBridge"}

    deploy_by_change_set(platform, NAME, parameters)
    assert configuration(s3, bucket) == before | {"EventBridgeConfiguration": {}}
    (pattern,) = rules(platform).values()
    assert pattern["detail"]["object"]["key"] == [{"prefix": "styles/"}, {"prefix": "system_actors/training_data/"}]
    for key in ("styles/1/größe 50%25+.png", "styles/1/gone.png", "elsewhere/a.png"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=bucket, Key="styles/1/gone.png")
    eventually(lambda: files(s3, bucket, "styles/1/"), lambda found: found == {"größe 50%25+.png"})

    # Back to notifications, which need other prefixes here.
    changed = {"Collections": "brush=brushes/{brush_id}/"}
    deploy_by_change_set(platform, NAME, {"ExistingBucket": bucket, **changed})
    assert (prefixes(s3, bucket), rules(platform)) == ({"brushes/"}, {})
    assert "EventBridgeConfiguration" not in configuration(s3, bucket)
    s3.put_object(Bucket=bucket, Key="brushes/1/a.png", Body=b"x")
    eventually(lambda: files(s3, bucket, "brushes/1/"), lambda found: found == {"a.png"})

    deploy_by_change_set(platform, NAME, parameters | changed)
    assert configuration(s3, bucket) == before | {"EventBridgeConfiguration": {}}
    s3.put_object(Bucket=bucket, Key="brushes/1/b.png", Body=b"x")
    eventually(lambda: files(s3, bucket, "brushes/1/"), lambda found: found == {"a.png", "b.png"})

    delete(platform, NAME)
    assert (configuration(s3, bucket), rules(platform)) == (before, {})


@pytest.mark.slow
@pytest.mark.parametrize("event_source", ["Notifications", "EventBridge"])
def test_a_stack_on_existing_buckets_follows_its_list_and_leaves_every_rule_of_others(
    platform, s3, eventually, event_source
):
    own, removed, added = (f"{event_source.lower()}-{name}" for name in ("own", "removed", "added"))
    for bucket in (own, removed, added):
        with_a_queue_of_others(platform, s3, bucket, "invoices/")
    before = {bucket: configuration(s3, bucket) for bucket in (own, removed, added)}
    s3.put_object(Bucket=removed, Key="actors/7/old.png", Body=b"old")

    def parameters(other: str) -> dict[str, str]:
        collections = f"style=styles/{{style_id}}/,actor=s3://{other}/actors/{{actor_id}}/"
        fixed = {"ExistingBucket": own, "EventSource": event_source}
        return fixed | {"AdditionalBuckets": other, "Collections": collections}

    def subscribed() -> set[str]:
        """Returns the buckets whose changes the stack receives."""
        patterns = [pattern["detail"] for pattern in rules(platform).values()]
        by_rule = {name for detail in patterns for name in detail["bucket"]["name"]}
        return by_rule | {bucket for bucket in before if prefixes(s3, bucket)}

    stack = deploy_by_change_set(platform, NAME, parameters(removed))
    assert subscribed() == {own, removed}
    s3.put_object(Bucket=own, Key="styles/1/a.png", Body=b"new")
    s3.put_object(Bucket=removed, Key="actors/7/new.png", Body=b"new")
    eventually(lambda: files(s3, own, "styles/1/"), lambda found: found == {"a.png"})
    eventually(lambda: files(s3, removed, "actors/7/"), lambda found: found == {"old.png", "new.png"}, seconds=120)
    assert stack.get("/api/manifests/actor/7").body["s3_bucket"] == removed

    deploy_by_change_set(platform, NAME, parameters(added))
    assert subscribed() == {own, added}
    assert configuration(s3, removed) == before[removed]
    s3.put_object(Bucket=added, Key="actors/8/a.png", Body=b"new")
    eventually(lambda: files(s3, added, "actors/8/"), lambda found: found == {"a.png"})

    # No role may read the bucket that left the list any more.
    assert stack.get("/api/manifests/actor/7").status == 404

    delete(platform, NAME)
    assert {bucket: configuration(s3, bucket) for bucket in before} == before
    assert subscribed() == set()


@pytest.mark.slow
def test_a_deployment_with_an_unusable_bucket_fails_with_its_name_and_changes_no_other(platform, s3):
    with_a_queue_of_others(platform, s3, "usable-bucket", "invoices/")
    before = configuration(s3, "usable-bucket")
    places = {"cat": "usable-bucket", "dog": "no-such-bucket", "owl": "not-in-the-list"}
    listed = {"AdditionalBuckets": "usable-bucket,no-such-bucket"}

    def reason(kinds: str) -> str:
        """Deploys these kinds of collections; returns why that failed."""
        collections = ",".join(f"{kind}=s3://{places[kind]}/{kind}s/{{{kind}_id}}/" for kind in kinds.split())
        with pytest.raises(WaiterError, match="StackCreateComplete"):
            deploy_by_change_set(platform, "unusable", listed | {"Collections": collections})
        pages = platform.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName="unusable")
        reasons = [event.get("ResourceStatusReason", "") for page in pages for event in page["StackEvents"]]
        delete(platform, "unusable")
        return " ".join(reasons)

    assert "bucket no-such-bucket does not exist: create it" in reason("cat dog")
    assert "collection 'owl' is in bucket not-in-the-list" in reason("cat owl")
    assert configuration(s3, "usable-bucket") == before


@pytest.mark.slow
def test_a_first_deployment_that_fails_leaves_no_bucket_and_the_next_one_succeeds(platform, s3):
    """The subscription of a collection below the manifest root fails after the bucket was created."""
    bucket, wrong = "made-bucket", "style=styles/{style_id}/,sub=_manifests/{sub_id}/"
    with pytest.raises(WaiterError, match="StackCreateComplete"):
        deploy_by_change_set(platform, "failing", {"BucketName": bucket, "Collections": wrong})
    cloudformation = platform.client("cloudformation")
    (failed,) = cloudformation.describe_stacks(StackName="failing")["Stacks"]
    assert failed["StackStatus"] == "ROLLBACK_COMPLETE"
    assert bucket not in {item["Name"] for item in s3.list_buckets()["Buckets"]}
    delete(platform, "failing")
    made: Stack = deploy_by_change_set(platform, "failing", {"BucketName": bucket})
    assert made.bucket == bucket
    delete(platform, "failing")
    # The bucket and its policy outlive the stack.
    assert b"DenyPlainHttp" in s3.get_bucket_policy(Bucket=bucket)["Policy"].encode()
