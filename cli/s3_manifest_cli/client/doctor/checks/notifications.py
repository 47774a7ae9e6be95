"""Checks whether the queue receives every change, through the bucket's notifications or its EventBridge rule."""

import json
import shlex
from collections.abc import Container, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import Any, NamedTuple

from s3_manifest.subscription import event_rule
from s3_manifest.subscription.notifications import EVENTS, is_ours
from s3_manifest_cli.client.doctor.findings import Finding, error, notice, ok, warning
from s3_manifest_cli.client.doctor.stack import Stack

CHECK = "notifications"

_TYPES = {
    "s3:ObjectCreated:*": ("Put", "Post", "Copy", "CompleteMultipartUpload"),
    "s3:ObjectRemoved:*": ("Delete", "DeleteMarkerCreated"),
    "s3:LifecycleExpiration:*": ("Delete", "DeleteMarkerCreated"),
}
_COMPLETE = "the queue receives every change"
_ARNS = ("QueueArn", "TopicArn", "LambdaFunctionArn")


class Rule(NamedTuple):
    """One notification configuration, with any destination."""

    id: str
    arn: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    @property
    def scope(self) -> str:
        """The keys that it covers, in words."""
        return f"keys below {self.prefix!r}" if self.prefix else "the whole bucket"

    def overlaps(self, prefix: str) -> bool:
        """Whether S3 rejects this rule beside one of ours for the prefix.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
        """
        if not (self.prefix.startswith(prefix) or prefix.startswith(self.prefix)):
            return False
        stems, own_stems = ([event.rstrip("*") for event in events] for events in (EVENTS, self.events))
        return any(own.startswith(stem) or stem.startswith(own) for own in own_stems for stem in stems)


def rules(configuration: Mapping[str, Any]) -> list[Rule]:
    """Returns the configurations of all queues, topics and functions."""
    return [_rule(item) for items in configuration.values() if isinstance(items, list) for item in items]


def _rule(item: Mapping[str, Any]) -> Rule:
    filters = {r["Name"].lower(): r["Value"] for r in item.get("Filter", {}).get("Key", {}).get("FilterRules", ())}
    (arn,) = [item[name] for name in _ARNS if name in item]
    return Rule(item.get("Id", ""), arn, tuple(item["Events"]), filters.get("prefix", ""), filters.get("suffix", ""))


def topics(configuration: Mapping[str, Any], stack: Stack) -> list[str]:
    """Returns the topics that receive changes of collections: the queue may be subscribed to them."""
    candidates = [rule for rule in rules(configuration) if ":sns:" in rule.arn]
    return sorted({rule.arn for rule in candidates if any(map(rule.overlaps, stack.prefixes))})


def check(configuration: Mapping[str, Any], stack: Stack, forwarding: Sequence[str] = ()) -> list[Finding]:
    """Checks the notification configuration. ``forwarding``: topics that the queue is subscribed to."""
    all_rules = rules(configuration)
    ours = [rule for rule in all_rules if rule.arn in (stack.change_queue_arn, *forwarding)]
    missing = {prefix: gaps for prefix in stack.prefixes if (gaps := _gaps(ours, prefix))}
    others = [rule for rule in all_rules if rule not in ours]
    findings = [*_missing(missing, stack), *_excess(ours, stack), *_others(others, stack, missing)]
    if missing and "EventBridgeConfiguration" in configuration:
        text = "the bucket sends its events to EventBridge; a stack with EventSource=EventBridge receives them"
        findings.append(notice(CHECK, "EventBridge", text))
    return [*findings, *(ok(CHECK, prefix, _COMPLETE) for prefix in stack.prefixes if prefix not in missing)]


def _gaps(ours: Sequence[Rule], prefix: str) -> list[str]:
    """Returns the events below a prefix that the queue does not receive."""
    received = {event for rule in ours if prefix.startswith(rule.prefix) and not rule.suffix for event in rule.events}

    def is_received(event: str) -> bool:
        types = {event.replace("*", name) for name in _TYPES.get(event, ())}
        return any(fnmatchcase(event, other) for other in received) or (bool(types) and types <= received)

    return [event for event in EVENTS if not is_received(event)]


