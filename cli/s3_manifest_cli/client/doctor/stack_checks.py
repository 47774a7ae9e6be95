"""The checks of a stack and of a bucket: each requests a part of their state and passes the answer to ``checks``."""

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from s3_manifest_cli.client.doctor.checks import buckets, functions, lifecycle, notifications, permissions, queues
from s3_manifest_cli.client.doctor.checks.callers import Surroundings
from s3_manifest_cli.client.doctor.clients import MISSING, Clients, send
from s3_manifest_cli.client.doctor.findings import Finding, error, not_checked, notice, ok, or_ok, warning
from s3_manifest_cli.client.doctor.stack import Bucket, Stack, Target
from s3_manifest_cli.errors import Unavailable

_CONSUMERS = {
    "ChangeQueue": ("ReconcileFunction", "ReconcileFunctionChanges"),
    "SweepQueue": ("SweepFunction", "SweepFunctionJobs"),
}
"""The function and the event source mapping of each queue."""
_PEEK_SECONDS = 20


AnyTarget = TypeVar("AnyTarget", Stack, Bucket, Target)
Check = Callable[[Clients, AnyTarget], Iterable[Finding]]
"""Requests the state of a part of a stack or bucket, and returns the findings about it. Raises ``Unavailable``."""


def _queue_attributes(clients: Clients, stack: Stack, queue: str) -> dict[str, str]:
    call = clients.client("sqs").get_queue_attributes
    return dict(send(call, QueueUrl=stack.resources[queue], AttributeNames=["All"])["Attributes"])


def _function_configuration(clients: Clients, stack: Stack, function: str) -> dict[str, Any]:
    return dict(send(clients.client("lambda").get_function_configuration, FunctionName=stack.resources[function]))


def _status(_clients: Clients, stack: Stack) -> Iterator[Finding]:
    status, events = stack.status, f"aws cloudformation describe-stack-events --stack-name {stack.name}"
    if status.endswith("_FAILED") or status.startswith("DELETE"):
        yield error("stack", stack.name, f"its status is {status}", f"remove the cause, and deploy again: {events}")
    elif status.endswith("_IN_PROGRESS"):
        remedy = f"aws cloudformation wait stack-update-complete --stack-name {stack.name}; then run doctor again"
        yield warning("stack", stack.name, f"its status is {status}", remedy)
    elif "ROLLBACK" in status:
        text = f"its status is {status}: the last update failed and was rolled back"
        yield notice("stack", stack.name, text, f"remove the cause, and deploy again: {events}")
    else:
        yield ok("stack", stack.name, f"its status is {status}")


def _buckets(_clients: Clients, stack: Stack) -> Iterable[Finding]:
    return buckets.check_listed(stack)


def _place(clients: Clients, stack: Stack) -> list[Finding]:
    region = send(clients.s3.head_bucket, Bucket=stack.bucket).get("BucketRegion")
    # S3 answers 403 if another account owns the bucket.
    owned = send(clients.s3.head_bucket, absent=("403",), Bucket=stack.bucket, ExpectedBucketOwner=stack.account)
    return [buckets.check_place(stack, region, is_owned=owned is not None)]


def _senders(clients: Clients, stack: Stack) -> Iterable[Finding]:
    attributes = {queue: _queue_attributes(clients, stack, queue) for queue in _CONSUMERS}
    return permissions.check_senders(stack, attributes)


def _roles(clients: Clients, stack: Stack) -> Iterable[Finding]:
    findings = list[Finding]()
    # Most needs are the same for every bucket.
    needs = dict.fromkeys(need for name in stack.buckets for need in permissions.needs(stack.at(name)))
    for need in needs:
        role = stack.role_arn(need.function)
        answer = send(
            clients.client("iam").simulate_principal_policy,
            PolicySourceArn=role,
            ActionNames=list(need.actions),
            ResourceArns=[need.resource],
            ContextEntries=permissions.simulation_context(stack),
        )
        findings += permissions.check_simulation(need, role, answer["EvaluationResults"])
    return or_ok(findings, permissions.ROLES, stack.name, "they allow the functions what they need")


