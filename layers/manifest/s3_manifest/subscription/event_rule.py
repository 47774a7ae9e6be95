"""The EventBridge rule that sends a bucket's changes below the collections' prefixes to the change queue.

The template cannot declare it, because it cannot loop over prefixes. There is one rule for each bucket, so that a
stack that moves to another bucket removes the first one's without touching the second's.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from s3_manifest.subscription.subscription import sends_to_eventbridge

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_s3.client import S3Client

DETAIL_TYPES = ("Object Created", "Object Deleted", "Object Storage Class Changed", "Object Restore Completed")
"""``subscription.EVENTS`` as EventBridge names them: "Object Deleted" includes lifecycle expiry.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
"""

TARGET_ID = "changes"

_ENABLED_BY_US = "EventBridge was off for the bucket, and was turned on for this rule."
_ENABLED_BEFORE = "EventBridge was on for the bucket before this rule."


class Rule(NamedTuple):
    """A rule of ours. ``turned_on``: the bucket's events went to EventBridge for this rule's sake only."""

    name: str
    pattern: str
    turned_on: bool
    is_enabled: bool = True


def name(prefix: str, bucket: str) -> str:
    """The rule's name; ``prefix`` is the stack's own."""
    return f"{prefix}-{hashlib.sha256(bucket.encode()).hexdigest()[:8]}"


def pattern(bucket: str, prefixes: Iterable[str]) -> str:
    """The event pattern: changes below these prefixes, and no others. Keys in these events are not encoded."""
    detail = {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": prefix} for prefix in prefixes]}}
    found = {"source": ["aws.s3"], "detail-type": list(DETAIL_TYPES), "detail": detail}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def find(client: "EventBridgeClient", rule: str) -> Rule | None:
    """The rule of that name on the default bus; None if there is none."""
    try:
        found = client.describe_rule(Name=rule)
    except client.exceptions.ResourceNotFoundException:
        return None
    return Rule(
        name=rule,
        pattern=found.get("EventPattern", ""),
        is_enabled=found.get("State") == "ENABLED",
        turned_on=found.get("Description", "").endswith(_ENABLED_BY_US),
    )


def targets(client: "EventBridgeClient", rule: str) -> dict[str, str]:
    """The ARNs that the rule sends to, by the ids of the targets."""
    return {one["Id"]: one["Arn"] for one in client.list_targets_by_rule(Rule=rule)["Targets"]}


def put(client: "EventBridgeClient", rule: Rule, queue_arn: str) -> None:
    """Makes or changes the rule, and has it send to the queue.

    Whether the bucket has to be left with EventBridge on is kept in the rule's description: it lives as long as the
    subscription does, is written before the bucket is changed, and is written together with the pattern.
    """
    client.put_rule(
        Name=rule.name,
        EventPattern=rule.pattern,
        State="ENABLED",
        Description=(
            "Sends changes of the collections' objects to the change queue."
            f" {_ENABLED_BY_US if rule.turned_on else _ENABLED_BEFORE}"
        ),
    )
    answer = client.put_targets(Rule=rule.name, Targets=[{"Id": TARGET_ID, "Arn": queue_arn}])
    # EventBridge answers 200 to what it did not take.
    for failed in answer["FailedEntries"]:
        raise NotTargeted(f"rule {rule.name}: {failed['TargetId']}: {failed['ErrorCode']}: {failed['ErrorMessage']}")


class NotTargeted(Exception):
    """EventBridge did not take the queue as the rule's target."""


def ensure(
    events: "EventBridgeClient", s3: "S3Client", rule: str, bucket: str, prefixes: Iterable[str], queue_arn: str
) -> None:
    """Has the rule as it should be; to be called before the bucket is changed, so that no event goes past it."""
    found = find(events, rule)
    # Of a rule that is there already, the bucket as it was before is known from it alone.
    turned_on = (
        found.turned_on if found else not sends_to_eventbridge(s3.get_bucket_notification_configuration(Bucket=bucket))
    )
    put(events, Rule(rule, pattern(bucket, prefixes), turned_on), queue_arn)


def delete(client: "EventBridgeClient", rule: str) -> None:
    """Deletes the rule, whatever its targets are; does nothing where there is none."""
    try:
        # A rule with targets cannot be deleted.
        if ids := list(targets(client, rule)):
            client.remove_targets(Rule=rule, Ids=ids)
        client.delete_rule(Name=rule)
    except client.exceptions.ResourceNotFoundException:
        pass


def is_needed_by_others(client: "EventBridgeClient", bucket: str, own_rule: str) -> bool:
    """Whether any other rule on the default bus may match events of the bucket: in doubt, yes."""
    for page in client.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if rule["Name"] != own_rule and "EventPattern" in rule and may_match(rule["EventPattern"], bucket):
                return True
    return False


def may_match(event_pattern: str, bucket: str) -> bool:
    """Whether a pattern may match an S3 event of the bucket. Only plain values can say no.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    """
    if not event_pattern:
        return False
    try:
        found = json.loads(event_pattern)
    except ValueError:
        return True
    if not isinstance(found, Mapping):
        return True
    detail = found.get("detail", {})
    names = detail.get("bucket", {}) if isinstance(detail, Mapping) else {}
    return _may_be(found.get("source"), "aws.s3") and _may_be(
        names.get("name") if isinstance(names, Mapping) else None, bucket
    )


def _may_be(matchers: Any, value: str) -> bool:  # noqa: ANN401  # JSON
    """Whether a field of a pattern may match the value: it has to be absent, list it, or hold an operator."""
    if not isinstance(matchers, list):
        return True
    return value in matchers or any(not isinstance(one, str) for one in matchers)
