"""The checks of the bucket that only read: each asks AWS, and has the answer judged."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from s3_manifest_cli.client.doctor.checks import event_routes, lifecycle, notifications, permissions
from s3_manifest_cli.client.doctor.checks.callers import Facts
from s3_manifest_cli.client.doctor.clients import Clients, Unanswered, asked
from s3_manifest_cli.client.doctor.deployed import Check, Deployed, queue_attributes
from s3_manifest_cli.client.doctor.model import Finding, error, ok

_NO_RULE = ("ResourceNotFoundException", "ResourceNotFound")
_NO_TOPIC = ("NotFound", "NotFoundException")


def subscriptions(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether the queue is sent every change: by S3 itself, by topics, which have to be let in, or by EventBridge."""
    found, aim, forwarding = _notifications(clients, deployed)
    if deployed.uses_event_bridge:
        return _routed(clients, deployed, found, aim)
    findings = notifications.judge(found, aim, forwarding)
    if forwarding:
        attributes = queue_attributes(clients, deployed, "ChangeQueue")
        for topic in forwarding:
            who = f"topic {topic}"
            findings += permissions.judge_sender(deployed, "ChangeQueue", "sns.amazonaws.com", topic, who, attributes)
    return findings


def _routed(
    clients: Clients, deployed: Deployed, configuration: Mapping[str, Any], aim: notifications.Wanted
) -> list[Finding]:
    events, name = clients.of("events"), event_routes.rule_name(deployed)
    rule = asked(events.describe_rule, absent=_NO_RULE, Name=name)
    targets = asked(events.list_targets_by_rule, Rule=name)["Targets"] if rule else ()
    return event_routes.judge(configuration, aim, deployed, rule, [one["Arn"] for one in targets])


def wanted(deployed: Deployed) -> notifications.Wanted:
    """What the change queue is to be told of."""
    return notifications.Wanted(
        bucket=deployed.bucket,
        name=deployed.subscription,
        queue_arn=deployed.queue_arn("ChangeQueue"),
        prefixes=deployed.kinds.subscriptions(),
        root=deployed.root,
        fix=f"s3-manifest doctor --stack {deployed.stack} --fix",
    )


def _notifications(
    clients: Clients, deployed: Deployed
) -> tuple[Mapping[str, Any], notifications.Wanted, tuple[str, ...]]:
    found = asked(clients.s3.get_bucket_notification_configuration, Bucket=deployed.bucket)
    aim = wanted(deployed)
    # Only a topic with our prefixes is worth a question.
    return found, aim, tuple(t for t in notifications.topics(found, aim) if _hands_on(clients, t, aim.queue_arn))


def _hands_on(clients: Clients, topic: str, queue_arn: str) -> bool:
    token = ""
    while True:
        more = {"NextToken": token} if token else {}
        answer = asked(clients.of("sns").list_subscriptions_by_topic, absent=_NO_TOPIC, TopicArn=topic, **more) or {}
        if any(one["Endpoint"] == queue_arn for one in answer.get("Subscriptions", ())):
            return True
        if not (token := answer.get("NextToken", "")):
            return False


def rules(clients: Clients, deployed: Deployed) -> list[Finding]:
    """What lifecycle rules do to manifests and data."""
    absent = ("NoSuchLifecycleConfiguration",)
    found = asked(clients.s3.get_bucket_lifecycle_configuration, absent=absent, Bucket=deployed.bucket) or {}
    findings = subscriptions(clients, deployed)
    gaps = {one.subject for one in findings if one.severity in {"error", "warning"}}
    return lifecycle.judge(found, _bucket(clients, deployed, gaps))


def versions(clients: Clients, deployed: Deployed) -> list[Finding]:
    """What can be brought back."""
    return lifecycle.judge_versioning(_bucket(clients, deployed, set()))


def _bucket(clients: Clients, deployed: Deployed, expired: set[str]) -> lifecycle.Bucket:
    found = asked(clients.s3.get_bucket_versioning, Bucket=deployed.bucket)
    return lifecycle.Bucket(
        name=deployed.bucket,
        root=deployed.root,
        expiry_is_told={prefix: prefix not in expired for prefix in deployed.kinds.subscriptions()},
        history_days=int(deployed.parameters["HistoryDays"]),
        is_own=deployed.is_own_bucket,
        versioning=found.get("Status", ""),
    )


def denials(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether the bucket's policy is in the way."""
    found = asked(clients.s3.get_bucket_policy, absent=("NoSuchBucketPolicy",), Bucket=deployed.bucket)
    policy = json.loads(found["Policy"]) if found else {}
    return permissions.judge_denials(deployed, policy, permissions.needs(deployed), _facts(clients, deployed, policy))


def _facts(clients: Clients, deployed: Deployed, policy: Mapping[str, Any]) -> Facts:
    """What the policy's conditions ask for, as far as it can be known."""
    asked_for = json.dumps(policy).lower()
    in_vpc: dict[str, bool] = {}
    organization = None
    if "aws:sourcevpc" in asked_for or "aws:vpcsourceip" in asked_for:
        for name in deployed.functions:
            found = asked(clients.of("lambda").get_function_configuration, FunctionName=deployed.resources[name])
            in_vpc[name] = bool(found.get("VpcConfig", {}).get("SubnetIds"))
    if "aws:principalorgid" in asked_for:
        with suppress(Unanswered):  # whoever runs this may not ask, or there is none
            organization = asked(clients.of("organizations").describe_organization)["Organization"]["Id"]
    return Facts(in_vpc, organization)


def encryption(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether the functions may use the key that the bucket encrypts with, and it can be used."""
    check, key = "encryption", deployed.parameters["KmsKeyArn"]
    absent = ("ServerSideEncryptionConfigurationNotFoundError",)
    found = asked(clients.s3.get_bucket_encryption, absent=absent, Bucket=deployed.bucket) or {}
    rules_ = found.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    used = {one.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") for one in rules_} | {key}
    findings = []
    for name in sorted(filter(None, used)):
        facts = asked(clients.of("kms").describe_key, KeyId=name)["KeyMetadata"]
        # Whoever may use S3 may use AWS's own key through it.
        if facts.get("KeyManager") != "AWS" and facts["Arn"] != key:
            found_ = f"new objects are encrypted with {facts['Arn']}, and the functions may use {key or 'no key'}"
            mend = f"deploy with KmsKeyArn={facts['Arn']}"
            findings.append(error(check, deployed.bucket, found_, mend))
        if facts["KeyState"] != "Enabled":
            found_ = f"key {facts['Arn']} is {facts['KeyState']}: nothing encrypted with it can be read or written"
            mend = f"aws kms enable-key --key-id {name} (first cancel-key-deletion, if it is to be deleted)"
            findings.append(error(check, deployed.bucket, found_, mend))
    return findings or [ok(check, deployed.bucket, f"with {key}" if key else "the functions need no key of yours")]


CHECKS: Mapping[str, Check] = {
    notifications.CHECK: subscriptions,
    lifecycle.CHECK: rules,
    lifecycle.VERSIONING: versions,
    permissions.DENIALS: denials,
    "encryption": encryption,
}
"""Those that a missing bucket makes void."""
