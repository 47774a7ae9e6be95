"""Who may do what judged: the queues' senders, the functions' roles, and what the bucket's policy denies them. Pure."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from s3_manifest_cli.client.doctor.checks.callers import ENCRYPTION, NOTHING_KNOWN, Facts, requests
from s3_manifest_cli.client.doctor.checks.event_routes import rule_name
from s3_manifest_cli.client.doctor.checks.policies import Denial, Request, denials, judge, statements
from s3_manifest_cli.client.doctor.deployed import Deployed
from s3_manifest_cli.client.doctor.model import Finding, error, notice, ok, warning

_ROUTES = tuple(
    f"events:{action}"
    for action in ("DescribeRule", "PutRule", "DeleteRule", "ListTargetsByRule", "PutTargets", "RemoveTargets")
)

SENDERS, ROLES, DENIALS = "senders", "roles", "bucket policy"


class Need(NamedTuple):
    """Actions on one resource that a function's role must allow; not ``granted``: that it must not."""

    function: str
    actions: tuple[str, ...]
    resource: str
    granted: bool = True


def needs(deployed: Deployed) -> list[Need]:
    """What each function does, as the template's policies have it, by an example of each resource."""
    bucket, root = deployed.bucket_arn, f"{deployed.bucket_arn}/{deployed.root}doctor/manifest.json"
    data = f"{bucket}/{deployed.kinds.patterns[0].prefix('doctor')}image.png"
    change, sweep = deployed.queue_arn("ChangeQueue"), deployed.queue_arn("SweepQueue")
    take = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
    found = [
        Need("ReconcileFunction", take, change),
        Need("ReconcileFunction", ("s3:PutObject",), root),
        Need("SweepFunction", take, sweep),
        Need("SweepFunction", ("s3:PutObject", "s3:DeleteObject"), root),
        Need("QueryFunction", ("s3:GetObject",), root),
        Need("SubscriptionFunction", ("s3:GetBucketNotification", "s3:PutBucketNotification"), bucket),
        Need("SubscriptionFunction", ("sqs:GetQueueUrl", "sqs:TagQueue", "sqs:ListQueueTags"), change),
        Need("SubscriptionFunction", ("sqs:SendMessage",), sweep),
    ]
    looking: tuple[str, ...] = ("ReconcileFunction", "SweepFunction")
    if "EditFunction" in deployed.functions:
        looking += ("EditFunction",)
        found.append(Need("EditFunction", ("s3:PutObject", "s3:DeleteObject"), data))
        found.append(Need("EditFunction", ("s3:PutObject", "s3:DeleteObject"), root, granted=False))
    found += [Need(function, ("s3:GetObject",), resource) for function in looking for resource in (data, root)]
    found += [Need(function, ("s3:ListBucket",), bucket) for function in (*looking, "QueryFunction")]
    asking = (*looking, "QueryFunction", "RescanFunction")
    found += [Need(function, ("sqs:SendMessage",), sweep) for function in asking]
    if deployed.uses_event_bridge:
        events = f"arn:{deployed.partition}:events:{deployed.region}:{deployed.account}:rule"
        found.append(Need("SubscriptionFunction", _ROUTES, f"{events}/s3-manifest-{deployed.guid}-0"))
        found.append(Need("SubscriptionFunction", ("events:ListRules",), f"{events}/*"))
    if deployed.parameters["AnnounceChanges"] == "true":
        bus = f"event-bus/{deployed.parameters['EventBusName']}"
        arn = f"arn:{deployed.partition}:events:{deployed.region}:{deployed.account}:{bus}"
        found += [Need(function, ("events:PutEvents",), arn) for function in looking[:2]]
    if key := deployed.parameters["KmsKeyArn"]:
        found += [Need(function, ("kms:Decrypt", "kms:GenerateDataKey"), key) for function in looking]
        found.append(Need("QueryFunction", ("kms:Decrypt",), key))
    return found


