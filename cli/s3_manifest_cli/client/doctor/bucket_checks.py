"""The checks of a bucket: each requests a part of its state and passes the answer to ``checks``."""

import json
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from typing import Any

from s3_manifest_cli.client.doctor.checks import lifecycle, notifications, permissions
from s3_manifest_cli.client.doctor.checks.callers import Surroundings
from s3_manifest_cli.client.doctor.clients import MISSING, Clients, RequestFailed, send
from s3_manifest_cli.client.doctor.findings import Finding, error, or_ok
from s3_manifest_cli.client.doctor.stack import Check, Stack, Target, function_configuration, queue_attributes


def _notifications(clients: Clients, stack: Stack) -> list[Finding]:
    configuration = send(clients.s3.get_bucket_notification_configuration, Bucket=stack.bucket)
    if stack.uses_event_bridge:
        events = clients.client("events")
        rule = send(events.describe_rule, absent=MISSING, Name=stack.rule_name)
        targets = send(events.list_targets_by_rule, Rule=stack.rule_name)["Targets"] if rule else ()
        return notifications.check_event_rule(configuration, stack, rule, [target["Arn"] for target in targets])
    topics = notifications.topics(configuration, stack)
    forwarding = [topic for topic in topics if _forwards(clients, topic, stack.change_queue_arn)]
    findings = notifications.check(configuration, stack, forwarding)
    if forwarding:
        attributes = queue_attributes(clients, stack, "ChangeQueue")
        for topic in forwarding:
            sender = permissions.Sender("ChangeQueue", "sns.amazonaws.com", topic, f"topic {topic}")
            findings += permissions.check_sender(stack, sender, attributes)
    return findings


def _forwards(clients: Clients, topic: str, queue_arn: str) -> bool:
    """Whether the queue is subscribed to the topic."""
    page: dict[str, str] = {}
    while True:
        call = clients.client("sns").list_subscriptions_by_topic
        answer = send(call, absent=MISSING, TopicArn=topic, **page) or {}
        if any(subscription["Endpoint"] == queue_arn for subscription in answer.get("Subscriptions", ())):
            return True
        if not answer.get("NextToken"):
            return False
        page = {"NextToken": answer["NextToken"]}


def _versioning_of(clients: Clients, target: Target) -> str:
    return str(send(clients.s3.get_bucket_versioning, Bucket=target.bucket).get("Status", ""))


def _rules(clients: Clients, target: Target, unnoticed: Container[str] = ()) -> list[Finding]:
    versioning = _versioning_of(clients, target)
    call, absent = clients.s3.get_bucket_lifecycle_configuration, ("NoSuchLifecycleConfiguration",)
    configuration = send(call, absent=absent, Bucket=target.bucket) or {}
    return lifecycle.check(configuration, target, versioning, unnoticed)


def _lifecycle(clients: Clients, stack: Stack) -> Iterable[Finding]:
    findings = _notifications(clients, stack)
    unnoticed = {finding.subject for finding in findings if finding.severity in {"error", "warning"}}
    return _rules(clients, stack, unnoticed)


def _versioning(clients: Clients, target: Target) -> list[Finding]:
    return [lifecycle.check_versioning(target, _versioning_of(clients, target))]


def _bucket_policy(clients: Clients, stack: Stack) -> Iterable[Finding]:
    answer = send(clients.s3.get_bucket_policy, absent=("NoSuchBucketPolicy",), Bucket=stack.bucket)
    policy = json.loads(answer["Policy"]) if answer else {}
    return permissions.check_bucket_policy(stack, policy, _surroundings(clients, stack, policy))


def _surroundings(clients: Clients, stack: Stack, policy: Mapping[str, Any]) -> Surroundings:
    """Requests only what the policy's conditions test."""
    text = json.dumps(policy).lower()
    in_vpc: dict[str, bool] = {}
    organization = None
    if "aws:sourcevpc" in text or "aws:vpcsourceip" in text:
        for name in stack.functions:
            configuration = function_configuration(clients, stack, name)
            in_vpc[name] = bool(configuration.get("VpcConfig", {}).get("SubnetIds"))
    if "aws:principalorgid" in text:
        with suppress(RequestFailed):  # not permitted, or the account has no organization
            organization = send(clients.client("organizations").describe_organization)["Organization"]["Id"]
    return Surroundings(in_vpc, organization)


def _encryption(clients: Clients, stack: Stack) -> list[Finding]:
    own_key, findings = stack.parameters["KmsKeyArn"], []
    absent = ("ServerSideEncryptionConfigurationNotFoundError",)
    answer = send(clients.s3.get_bucket_encryption, absent=absent, Bucket=stack.bucket) or {}
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    keys = {rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") for rule in rules} | {own_key}
    for key in sorted(filter(None, keys)):
        metadata = send(clients.client("kms").describe_key, KeyId=key)["KeyMetadata"]
        arn, state = metadata["Arn"], metadata["KeyState"]
        # Every role that may use S3 may use AWS's own key through it.
        if metadata.get("KeyManager") != "AWS" and arn != own_key:
            text = f"new objects are encrypted with {arn}; the functions may use {own_key or 'no key'}"
            findings.append(error("encryption", stack.bucket, text, f"deploy with KmsKeyArn={arn}"))
        if state != "Enabled":
            text = f"key {arn} is {state}: its objects cannot be read or written"
            cancel = f"aws kms cancel-key-deletion --key-id {key} && " if state == "PendingDeletion" else ""
            findings.append(error("encryption", stack.bucket, text, f"{cancel}aws kms enable-key --key-id {key}"))
    text = f"objects are encrypted with {own_key}" if own_key else "the functions need no customer key"
    return or_ok(findings, "encryption", stack.bucket, text)


RETENTION: Mapping[str, Callable[[Clients, Target], Iterable[Finding]]] = {
    lifecycle.CHECK: _rules,
    lifecycle.VERSIONING: _versioning,
}
"""The checks of a bucket without a stack."""

CHECKS: Mapping[str, Check] = {
    notifications.CHECK: _notifications,
    lifecycle.CHECK: _lifecycle,
    lifecycle.VERSIONING: _versioning,
    permissions.DENIALS: _bucket_policy,
    "encryption": _encryption,
}
"""The checks of a stack's bucket. They need the bucket to exist."""