def _dead_letters(clients: Clients, stack: Stack) -> list[Finding]:
    """Receives some messages, and makes them visible again immediately."""
    sqs, url = clients.client("sqs"), stack.resources["DeadLetterQueue"]
    waiting = int(_queue_attributes(clients, stack, "DeadLetterQueue")["ApproximateNumberOfMessages"])
    letters, answer = [], {}
    if waiting:
        answer = send(
            sqs.receive_message,
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_PEEK_SECONDS,
            WaitTimeSeconds=1,  # short polling samples only some of the queue's servers
            MessageSystemAttributeNames=["SentTimestamp"],
        )
    for message in answer.get("Messages", ()):
        send(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
        sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
        letters.append((sent_at, queues.describe(message["Body"])))
    return [queues.check_dead_letters(stack, waiting, letters)]


def _queues(clients: Clients, stack: Stack) -> Iterator[Finding]:
    for queue, (function, _) in _CONSUMERS.items():
        attributes, oldest = _queue_attributes(clients, stack, queue), None
        timeout = _function_configuration(clients, stack, function)["Timeout"]
        if int(attributes["ApproximateNumberOfMessages"]):
            try:
                oldest = _oldest(clients, stack.resources[queue].rpartition("/")[2])
            except Unavailable as failure:
                text = f"the age of its messages is unknown: {failure.message}"
                yield not_checked(queues.CHECK, f"{stack.name} {queue}", text, failure.remedy)
        yield from queues.check(stack, queue, attributes, timeout, oldest)


def _oldest(clients: Clients, queue_name: str) -> float | None:
    """Returns the age of a queue's oldest message in seconds; only CloudWatch has it."""
    now = datetime.now(UTC)
    datapoints = send(
        clients.client("cloudwatch").get_metric_statistics,
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": queue_name}],
        StartTime=now - timedelta(minutes=15),
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    latest = max(datapoints, key=lambda point: point["Timestamp"], default=None)
    return latest and float(latest["Maximum"])


def _functions(clients: Clients, stack: Stack) -> Iterable[Finding]:
    findings, concurrency = list[Finding](), clients.client("lambda").get_function_concurrency
    for name in stack.functions:
        configuration = _function_configuration(clients, stack, name)
        reserved = send(concurrency, FunctionName=stack.resources[name]).get("ReservedConcurrentExecutions")
        findings += functions.check(stack, name, configuration, reserved)
    return or_ok(findings, functions.CHECK, stack.name, f"all {len(stack.functions)} are ready")


def _mappings(clients: Clients, stack: Stack) -> Iterable[Finding]:
    findings = list[Finding]()
    for queue, (function, name) in _CONSUMERS.items():
        uuid = stack.resources[name]
        mapping = send(clients.client("lambda").get_event_source_mapping, absent=MISSING, UUID=uuid)
        findings += functions.check_mapping(function, mapping, stack.queue_arn(queue), uuid)
    return or_ok(findings, functions.MAPPINGS, stack.name, "the functions receive the queues' messages")


def _schedule(clients: Clients, stack: Stack) -> Iterator[Finding]:
    name = stack.resources.get("SweepRule")
    rule = name and send(clients.client("events").describe_rule, absent=MISSING, Name=name)
    yield functions.check_schedule(stack, rule or None)


def _event_bus(clients: Clients, stack: Stack) -> Iterator[Finding]:
    check, bus = "announcements", stack.parameters["EventBusName"]
    if stack.parameters["AnnounceChanges"] != "true":
        yield ok(check, stack.name, "changes are not announced (AnnounceChanges=false)")
    elif send(clients.client("events").describe_event_bus, absent=MISSING, Name=bus) is None:
        remedy = f"aws events create-event-bus --name {bus}, or deploy with another EventBusName"
        yield error(check, bus, "the event bus does not exist: changes are retried until they can be announced", remedy)
    else:
        yield ok(check, bus, "changes are announced on this event bus")


def _alarms(clients: Clients, stack: Stack) -> Iterable[Finding]:
    answer = send(clients.client("cloudwatch").describe_alarms, AlarmNames=stack.alarms)
    return functions.check_alarms(stack, answer["MetricAlarms"])


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
        attributes = _queue_attributes(clients, stack, "ChangeQueue")
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


def _lifecycle_rules(clients: Clients, target: Target, unnoticed: Container[str] = ()) -> list[Finding]:
    versioning = _versioning_of(clients, target)
    call, absent = clients.s3.get_bucket_lifecycle_configuration, ("NoSuchLifecycleConfiguration",)
    configuration = send(call, absent=absent, Bucket=target.bucket) or {}
    return lifecycle.check(configuration, target, versioning, unnoticed)


def _lifecycle(clients: Clients, stack: Stack) -> Iterable[Finding]:
    findings = _notifications(clients, stack)
    unnoticed = {finding.subject for finding in findings if finding.severity in {"error", "warning"}}
    return _lifecycle_rules(clients, stack, unnoticed)


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
            configuration = _function_configuration(clients, stack, name)
            in_vpc[name] = bool(configuration.get("VpcConfig", {}).get("SubnetIds"))
    if "aws:principalorgid" in text:
        with suppress(Unavailable):  # not permitted, or the account has no organization
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


CHECKS: Mapping[str, Check[Stack]] = {
    "stack": _status,
    buckets.LISTED: _buckets,
    permissions.SENDERS: _senders,
    permissions.ROLES: _roles,
    functions.CHECK: _functions,
    functions.MAPPINGS: _mappings,
    functions.SCHEDULE: _schedule,
    "announcements": _event_bus,
    queues.CHECK: _queues,
    queues.DEAD_LETTERS: _dead_letters,
    functions.ALARMS: _alarms,
}
"""The checks of a stack without its buckets."""

RETENTION_CHECKS: Mapping[str, Check[Target]] = {lifecycle.CHECK: _lifecycle_rules, lifecycle.VERSIONING: _versioning}
"""The checks of a bucket without a stack."""

BUCKET_CHECKS: Mapping[str, Check[Stack]] = {
    buckets.CHECK: _place,
    notifications.CHECK: _notifications,
    lifecycle.CHECK: _lifecycle,
    lifecycle.VERSIONING: _versioning,
    permissions.DENIALS: _bucket_policy,
    "encryption": _encryption,
}
"""The checks of one of a stack's buckets. They need the bucket to exist."""
