"""Checks permissions: the queues' policies, the functions' roles, and the bucket's policy."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from s3_manifest.storage.subscription_record import record_key
from s3_manifest_cli.client.doctor.checks.callers import ENCRYPTION, Surroundings, requests
from s3_manifest_cli.client.doctor.checks.policies import Match, Request, evaluate, matches
from s3_manifest_cli.client.doctor.findings import Finding, error, notice, ok, or_ok, warning
from s3_manifest_cli.client.doctor.stack import Stack

SENDERS, ROLES, DENIALS = "senders", "roles", "bucket policy"

_RULE_ACTIONS = tuple(
    f"events:{action}"
    for action in ("DescribeRule", "PutRule", "DeleteRule", "ListTargetsByRule", "PutTargets", "RemoveTargets")
)

_SUBSCRIBE = tuple(
    f"s3:{action}" for action in ("GetBucketNotification", "PutBucketNotification", "ListBucket", "ListBucketVersions")
)


class Need(NamedTuple):
    """Actions on a resource that a function's role must allow; if not ``granted``, must not allow."""

    function: str
    actions: tuple[str, ...]
    resource: str
    granted: bool = True


def needs(stack: Stack) -> list[Need]:
    """Returns what the functions need, as in the template's policies, with an example of each resource."""
    bucket, root = stack.bucket_arn, f"{stack.bucket_arn}/{stack.root}doctor/manifest.json"
    prefix = stack.patterns[0].prefix("doctor") if stack.patterns else "doctor/"
    data, record = f"{bucket}/{prefix}image.png", f"{bucket}/{record_key(stack.root)}"
    change, sweep = stack.change_queue_arn, stack.queue_arn("SweepQueue")
    consume = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
    write, get = ("s3:PutObject", "s3:DeleteObject"), ("s3:GetObject",)
    required = [
        Need("ReconcileFunction", consume, change),
        Need("ReconcileFunction", ("s3:PutObject",), root),
        Need("ReconcileFunction", ("s3:PutObject",), data, granted=False),
        Need("SweepFunction", consume, sweep),
        Need("SweepFunction", write, root),
        Need("SweepFunction", write, data, granted=False),
        Need("QueryFunction", get, root),
        Need("QueryFunction", get, data, granted=False),
        Need("SubscriptionFunction", _SUBSCRIBE, bucket),
        Need("SubscriptionFunction", (*get, *write, "s3:DeleteObjectVersion"), record),
        Need("SubscriptionFunction", ("sqs:GetQueueUrl", "sqs:TagQueue", "sqs:ListQueueTags"), change),
        Need("SubscriptionFunction", ("sqs:SendMessage",), sweep),
    ]
    writers: tuple[str, ...] = ("ReconcileFunction", "SweepFunction")
    readers = writers
    if "EditFunction" in stack.functions:
        readers += ("EditFunction",)
        required += [Need("EditFunction", write, data), Need("EditFunction", write, root, granted=False)]
    required += [Need(function, get, resource) for function in readers for resource in (data, root)]
    required += [Need(function, ("s3:ListBucket",), bucket) for function in (*readers, "QueryFunction")]
    senders = (*readers, "QueryFunction", "RescanFunction")
    required += [Need(function, ("sqs:SendMessage",), sweep) for function in senders]
    if stack.uses_event_bridge:
        rule = stack.arn("events", f"rule/s3-manifest-{stack.guid}-0")
        required.append(Need("SubscriptionFunction", _RULE_ACTIONS, rule))
        required.append(Need("SubscriptionFunction", ("events:ListRules",), stack.arn("events", "rule/*")))
    if stack.parameters["AnnounceChanges"] == "true":
        bus = stack.arn("events", f"event-bus/{stack.parameters['EventBusName']}")
        required += [Need(function, ("events:PutEvents",), bus) for function in writers]
    if key := stack.parameters["KmsKeyArn"]:
        writing = (*readers, "SubscriptionFunction")
        required += [Need(function, ("kms:Decrypt", "kms:GenerateDataKey"), key) for function in writing]
        required.append(Need("QueryFunction", ("kms:Decrypt",), key))
    return required


