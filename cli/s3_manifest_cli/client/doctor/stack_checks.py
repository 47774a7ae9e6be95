"""The checks of the stack that only read: each asks AWS, and has the answer judged."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from s3_manifest_cli.client.doctor.checks import functions, permissions, queues
from s3_manifest_cli.client.doctor.clients import Clients, Unanswered, asked
from s3_manifest_cli.client.doctor.deployed import Check, Deployed, queue_attributes
from s3_manifest_cli.client.doctor.model import Finding, error, not_checked, notice, ok, warning

_WORKERS = {
    "ChangeQueue": ("ReconcileFunction", "ReconcileFunctionChanges"),
    "SweepQueue": ("SweepFunction", "SweepFunctionJobs"),
}
# The thresholds of the template's alarms.
_TOO_OLD = {"ChangeQueue": 300.0, "SweepQueue": 21600.0}
_PEEK_SECONDS = 20
_MISSING = ("ResourceNotFoundException", "ResourceNotFound", "NotFoundException")


def stack(_clients: Clients, deployed: Deployed) -> list[Finding]:
    """How the last deployment went."""
    status = deployed.status
    if status.endswith("_FAILED") or status.startswith("DELETE"):
        mend = (
            f"aws cloudformation describe-stack-events --stack-name {deployed.stack} tells why; mend that, and deploy"
        )
        return [error("stack", deployed.stack, f"it is {status}", mend)]
    if status.endswith("_IN_PROGRESS"):
        return [warning("stack", deployed.stack, f"it is {status}", "wait until that is done, and run this again")]
    if "ROLLBACK" in status:
        found = f"it is {status}: its last update failed, and it is as before"
        return [notice("stack", deployed.stack, found, "deploy it again, and see why that fails")]
    return [ok("stack", deployed.stack, f"it is {status}")]


def senders(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether the queues take what they are sent."""
    return permissions.judge_senders(
        deployed, {queue: queue_attributes(clients, deployed, queue) for queue in _WORKERS}
    )


