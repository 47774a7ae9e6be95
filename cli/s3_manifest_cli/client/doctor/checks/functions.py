"""Checks the functions, their event sources, the sweep schedule, and the alarms."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from s3_manifest.manifest.model import timestamp
from s3_manifest_cli.client.doctor.findings import Finding, error, notice, ok, or_ok, warning
from s3_manifest_cli.client.doctor.stack import Stack

CHECK, MAPPINGS, SCHEDULE, ALARMS = "functions", "event source mappings", "schedule", "alarms"

_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def check(stack: Stack, name: str, configuration: Mapping[str, Any], reserved: int | None) -> Iterator[Finding]:
    """Checks a function's state and settings. ``reserved``: its reserved concurrency, if any."""
    function, redeploy = configuration["FunctionName"], f"sam build && sam deploy --stack-name {stack.name}"
    if (state := configuration.get("State", "Active")) not in {"Active", "Inactive"}:
        text = f"the function is {state}: {configuration.get('StateReason', 'Lambda gives no reason')}"
        yield error(CHECK, name, text, redeploy)
    if configuration.get("LastUpdateStatus") == "Failed":
        text = f"its last update failed: {configuration.get('LastUpdateStatusReason', 'Lambda gives no reason')}"
        yield warning(CHECK, name, text, redeploy)
    if reserved == 0:
        remedy = f"aws lambda delete-function-concurrency --function-name {function}"
        yield error(CHECK, name, "its reserved concurrency is 0, so it never runs", remedy)
    variables = configuration.get("Environment", {}).get("Variables", {})
    collections = stack.parameters["Collections"]
    expected = {"BUCKET": stack.own_bucket, "COLLECTIONS": collections, "MANIFEST_ROOT": stack.root}
    environment = shlex.quote(json.dumps({"Variables": {**variables, **expected}}))
    remedy = f"aws lambda update-function-configuration --function-name {function} --environment {environment}"
    for variable, value in expected.items():
        if (actual := variables.get(variable)) != value:
            text = f"its environment variable {variable} is {actual!r}; the stack has {value!r}"
            yield error(CHECK, name, text, remedy)


def check_mapping(name: str, mapping: Mapping[str, Any] | None, queue_arn: str, uuid: str) -> Iterator[Finding]:
    """Checks the mapping that passes a queue's messages to a function; None: it was deleted."""
    if mapping is None:
        text = f"its event source mapping {uuid} was deleted: no function receives the queue's messages"
        remedy = "remove the function's Events from the template, deploy, add them again, and deploy"
        yield error(MAPPINGS, name, text, remedy)
        return
    update = f"aws lambda update-event-source-mapping --uuid {uuid}"
    if mapping["State"] not in {"Enabled", "Enabling", "Updating", "Creating"}:
        text = f"its event source mapping is {mapping['State']}: changes wait in the queue and expire after four days"
        yield error(MAPPINGS, name, text, f"{update} --enabled")
    if mapping["EventSourceArn"] != queue_arn:
        text = f"it receives messages from {mapping['EventSourceArn']}, not from this stack's queue"
        yield error(MAPPINGS, name, text, "deploy the stack again: sam build && sam deploy")
    if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", ()):
        text = "Lambda ignores which messages of a batch failed: failed messages are deleted and lost"
        yield error(MAPPINGS, name, text, f"{update} --function-response-types ReportBatchItemFailures")
    if (result := mapping.get("LastProcessingResult", "")).startswith("PROBLEM"):
        remedy = "allow its role sqs:ReceiveMessage and sqs:DeleteMessage on the queue, and read the function's log"
        yield warning(MAPPINGS, name, f"Lambda reports: {result}", remedy)


def check_schedule(stack: Stack, rule: Mapping[str, Any] | None) -> Finding:
    """Checks the rule that starts sweeps; None: there is no rule."""
    schedule = stack.parameters["SweepSchedule"]
    if not schedule:
        text = "SweepSchedule is empty: changes whose events were lost are found only by sweeps on request"
        return notice(SCHEDULE, stack.name, text, f"sweep now: {stack.sweep_command()}")
    if rule is None:
        remedy = "set SweepSchedule to '', deploy, set it back, and deploy"
        return error(SCHEDULE, stack.name, "the rule that starts sweeps was deleted", remedy)
    if rule["State"] == "DISABLED":
        remedy = f"aws events enable-rule --name {rule['Name']}"
        return warning(SCHEDULE, stack.name, "the rule that starts sweeps is disabled", remedy)
    return ok(SCHEDULE, stack.name, f"every collection is swept at {schedule}")


def check_alarms(stack: Stack, alarms: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Checks which alarms are on, and whether they notify anybody."""
    findings = []
    for alarm in alarms:
        if alarm["StateValue"] == "ALARM":
            name, description = alarm["AlarmName"], alarm.get("AlarmDescription", "the alarm is on")
            text = f"{description}, since {timestamp(alarm['StateUpdatedTimestamp'])} ({alarm['StateReason']})"
            findings.append(warning(ALARMS, name, text, f"aws cloudwatch describe-alarm-history --alarm-name {name}"))
    for name in sorted(set(stack.alarms) - {alarm["AlarmName"] for alarm in alarms}):
        remedy = "remove it from the template, deploy, add it again, and deploy"
        findings.append(warning(ALARMS, name, "the alarm was deleted", remedy))
    if not stack.parameters["AlarmTopicArn"]:
        remedy = "deploy with AlarmTopicArn=ARN, the ARN of an SNS topic"
        findings.append(notice(ALARMS, stack.name, "alarms have no recipient", remedy))
    for name in (alarm["AlarmName"] for alarm in alarms if not alarm.get("ActionsEnabled", True)):
        remedy = f"aws cloudwatch enable-alarm-actions --alarm-names {name}"
        findings.append(notice(ALARMS, name, "its actions are disabled", remedy))
    return or_ok(findings, ALARMS, stack.name, "no alarm is on")


def sweep_interval(schedule: str) -> timedelta | None:
    """Returns the longest time between two sweeps; None without a schedule.

    Of a cron expression only the days count: the result is a day, a week, a month or a year.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
    """
    kind, _, expression = schedule.removesuffix(")").partition("(")
    if kind == "rate":
        count, _, unit = expression.partition(" ")
        return int(count) * _UNITS[unit.removesuffix("s")]
    if kind != "cron":
        return None
    _, _, day, month, weekday, *_ = expression.split()
    if month not in {"*", "?"}:
        return timedelta(days=366)
    if day not in {"*", "?"}:
        return timedelta(days=31)
    return timedelta(days=7 if weekday not in {"*", "?"} else 1)
