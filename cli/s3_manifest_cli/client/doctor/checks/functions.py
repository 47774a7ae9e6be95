"""Functions, what calls them, and the alarms about them judged. Pure."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from s3_manifest.manifest.model import timestamp
from s3_manifest_cli.client.doctor.deployed import Deployed
from s3_manifest_cli.client.doctor.model import Finding, error, notice, ok, warning

CHECK, MAPPINGS, SCHEDULE, ALARMS = "functions", "event source mappings", "schedule", "alarms"

_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def judge(deployed: Deployed, name: str, configuration: Mapping[str, Any], reserved: int | None) -> list[Finding]:
    """A function's state and settings; ``reserved``: how many may run at once, if that is limited."""
    function = configuration["FunctionName"]
    findings = []
    if (state := configuration.get("State", "Active")) not in {"Active", "Inactive"}:
        found = f"it is {state}: {configuration.get('StateReason', 'no reason is given')}"
        findings.append(error(CHECK, name, found, "deploy the stack again"))
    if configuration.get("LastUpdateStatus") == "Failed":
        found = f"its last update failed: {configuration.get('LastUpdateStatusReason', 'no reason is given')}"
        findings.append(warning(CHECK, name, found, "deploy the stack again"))
    if reserved == 0:
        mend = f"aws lambda delete-function-concurrency --function-name {function}"
        findings.append(error(CHECK, name, "its reserved concurrency is 0: somebody stopped it", mend))
    variables = configuration.get("Environment", {}).get("Variables", {})
    wanted = {
        "BUCKET": deployed.bucket,
        "COLLECTIONS": deployed.parameters["Collections"],
        "MANIFEST_ROOT": deployed.root,
    }
    for variable, value in wanted.items():
        if (found_ := variables.get(variable)) != value:
            findings.append(
                error(
                    CHECK,
                    name,
                    f"its environment has {variable}={found_!r}, and the stack {value!r}",
                    f"set it back (Lambda's console, function {function}, or a deployment that changes the variable)",
                )
            )
    return findings


def judge_mapping(name: str, mapping: Mapping[str, Any] | None, queue_arn: str, uuid: str) -> list[Finding]:
    """Whether a function is given its queue's messages; ``mapping`` None: it is gone."""
    if mapping is None:
        found = f"it has no mapping {uuid} any more: nothing takes messages from its queue"
        return [error(MAPPINGS, name, found, "take its Events out of the template, deploy, put them back, and deploy")]
    enable = f"aws lambda update-event-source-mapping --uuid {uuid}"
    findings = []
    if mapping["State"] not in {"Enabled", "Enabling", "Updating", "Creating"}:
        found = f"its mapping is {mapping['State']}: changes wait in the queue, and are lost after four days"
        findings.append(error(MAPPINGS, name, found, f"{enable} --enabled"))
    if mapping["EventSourceArn"] != queue_arn:
        found = f"it takes messages from {mapping['EventSourceArn']}, and not from this stack's queue"
        findings.append(error(MAPPINGS, name, found, "deploy the stack again"))
    if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", ()):
        found = "Lambda does not heed which messages of a batch failed: they count as done, and are lost"
        findings.append(error(MAPPINGS, name, found, f"{enable} --function-response-types ReportBatchItemFailures"))
    if (result := mapping.get("LastProcessingResult", "")).startswith("PROBLEM"):
        mend = "allow its role to receive and delete messages of the queue, and see the function's log"
        findings.append(warning(MAPPINGS, name, f"Lambda says of it: {result}", mend))
    return findings


def judge_rule(deployed: Deployed, rule: Mapping[str, Any] | None) -> list[Finding]:
    """Whether sweeps are begun; ``rule`` None: there is none."""
    schedule = deployed.parameters["SweepSchedule"]
    if not schedule:
        found = (
            "there is none (SweepSchedule is empty): what S3 does not tell is found only by sweeps that are asked for"
        )
        return [notice(SCHEDULE, deployed.stack, found, f"ask for one: {deployed.sweep()}")]
    if rule is None:
        found = "the rule that begins sweeps is gone"
        return [error(SCHEDULE, deployed.stack, found, "set SweepSchedule to '', deploy, set it back, deploy")]
    if rule["State"] == "DISABLED":
        mend = f"aws events enable-rule --name {rule['Name']}"
        return [warning(SCHEDULE, deployed.stack, "the rule that begins sweeps is disabled", mend)]
    return [ok(SCHEDULE, deployed.stack, f"every collection is swept at {schedule}")]


def judge_alarms(deployed: Deployed, alarms: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Which alarms went off, and whether anybody is told."""
    listed = list(alarms)
    findings = [
        warning(
            ALARMS,
            one["AlarmName"],
            f"{one.get('AlarmDescription', 'it went off')}, since {timestamp(one['StateUpdatedTimestamp'])}",
            f"{one['StateReason']}; `aws cloudwatch describe-alarm-history --alarm-name {one['AlarmName']}` tells more",
        )
        for one in listed
        if one["StateValue"] == "ALARM"
    ]
    gone = sorted(set(deployed.alarms.values()) - {one["AlarmName"] for one in listed})
    mend = "take it out of the template, deploy, put it back, and deploy"
    findings += [warning(ALARMS, name, "it is not there any more", mend) for name in gone]
    if not deployed.parameters["AlarmTopicArn"]:
        found = "they notify nobody"
        findings.append(notice(ALARMS, deployed.stack, found, "deploy with AlarmTopicArn=, the ARN of an SNS topic"))
    silent = [one["AlarmName"] for one in listed if not one.get("ActionsEnabled", True)]
    findings += [
        notice(ALARMS, name, "its actions are disabled", f"aws cloudwatch enable-alarm-actions --alarm-names {name}")
        for name in silent
    ]
    return findings or [ok(ALARMS, deployed.stack, "none is on")]


def longest_pause(schedule: str) -> timedelta | None:
    """How long it is at most from one sweep to the next; None where there is no schedule.

    Of a cron expression only the days are looked at: a day, a week, a month, or a year.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
    """
    kind, _, rest = schedule.removesuffix(")").partition("(")
    if kind == "rate":
        count, _, unit = rest.partition(" ")
        return int(count) * _UNITS[unit.removesuffix("s")]
    if kind != "cron":
        return None
    _, _, day, month, weekday, *_ = rest.split()
    if month not in {"*", "?"}:
        return timedelta(days=366)
    if day not in {"*", "?"}:
        return timedelta(days=31)
    return timedelta(days=7 if weekday not in {"*", "?"} else 1)