def judge_simulated(need: Need, role: str, results: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """What IAM's simulator says of a need: ``EvaluationResults`` of SimulatePrincipalPolicy."""
    found = []
    for one in results:
        action, is_allowed = one["EvalActionName"], one["EvalDecision"] == "allowed"
        if is_allowed == need.granted:
            continue
        what = f"{action} on {need.resource}"
        why = {"explicitDeny": "is denied", "implicitDeny": "is not allowed"}.get(one["EvalDecision"], "is allowed")
        if one.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations") is False:
            why += " by the organization's policies"
        if need.granted:
            mend = (
                f"allow it in the policies of {role}, or take away what denies it; `aws iam simulate-principal-policy"
            )
            mend += f" --policy-source-arn {role} --action-names {action} --resource-arns {need.resource}` tells more"
            found.append(error(ROLES, need.function, f"{what} {why}", mend))
        else:
            mend = f"take the permission out of the policies of {role}: manifests have one writer"
            found.append(warning(ROLES, need.function, f"{what} {why}", mend))
    return found


def judge_senders(deployed: Deployed, attributes: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    """Whether S3, or EventBridge, may send into the change queue, and the schedule into the sweep queue.

    ``attributes`` are the queues', by the template's names of them.
    """
    senders = [("ChangeQueue", "s3.amazonaws.com", deployed.bucket_arn, "S3")]
    if deployed.uses_event_bridge:
        arn = f"arn:{deployed.partition}:events:{deployed.region}:{deployed.account}:rule/{rule_name(deployed)}"
        senders = [("ChangeQueue", "events.amazonaws.com", arn, "EventBridge")]
    if rule := deployed.resources.get("SweepRule"):
        arn = f"arn:{deployed.partition}:events:{deployed.region}:{deployed.account}:rule/{rule}"
        senders.append(("SweepQueue", "events.amazonaws.com", arn, "the schedule"))
    return [one for sender in senders for one in judge_sender(deployed, *sender, attributes[sender[0]])]


def judge_sender(
    deployed: Deployed, queue: str, service: str, source: str, who: str, attributes: Mapping[str, str]
) -> Iterator[Finding]:
    """Whether a service of AWS may send into a queue, for the ``source`` (an ARN) that it does so for."""
    context = {"aws:sourceaccount": deployed.account, "aws:sourcearn": source, "aws:securetransport": "true"}
    arn = deployed.queue_arn(queue)
    policy: dict[str, Any] = json.loads(attributes.get("Policy") or "{}")
    judged = judge(policy, Request(frozenset({service}), "sqs:SendMessage", arn, context))
    name = f"{deployed.stack} {queue}"
    if judged.decision in {"denied", "implicitly denied"}:
        why = f"statement {judged.statement} denies it" if judged.statement else "no statement of its policy allows it"
        yield error(
            SENDERS, name, f"{who} may not send into it: {why}", _allow(deployed, queue, service, source, policy)
        )
    elif judged.decision == "unknown":
        yield notice(
            SENDERS,
            name,
            f"whether {who} may send into it hangs on conditions of statement {judged.statement} that are not known"
            " here; the round trip shows it",
        )
    else:
        yield ok(SENDERS, name, f"{who} may send into it")
    if key := attributes.get("KmsMasterKeyId"):
        yield warning(
            SENDERS,
            name,
            f"it is encrypted with key {key}: {service} can send only if that is a customer key whose policy lets it"
            " kms:GenerateDataKey and kms:Decrypt",
            f"allow that in the key's policy, or aws sqs set-queue-attributes --queue-url {deployed.queue_url(queue)}"
            " --attributes KmsMasterKeyId=,SqsManagedSseEnabled=true",
        )


def _allow(deployed: Deployed, queue: str, service: str, source: str, policy: Mapping[str, Any]) -> str:
    """The command that puts the template's statement beside those there are."""
    statement = {
        "Sid": f"DoctorLets{service.partition('.')[0].upper()}Send",
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": deployed.queue_arn(queue),
        "Condition": {
            "StringEquals": {"aws:SourceAccount": deployed.account},
            "ArnLike": {"aws:SourceArn": source},
        },
    }
    kept = [one for one in policy.get("Statement", ()) if one.get("Sid") != statement["Sid"]]
    merged = json.dumps({"Version": "2012-10-17", "Statement": [*kept, statement]})
    attributes = shlex.quote(json.dumps({"Policy": merged}))
    command = f"aws sqs set-queue-attributes --queue-url {deployed.queue_url(queue)} --attributes {attributes}"
    return f"{command} (and take away a statement that denies it)"


def judge_denials(
    deployed: Deployed, policy: Mapping[str, Any], wanted: Sequence[Need], facts: Facts = NOTHING_KNOWN
) -> list[Finding]:
    """Which of the needs the bucket's policy denies, and which it may deny: each statement that does."""
    hits: dict[str, list[tuple[str, Denial]]] = {}
    for need in wanted:
        if need.granted and need.resource.startswith(deployed.bucket_arn):
            for action in need.actions:
                for request in requests(deployed, need.function, action, need.resource, facts):
                    for denial in denials(policy, request):
                        hits.setdefault(denial.statement, []).append((f"{need.function} {action}", denial))
    texts = {name: statement for _, name, statement in statements(policy)}
    findings = [_denied(deployed, name, texts[name], found) for name, found in hits.items()]
    return findings or [ok(DENIALS, deployed.bucket, "it denies the functions nothing that they need")]


def _denied(
    deployed: Deployed, name: str, statement: Mapping[str, Any], found: Sequence[tuple[str, Denial]]
) -> Finding:
    certain = list(dict.fromkeys(what for what, denial in found if denial.certain))
    if certain:
        return error(DENIALS, name, f"this statement denies {', '.join(certain)}", _remedy(deployed, statement))
    what = ", ".join(dict.fromkeys(what for what, _ in found))
    unknown = ", ".join(dict.fromkeys(part for _, denial in found for part in denial.unknown))
    found_ = f"this statement may deny {what}: it depends on {unknown}"
    return warning(DENIALS, name, found_, f"unless it leaves them out, {_remedy(deployed, statement)}")


def _remedy(deployed: Deployed, statement: Mapping[str, Any]) -> str:
    """How to let the functions through, and nobody else."""
    roles = f"arn:{deployed.partition}:iam::{deployed.account}:role/{deployed.stack}-*"
    exempt = f'add {{"ArnNotLike": {{"aws:PrincipalArn": "{roles}"}}}} to its conditions'
    if "NotPrincipal" in statement:
        return f'replace NotPrincipal by "Principal": "*", and {exempt}, with those that it names'
    keys = {key.lower() for keys in statement.get("Condition", {}).values() for key in keys}
    if any(key.startswith(ENCRYPTION) for key in keys):
        return (
            "let the bucket's default encryption apply to requests without the header: add"
            f' {{"Null": {{"{ENCRYPTION}": "false"}}}} to its conditions; or {exempt}'
        )
    return exempt