def roles(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether the functions' roles let them do their work; what IAM's simulator says."""
    simulate = clients.of("iam").simulate_principal_policy
    findings = []
    for need in permissions.needs(deployed):
        role = deployed.role_arn(need.function)
        answer = asked(
            simulate,
            PolicySourceArn=role,
            ActionNames=list(need.actions),
            ResourceArns=[need.resource],
            # The simulator knows no more of a request than it is told.
            ContextEntries=[
                {
                    "ContextKeyName": "aws:ResourceAccount",
                    "ContextKeyValues": [deployed.account],
                    "ContextKeyType": "string",
                }
            ],
        )
        findings += permissions.judge_simulated(need, role, answer["EvaluationResults"])
    return findings or [ok(permissions.ROLES, deployed.stack, "they let the functions do their work")]


def dead_letters(clients: Clients, deployed: Deployed) -> list[Finding]:
    """What died. The messages that are looked at are given back at once."""
    sqs, url = clients.of("sqs"), deployed.queue_url("DeadLetterQueue")
    waiting = int(queue_attributes(clients, deployed, "DeadLetterQueue")["ApproximateNumberOfMessages"])
    messages = []
    if waiting:
        messages = asked(
            sqs.receive_message,
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_PEEK_SECONDS,
            WaitTimeSeconds=1,  # without it only some of the queue's servers are asked
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
    for message in messages:
        asked(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    letters = [
        queues.Letter(
            queues.about(message["Body"]),
            datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        )
        for message in messages
    ]
    arn, logs = deployed.queue_arn("DeadLetterQueue"), [deployed.resources[n] for n in ("ReconcileLogs", "SweepLogs")]
    return queues.judge_dead(f"{deployed.stack} DeadLetterQueue", arn, waiting, letters, logs)


def backlog(clients: Clients, deployed: Deployed) -> list[Finding]:
    """What waits in the queues, and how they are set."""
    findings = []
    for queue, (function, _) in _WORKERS.items():
        attributes = queue_attributes(clients, deployed, queue)
        configured = _configuration(clients, deployed, function)
        name, waiting = f"{deployed.stack} {queue}", int(attributes["ApproximateNumberOfMessages"])
        oldest = None
        if waiting:
            try:
                oldest = _oldest(clients, deployed.queue_url(queue).rpartition("/")[2])
            except Unanswered as unanswered:
                findings.append(
                    not_checked(queues.CHECK, name, f"the age of its messages: {unanswered}", unanswered.mend)
                )
        findings += queues.judge(
            queues.Queue(
                name=name,
                attributes=attributes,
                dead_letters_arn=deployed.queue_arn("DeadLetterQueue"),
                function_timeout=configured["Timeout"],
                oldest=oldest,
                too_old=_TOO_OLD[queue],
                url=deployed.queue_url(queue),
            )
        )
    return findings


def _oldest(clients: Clients, queue_name: str) -> float | None:
    """Seconds that a queue's oldest message waited when CloudWatch was last told; SQS itself does not tell."""
    now = datetime.now(UTC)
    points = asked(
        clients.of("cloudwatch").get_metric_statistics,
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": queue_name}],
        StartTime=now - timedelta(minutes=15),
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    latest = max(points, key=lambda point: point["Timestamp"], default=None)
    return latest and float(latest["Maximum"])


def ready(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether each function can run, with the settings that the stack has."""
    limit = clients.of("lambda").get_function_concurrency
    findings = []
    for name in deployed.functions:
        configured = _configuration(clients, deployed, name)
        reserved = asked(limit, FunctionName=deployed.resources[name]).get("ReservedConcurrentExecutions")
        findings += functions.judge(deployed, name, configured, reserved)
    return findings or [ok(functions.CHECK, deployed.stack, f"all {len(deployed.functions)} are ready")]


def mappings(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether the functions are given the queues' messages."""
    findings = []
    for queue, (function, mapping) in _WORKERS.items():
        uuid = deployed.resources[mapping]
        found = asked(clients.of("lambda").get_event_source_mapping, absent=_MISSING, UUID=uuid)
        findings += functions.judge_mapping(function, found, deployed.queue_arn(queue), uuid)
    return findings or [ok(functions.MAPPINGS, deployed.stack, "the functions are given the queues' messages")]


def schedule(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether sweeps are begun."""
    name = deployed.resources.get("SweepRule")
    rule = name and asked(clients.of("events").describe_rule, absent=_MISSING, Name=name)
    return functions.judge_rule(deployed, rule or None)


def event_bus(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Whether there is a bus to announce changes on."""
    check, bus = "announcements", deployed.parameters["EventBusName"]
    if deployed.parameters["AnnounceChanges"] != "true":
        return [ok(check, deployed.stack, "changes are announced to nobody, as the stack is deployed")]
    if asked(clients.of("events").describe_event_bus, absent=_MISSING, Name=bus) is None:
        mend = f"aws events create-event-bus --name {bus}, or deploy with another EventBusName"
        return [error(check, bus, "there is no such event bus: changes fail until they are announced", mend)]
    return [ok(check, bus, "changes are announced on it")]


def alarms(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Which alarms went off."""
    found = asked(clients.of("cloudwatch").describe_alarms, AlarmNames=list(deployed.alarms.values()))
    return functions.judge_alarms(deployed, found["MetricAlarms"])


def _configuration(clients: Clients, deployed: Deployed, function: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = asked(
        clients.of("lambda").get_function_configuration, FunctionName=deployed.resources[function]
    )
    return found


CHECKS: Mapping[str, Check] = {
    "stack": stack,
    permissions.SENDERS: senders,
    permissions.ROLES: roles,
    functions.CHECK: ready,
    functions.MAPPINGS: mappings,
    functions.SCHEDULE: schedule,
    "announcements": event_bus,
    queues.CHECK: backlog,
    queues.DEAD: dead_letters,
    functions.ALARMS: alarms,
}
