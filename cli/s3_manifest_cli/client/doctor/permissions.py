"""Who may do what judged: the queues' senders, the functions' roles, and what the bucket's policy denies them. Pure."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from s3_manifest_cli.client.doctor.deployed import Deployed
from s3_manifest_cli.client.doctor.model import Finding, error, notice, ok, warning
from s3_manifest_cli.client.doctor.policies import Request, judge

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
    ]
    looking: tuple[str, ...] = ("ReconcileFunction", "SweepFunction")
    if "EditFunction" in deployed.functions:
        looking += ("EditFunction",)
        found.append(Need("EditFunction", ("s3:PutObject", "s3:DeleteObject"), data))
        found.append(Need("EditFunction", ("s3:PutObject", "s3:DeleteObject"), root, granted=False))
    found += [Need(function, ("s3:GetObject",), data) for function in looking]
    found += [Need(function, ("s3:ListBucket",), bucket) for function in (*looking, "QueryFunction")]
    asking = (*looking, "QueryFunction", "RescanFunction")
    found += [Need(function, ("sqs:SendMessage",), sweep) for function in asking]
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
    """Whether S3 may send into the change queue, and the schedule into the sweep queue.

    ``attributes`` are the queues', by the template's names of them.
    """
    senders = [("ChangeQueue", "s3.amazonaws.com", deployed.bucket_arn, "S3")]
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


def judge_denials(deployed: Deployed, policy: Mapping[str, Any], wanted: Sequence[Need]) -> list[Finding]:
    """Which of the needs the bucket's policy denies, or may deny."""
    found: dict[tuple[str, str], list[str]] = {}
    for need in wanted:
        if not need.granted or not need.resource.startswith(deployed.bucket_arn):
            continue
        for action in need.actions:
            judged = judge(policy, _request(deployed, need, action))
            if judged.effect == "Deny":
                found.setdefault((judged.decision, judged.statement), []).append(f"{need.function} {action}")
    findings = []
    for (decision, statement), what in found.items():
        names = ", ".join(what)
        if decision == "denied":
            mend = f"except the roles of {deployed.stack} from it, with a condition on aws:PrincipalArn"
            findings.append(error(DENIALS, statement, f"this statement denies {names}", mend))
        else:
            found_ = f"whether this statement denies {names} hangs on conditions that are not known here"
            findings.append(notice(DENIALS, statement, f"{found_}; the round trip shows what it does"))
    return findings or [ok(DENIALS, deployed.bucket, "it denies the functions nothing that they need")]


def _request(deployed: Deployed, need: Need, action: str) -> Request:
    role = deployed.role_arn(need.function)
    names = {role, deployed.account, f"arn:{deployed.partition}:iam::{deployed.account}:root"}
    context = {
        "aws:securetransport": "true",
        "aws:principalarn": role,
        "aws:principalaccount": deployed.account,
        "s3:tlsversion": "1.2",
        # Nothing is written with these headers; and of what is written, pages and change records without a condition.
        "s3:x-amz-server-side-encryption": None,
        "s3:x-amz-server-side-encryption-aws-kms-key-id": None,
        "s3:x-amz-acl": None,
        "s3:if-none-match": None,
        "s3:if-match": None,
    }
    return Request(frozenset(names), action, need.resource, context)