def _missing(missing: Mapping[str, Sequence[str]], stack: Stack) -> Iterator[Finding]:
    for prefix, gaps in missing.items():
        events = "events" if len(gaps) == len(EVENTS) else f"{', '.join(gaps)} events"
        report, changes = warning, "what lifecycle rules and restores do"
        if {"s3:ObjectCreated:*", "s3:ObjectRemoved:*"} & set(gaps):
            report, changes = error, "these changes"
        text = f"the queue receives no {events}: manifests show {changes} only after the next sweep"
        yield report(CHECK, prefix, text, stack.fix_command)


def _excess(ours: Sequence[Rule], stack: Stack) -> Iterator[Finding]:
    """Reports rules that send too much to the queue, or that another party made."""
    for rule in ours:
        is_own = is_ours(rule.id, stack.notifications_name)
        remedy = stack.fix_command if is_own else _removal(rule, stack)
        text = f"sends events of {rule.scope} to the queue"
        if stack.root.startswith(rule.prefix) or rule.prefix.startswith(stack.root):
            text += ", manifests included: each commit causes the next, and Lambda drops events to end the loop"
            yield error(CHECK, rule.id, f"it {text}", remedy)
        elif not any(map(rule.prefix.startswith, stack.prefixes)):
            yield warning(CHECK, rule.id, f"it {text}, and no collection is there", remedy)
        elif rule.arn == stack.change_queue_arn and not is_own:
            yield notice(CHECK, rule.id, f"another party {text}; --fix keeps its configuration")


def _others(others: Sequence[Rule], stack: Stack, missing: Container[str]) -> Iterator[Finding]:
    for rule in others:
        overlapping = [prefix for prefix in stack.prefixes if rule.overlaps(prefix)]
        text = f"another party's configuration sends events of {rule.scope} to {rule.arn}"
        if is_ours(rule.id, stack.notifications_name):
            text = f"this stack's configuration sends to another queue: {rule.arn}"
            yield error(CHECK, rule.id, text, stack.fix_command)
        elif any(prefix in missing for prefix in overlapping):
            text += ", and S3 rejects a second one for the same events: --fix cannot add this stack's"
            remedy = (
                "deploy with EventSource=EventBridge; or send the events to an SNS topic, and subscribe both that"
                f" destination and the change queue to it; or remove the configuration: {_removal(rule, stack)}"
            )
            yield error(CHECK, rule.id, text, remedy)
        elif overlapping:
            yield notice(CHECK, rule.id, f"{text} too; S3 on AWS will reject the next change of either configuration")


def _removal(rule: Rule, stack: Stack) -> str:
    """Returns the command that removes a configuration. Its id is untrusted input to the shell."""
    select = f'map_values(if type == "array" then map(select(.Id != {json.dumps(rule.id)})) else . end)'
    configuration = f"bucket-notification-configuration --bucket {stack.bucket}"
    return (
        f"aws s3api get-{configuration} | jq {shlex.quote(select)} > notifications.json &&"
        f" aws s3api put-{configuration} --notification-configuration file://notifications.json"
    )


def check_event_rule(
    configuration: Mapping[str, Any], stack: Stack, rule: Mapping[str, Any] | None, targets: Sequence[str]
) -> list[Finding]:
    """Checks a bucket that sends to EventBridge, the stack's rule (None: missing), and the ARNs of its targets."""
    name, problems = f"EventBridge rule {stack.rule_name}", []
    if "EventBridgeConfiguration" not in configuration:
        problems.append("the bucket sends no events to EventBridge")
    if rule is None:
        problems.append(f"{name} does not exist")
    else:
        if rule.get("State") != "ENABLED":
            problems.append(f"{name} is disabled")
        if rule.get("EventPattern") != event_rule.pattern(stack.bucket, stack.prefixes):
            problems.append(f"{name} has another pattern than the collections need")
        if stack.change_queue_arn not in targets:
            problems.append(f"{name} does not send to the change queue")
    findings = [
        error(CHECK, prefix, f"{problem}: manifests show changes only after the next sweep", stack.fix_command)
        for problem, prefix in product(problems, stack.prefixes)
    ]
    findings += [
        notice(CHECK, item.id, "it sends to the queue too, so each change is observed twice")
        for item in rules(configuration)
        if item.arn == stack.change_queue_arn
    ]
    return findings + [ok(CHECK, prefix, _COMPLETE) for prefix in stack.prefixes if not problems]
