"""The checks of a bucket: each requests a part of its state and passes the answer to ``checks``."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from s3_manifest_cli.client.doctor.checks import lifecycle, notifications, permissions
from s3_manifest_cli.client.doctor.checks.callers import Surroundings
from s3_manifest_cli.client.doctor.clients import Clients, RequestFailed, send
from s3_manifest_cli.client.doctor.findings import Finding, error, or_ok
from s3_manifest_cli.client.doctor.stack import Check, Stack, function_configuration, queue_attributes

_NO_RULE = ("ResourceNotFoundException", "ResourceNotFound")
_NO_TOPIC = ("NotFound", "NotFoundException")


def expected(stack: Stack) -> notifications.Expected:
    """Returns the notifications that the stack needs."""
    return notifications.Expected(
        bucket=stack.bucket,
        name=f"s3-manifest-{stack.name}",
        queue_arn=stack.queue_arn("ChangeQueue"),
        prefixes=stack.kinds.notification_prefixes(),
        root=stack.root,
        fix=f"s3-manifest doctor --stack {stack.name} --fix",
        rule_name=stack.rule_name,
    )


def _notifications(clients: Clients, stack: Stack) -> list[Finding]:
    needed = expected(stack)
    configuration = send(clients.s3.get_bucket_notification_configuration, Bucket=stack.bucket)
    if stack.uses_event_bridge:
        events = clients.client("events")
        rule = send(events.describe_rule, absent=_NO_RULE, Name=stack.rule_name)
        targets = send(events.list_targets_by_rule, Rule=stack.rule_name)["Targets"] if rule else ()
        arns = [target["Arn"] for target in targets]
        return notifications.check_event_rule(configuration, needed, rule, arns)
    topics = notifications.topics(configuration, needed)
    forwarding = [topic for topic in topics if _forwards(clients, topic, needed.queue_arn)]
    findings = notifications.check(configuration, needed, forwarding)
    if forwarding:
        attributes = queue_attributes(clients, stack, "ChangeQueue")
        for topic in forwarding:
            sender = permissions.Sender("ChangeQueue", "sns.amazonaws.com", topic, f"topic {topic}")
            findings += permissions.check_sender(stack, sender, attributes)
    return findings


def _forwards(clients: Clients, topic: str, queue_arn: str) -> bool:
    """Whether the queue is subscribed to the topic."""
    token = ""
    while True:
        page = {"NextToken": token} if token else {}
        call = clients.client("sns").list_subscriptions_by_topic
        answer = send(call, absent=_NO_TOPIC, TopicArn=topic, **page) or {}
        if any(subscription["Endpoint"] == queue_arn for subscription in answer.get("Subscriptions", ())):
            return True
        if not (token := answer.get("NextToken", "")):
            return False


def check_retention(
    clients: Clients, retention: lifecycle.Retention, checks: Iterable[str] = (lifecycle.CHECK, lifecycle.VERSIONING)
) -> Iterator[Finding]:
    """Checks the lifecycle rules and the versioning of a bucket."""
    versioning = send(clients.s3.get_bucket_versioning, Bucket=retention.bucket).get("Status", "")
    retention = retention._replace(versioning=versioning)
    if lifecycle.CHECK in checks:
        call, absent = clients.s3.get_bucket_lifecycle_configuration, ("NoSuchLifecycleConfiguration",)
        yield from lifecycle.check(send(call, absent=absent, Bucket=retention.bucket) or {}, retention)
    if lifecycle.VERSIONING in checks:
        yield from lifecycle.check_versioning(retention)


def _lifecycle(clients: Clients, stack: Stack) -> Iterable[Finding]:
    findings = _notifications(clients, stack)
    unnoticed = {finding.subject for finding in findings if finding.severity in {"error", "warning"}}
    retention = _retention(stack)._replace(unnoticed=unnoticed, fix=expected(stack).fix)
    return check_retention(clients, retention, [lifecycle.CHECK])


def _versioning(clients: Clients, stack: Stack) -> Iterable[Finding]:
    return check_retention(clients, _retention(stack), [lifecycle.VERSIONING])


def _retention(stack: Stack) -> lifecycle.Retention:
    return lifecycle.Retention(
        bucket=stack.bucket,
        root=stack.root,
        prefixes=stack.kinds.notification_prefixes(),
        history_days=int(stack.parameters["HistoryDays"]),
        is_own=not stack.parameters["ExistingBucket"],
    )


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


def _encryption(clients: Clients, stack: Stack) -> Iterable[Finding]:
    key = stack.parameters["KmsKeyArn"]
    text = f"objects are encrypted with {key}" if key else "the functions need no customer key"
    return or_ok(_key_problems(clients, stack, key), "encryption", stack.bucket, text)


def _key_problems(clients: Clients, stack: Stack, own_key: str) -> Iterator[Finding]:
    absent = ("ServerSideEncryptionConfigurationNotFoundError",)
    answer = send(clients.s3.get_bucket_encryption, absent=absent, Bucket=stack.bucket) or {}
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    keys = {rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") for rule in rules} | {own_key}
    for key in sorted(filter(None, keys)):
        metadata = send(clients.client("kms").describe_key, KeyId=key)["KeyMetadata"]
        # Every role that may use S3 may use AWS's own key through it.
        if metadata.get("KeyManager") != "AWS" and metadata["Arn"] != own_key:
            text = f"new objects are encrypted with {metadata['Arn']}; the functions may use {own_key or 'no key'}"
            yield error("encryption", stack.bucket, text, f"deploy with KmsKeyArn={metadata['Arn']}")
        if metadata["KeyState"] != "Enabled":
            text = f"key {metadata['Arn']} is {metadata['KeyState']}: its objects cannot be read or written"
            remedy = f"aws kms enable-key --key-id {key}"
            if metadata["KeyState"] == "PendingDeletion":
                remedy = f"aws kms cancel-key-deletion --key-id {key} && {remedy}"
            yield error("encryption", stack.bucket, text, remedy)


CHECKS: Mapping[str, Check] = {
    notifications.CHECK: _notifications,
    lifecycle.CHECK: _lifecycle,
    lifecycle.VERSIONING: _versioning,
    permissions.DENIALS: _bucket_policy,
    "encryption": _encryption,
}
"""The checks that need the bucket to exist."""