def simulation_context(stack: Stack) -> list[dict[str, Any]]:
    """The values of condition keys: IAM's simulator evaluates conditions only with those that it receives."""
    domain = "amazonaws.com.cn" if stack.partition == "aws-cn" else "amazonaws.com"
    values = {
        "aws:ResourceAccount": stack.account,
        "kms:ViaService": f"s3.{stack.region}.{domain}",
        "kms:EncryptionContext:aws:s3:arn": stack.bucket_arn,
    }
    return [
        {"ContextKeyType": "string", "ContextKeyName": name, "ContextKeyValues": [value]}
        for name, value in values.items()
    ]


def check_simulation(need: Need, role: str, results: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Checks the ``EvaluationResults`` of IAM's SimulatePrincipalPolicy for a need."""
    for result in results:
        action, decision = result["EvalActionName"], result["EvalDecision"]
        if (decision == "allowed") == need.granted:
            continue
        reason = {"explicitDeny": "is denied", "implicitDeny": "is not allowed"}.get(decision, "is allowed")
        if result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations") is False:
            reason += " by the organization's policies"
        text = f"{action} on {need.resource} {reason}"
        if need.granted:
            command = f"aws iam simulate-principal-policy --policy-source-arn {role} --action-names {action}"
            remedy = f"allow it in the policies of {role}, or remove what denies it; this shows it: {command}"
            yield error(ROLES, need.function, text, f"{remedy} --resource-arns {need.resource}")
        else:
            remedy = f"remove the permission from the policies of {role}; the template does not grant it"
            yield warning(ROLES, need.function, text, remedy)


class Sender(NamedTuple):
    """A service that sends to a queue for a ``source`` (an ARN); ``name`` is for messages."""

    queue: str
    service: str
    source: str
    name: str


def check_senders(stack: Stack, attributes: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    """Checks the policies of the queues. ``attributes``: of each queue, by its logical id."""
    senders = []
    for bucket in stack.buckets:
        view, suffix = stack.at(bucket), f" for {bucket}" if len(stack.buckets) > 1 else ""
        sender = Sender("ChangeQueue", "s3.amazonaws.com", view.bucket_arn, f"S3{suffix}")
        if stack.uses_event_bridge:
            rule = stack.arn("events", f"rule/{view.rule_name}")
            sender = Sender("ChangeQueue", "events.amazonaws.com", rule, f"EventBridge{suffix}")
        senders.append(sender)
    if name := stack.resources.get("SweepRule"):
        rule = stack.arn("events", f"rule/{name}")
        senders.append(Sender("SweepQueue", "events.amazonaws.com", rule, "the schedule"))
    return [finding for sender in senders for finding in check_sender(stack, sender, attributes[sender.queue])]


def check_sender(stack: Stack, sender: Sender, attributes: Mapping[str, str]) -> Iterator[Finding]:
    """Checks whether a service may send to a queue with these attributes."""
    context = {"aws:sourceaccount": stack.account, "aws:sourcearn": sender.source, "aws:securetransport": "true"}
    policy: dict[str, Any] = json.loads(attributes.get("Policy") or "{}")
    request = Request({"service": {sender.service}}, "sqs:SendMessage", stack.queue_arn(sender.queue), context)
    result = evaluate(policy, request)
    name, statement = f"{stack.name} {sender.queue}", f"statement {result.statement}"
    command = f"aws sqs set-queue-attributes --queue-url {stack.resources[sender.queue]} --attributes"
    if result.decision == "denied":
        text = f"{sender.name} may not send to it: {statement} of its policy denies it"
        remedy = f"remove {statement}; if none allows it then: {command} {_allowing(stack, sender, policy)}"
        yield error(SENDERS, name, text, remedy)
    elif result.decision == "implicitly denied":
        text = f"{sender.name} may not send to it: no statement of its policy allows it"
        yield error(SENDERS, name, text, f"{command} {_allowing(stack, sender, policy)}")
    elif result.decision == "unknown":
        text = f"{sender.name} may send to it only if unknown conditions of {statement} hold"
        yield notice(SENDERS, name, f"{text}; the round trip shows whether they do")
    else:
        yield ok(SENDERS, name, f"{sender.name} may send to it")
    if key := attributes.get("KmsMasterKeyId"):
        condition = "the policy of a customer key allows it kms:GenerateDataKey and kms:Decrypt"
        text = f"it is encrypted with key {key}: {sender.service} can send only if {condition}"
        remedy = f"allow both in the key's policy, or: {command} KmsMasterKeyId=,SqsManagedSseEnabled=true"
        yield warning(SENDERS, name, text, remedy)


def _allowing(stack: Stack, sender: Sender, policy: Mapping[str, Any]) -> str:
    """Returns the attributes that add the template's statement to the policy's own."""
    statement = {
        "Sid": f"DoctorLets{sender.service.partition('.')[0].upper()}Send",
        "Effect": "Allow",
        "Principal": {"Service": sender.service},
        "Action": "sqs:SendMessage",
        "Resource": stack.queue_arn(sender.queue),
        "Condition": {
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": sender.source},
        },
    }
    others = [other for other in policy.get("Statement", ()) if other.get("Sid") != statement["Sid"]]
    merged = json.dumps({"Version": "2012-10-17", "Statement": [*others, statement]})
    return shlex.quote(json.dumps({"Policy": merged}))


def check_bucket_policy(stack: Stack, policy: Mapping[str, Any], surroundings: Surroundings) -> list[Finding]:
    """Reports each statement of the bucket's policy that denies, or may deny, what the functions need."""
    affected: dict[str, list[tuple[str, Match]]] = {}
    for need in needs(stack):
        if need.granted and need.resource.startswith(stack.bucket_arn):
            for action in need.actions:
                for request in requests(stack, need.function, action, need.resource, surroundings):
                    for match in matches(policy, request, "Deny"):
                        affected.setdefault(match.name, []).append((f"{need.function} {action}", match))
    findings = [_denied(stack, hits) for hits in affected.values()]
    return or_ok(findings, DENIALS, stack.bucket, "it denies the functions nothing that they need")


def _denied(stack: Stack, hits: Sequence[tuple[str, Match]]) -> Finding:
    name, statement, _ = hits[0][1]
    remedy = _exemption(stack, statement)
    if certain := list(dict.fromkeys(action for action, match in hits if not match.unknown)):
        return error(DENIALS, name, f"this statement denies {', '.join(certain)}", remedy)
    actions = ", ".join(dict.fromkeys(action for action, _ in hits))
    unknown = ", ".join(dict.fromkeys(part for _, match in hits for part in match.unknown))
    text = f"this statement may deny {actions}: it depends on {unknown}"
    return warning(DENIALS, name, text, f"unless it exempts the functions, {remedy}")


def _exemption(stack: Stack, statement: Mapping[str, Any]) -> str:
    """Returns how to exempt the functions, and nothing else, from a statement."""
    roles = f"arn:{stack.partition}:iam::{stack.account}:role/{stack.name}-*"
    exempt = f'add {{"ArnNotLike": {{"aws:PrincipalArn": "{roles}"}}}} to its conditions'
    if "NotPrincipal" in statement:
        return f'replace NotPrincipal with "Principal": "*", and {exempt}, together with the principals that it names'
    keys = {key.lower() for keys in statement.get("Condition", {}).values() for key in keys}
    if any(key.startswith(ENCRYPTION) for key in keys):
        default = "let the bucket's default encryption apply to requests without the header"
        return f'{default}: add {{"Null": {{"{ENCRYPTION}": "false"}}}} to its conditions; or {exempt}'
    return exempt
