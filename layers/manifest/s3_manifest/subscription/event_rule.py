"""The EventBridge rule that sends a bucket's changes below the collections' prefixes to the change queue.

The template cannot declare it, because it cannot loop over prefixes. Each bucket has its own rule, so that a stack
that moves to another bucket removes the old rule without touching the new one.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from s3_manifest.subscription.notifications import sends_to_eventbridge

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_s3.client import S3Client

DETAIL_TYPES = ("Object Created", "Object Deleted", "Object Storage Class Changed", "Object Restore Completed")
"""``notifications.EVENTS`` in EventBridge's terms: "Object Deleted" includes lifecycle expiry.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
"""

TARGET_ID = "changes"

_WAS_OFF = "EventBridge was off for the bucket, and was turned on for this rule."
_WAS_ON = "EventBridge was on for the bucket before this rule."


class NotTargeted(Exception):
    """EventBridge rejected the queue as the rule's target."""


class Rule(NamedTuple):
    """A rule of this project. ``turned_on``: the bucket's events were sent to EventBridge only for it."""

    name: str
    turned_on: bool


def name(prefix: str, bucket: str) -> str:
    """Returns the rule's name; ``prefix`` is the stack's own."""
    return f"{prefix}-{hashlib.sha256(bucket.encode()).hexdigest()[:8]}"


def pattern(bucket: str, prefixes: Iterable[str]) -> str:
    """Returns the event pattern for changes below the prefixes. EventBridge does not percent-encode keys."""
    detail = {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": prefix} for prefix in prefixes]}}
    fields = {"source": ["aws.s3"], "detail-type": list(DETAIL_TYPES), "detail": detail}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def find(client: "EventBridgeClient", rule: str) -> Rule | None:
    """Returns the rule of that name on the default bus; None: there is none."""
    try:
        description = client.describe_rule(Name=rule).get("Description", "")
    except client.exceptions.ResourceNotFoundException:
        return None
    return Rule(rule, description.endswith(_WAS_OFF))


def ensure(
    events: "EventBridgeClient", s3: "S3Client", rule: str, bucket: str, prefixes: Iterable[str], queue_arn: str
) -> None:
    """Creates or updates the rule. Call it before the bucket is changed, so that no event is lost.

    The rule's description records whether EventBridge has to stay on for the bucket when the rule is deleted: it lives
    as long as the subscription, and is written together with the pattern. Raises ``NotTargeted``.
    """
    # Only an existing rule knows the state of the bucket before it.
    if existing := find(events, rule):
        turned_on = existing.turned_on
    else:
        turned_on = not sends_to_eventbridge(s3.get_bucket_notification_configuration(Bucket=bucket))
    events.put_rule(
        Name=rule,
        EventPattern=pattern(bucket, prefixes),
        State="ENABLED",
        Description=(
            f"Sends changes of the collections' objects to the change queue. {_WAS_OFF if turned_on else _WAS_ON}"
        ),
    )
    answer = events.put_targets(Rule=rule, Targets=[{"Id": TARGET_ID, "Arn": queue_arn}])
    # EventBridge answers 200 to targets that it rejects.
    for entry in answer["FailedEntries"]:
        raise NotTargeted(f"rule {rule}: {entry['TargetId']}: {entry['ErrorCode']}: {entry['ErrorMessage']}")


def delete(client: "EventBridgeClient", rule: str) -> None:
    """Deletes the rule with its targets; does nothing if there is none."""
    try:
        # A rule with targets cannot be deleted.
        if ids := [target["Id"] for target in client.list_targets_by_rule(Rule=rule)["Targets"]]:
            client.remove_targets(Rule=rule, Ids=ids)
        client.delete_rule(Name=rule)
    except client.exceptions.ResourceNotFoundException:
        pass


def is_needed_by_others(client: "EventBridgeClient", bucket: str, own_rule: str) -> bool:
    """Whether another rule on the default bus matches events of the bucket, or may match them."""
    return any(
        rule["Name"] != own_rule and "EventPattern" in rule and may_match(rule["EventPattern"], bucket)
        for page in client.get_paginator("list_rules").paginate()
        for rule in page["Rules"]
    )


def may_match(event_pattern: str, bucket: str) -> bool:
    """Whether a pattern may match an S3 event of the bucket. Only plain values exclude it, not operators.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    """
    if not event_pattern:
        return False
    try:
        fields = json.loads(event_pattern)
    except ValueError:
        return True
    bucket_names = _field(_field(_field(fields, "detail"), "bucket"), "name")
    return _may_equal(_field(fields, "source"), "aws.s3") and _may_equal(bucket_names, bucket)


def _field(fields: Any, key: str) -> Any:  # noqa: ANN401  # JSON
    return fields.get(key) if isinstance(fields, Mapping) else None


def _may_equal(matchers: Any, value: str) -> bool:  # noqa: ANN401  # JSON
    """Whether matchers of a field accept the value: none at all, or the value itself, or any operator."""
    if not isinstance(matchers, list):
        return True
    return value in matchers or any(not isinstance(matcher, str) for matcher in matchers)
