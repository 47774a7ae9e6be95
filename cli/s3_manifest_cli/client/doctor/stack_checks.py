"""The checks of a stack: each requests a part of its state and passes the answer to ``checks``."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from s3_manifest_cli.client.doctor.checks import functions, permissions, queues
from s3_manifest_cli.client.doctor.clients import MISSING, Clients, RequestFailed, send
from s3_manifest_cli.client.doctor.findings import Finding, error, not_checked, notice, ok, or_ok, warning
from s3_manifest_cli.client.doctor.stack import Check, Stack, function_configuration, queue_attributes

_CONSUMERS = {
    "ChangeQueue": ("ReconcileFunction", "ReconcileFunctionChanges"),
    "SweepQueue": ("SweepFunction", "SweepFunctionJobs"),
}
"""The function and the event source mapping of each queue."""
_PEEK_SECONDS = 20


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


def _senders(clients: Clients, stack: Stack) -> Iterable[Finding]:
    attributes = {queue: queue_attributes(clients, stack, queue) for queue in _CONSUMERS}
    return permissions.check_senders(stack, attributes)


def _roles(clients: Clients, stack: Stack) -> Iterable[Finding]:
    findings = list[Finding]()
    # The simulator evaluates conditions only with the context that it receives.
    context = {"ContextKeyType": "string", "ContextKeyName": "aws:ResourceAccount", "ContextKeyValues": [stack.account]}
    for need in permissions.needs(stack):
        role = stack.role_arn(need.function)
        answer = send(
            clients.client("iam").simulate_principal_policy,
            PolicySourceArn=role,
            ActionNames=list(need.actions),
            ResourceArns=[need.resource],
            ContextEntries=[context],
        )
        findings += permissions.check_simulation(need, role, answer["EvaluationResults"])
    return or_ok(findings, permissions.ROLES, stack.name, "they allow the functions what they need")


def _dead_letters(clients: Clients, stack: Stack) -> list[Finding]:
    """Receives some messages, and makes them visible again immediately."""
    sqs, url = clients.client("sqs"), stack.resources["DeadLetterQueue"]
    waiting = int(queue_attributes(clients, stack, "DeadLetterQueue")["ApproximateNumberOfMessages"])
    messages = []
    if waiting:
        messages = send(
            sqs.receive_message,
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_PEEK_SECONDS,
            WaitTimeSeconds=1,  # short polling samples only some of the queue's servers
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
    for message in messages:
        send(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    sent_at = [datetime.fromtimestamp(int(item["Attributes"]["SentTimestamp"]) / 1000, UTC) for item in messages]
    contents = [queues.describe(message["Body"]) for message in messages]
    return [queues.check_dead_letters(stack, waiting, list(map(queues.DeadLetter, contents, sent_at)))]


def _queues(clients: Clients, stack: Stack) -> Iterator[Finding]:
    for queue, (function, _) in _CONSUMERS.items():
        attributes, oldest = queue_attributes(clients, stack, queue), None
        timeout = function_configuration(clients, stack, function)["Timeout"]
        if int(attributes["ApproximateNumberOfMessages"]):
            try:
                oldest = _oldest(clients, stack.resources[queue].rpartition("/")[2])
            except RequestFailed as failure:
                text = f"the age of its messages is unknown: {failure}"
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
        configuration = function_configuration(clients, stack, name)
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


def _schedule(clients: Clients, stack: Stack) -> Iterable[Finding]:
    name = stack.resources.get("SweepRule")
    rule = name and send(clients.client("events").describe_rule, absent=MISSING, Name=name)
    return functions.check_schedule(stack, rule or None)


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


CHECKS: Mapping[str, Check] = {
    "stack": _status,
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
