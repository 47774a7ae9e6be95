"""The EventBridge rule of a stack that takes its bucket's changes from there, judged. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from s3_manifest.subscription import event_rule
from s3_manifest_cli.client.doctor.checks.notifications import CHECK, Wanted, rules
from s3_manifest_cli.client.doctor.deployed import Deployed
from s3_manifest_cli.client.doctor.model import Finding, error, notice, ok


def rule_name(deployed: Deployed) -> str:
    """The name of the rule."""
    return event_rule.name(f"s3-manifest-{deployed.guid}", deployed.bucket)


def judge(
    configuration: Mapping[str, Any],
    wanted: Wanted,
    deployed: Deployed,
    rule: Mapping[str, Any] | None,
    targets: Sequence[str],
) -> list[Finding]:
    """Whether the queue is sent every change.

    ``configuration`` is the bucket's; ``rule`` what EventBridge says of the rule, ``targets`` the ARNs it sends to.
    """
    wrong = list(_wrong(configuration, wanted, deployed, rule, targets))
    findings = [error(CHECK, prefix, found, wanted.fix) for found in wrong for prefix in wanted.prefixes]
    findings += [
        notice(CHECK, one.id, "the bucket's notifications tell the queue too: changes are observed twice")
        for one in rules(configuration)
        if one.arn == wanted.queue_arn
    ]
    told = "EventBridge sends the queue every change"
    return findings if wrong else [*findings, *(ok(CHECK, prefix, told) for prefix in wanted.prefixes)]


def _wrong(
    configuration: Mapping[str, Any],
    wanted: Wanted,
    deployed: Deployed,
    rule: Mapping[str, Any] | None,
    targets: Sequence[str],
) -> Iterator[str]:
    name = rule_name(deployed)
    late = "manifests show changes after the next sweep only"
    if "EventBridgeConfiguration" not in configuration:
        yield f"the bucket sends no events to EventBridge: {late}"
    if rule is None:
        yield f"EventBridge has no rule {name}: {late}"
        return
    if rule.get("State") != "ENABLED":
        yield f"EventBridge's rule {name} is disabled: {late}"
    if rule.get("EventPattern") != event_rule.pattern(deployed.bucket, wanted.prefixes):
        yield f"the pattern of EventBridge's rule {name} is not that of the collections: {late}"
    if wanted.queue_arn not in targets:
        yield f"EventBridge's rule {name} does not send to the change queue: {late}"
