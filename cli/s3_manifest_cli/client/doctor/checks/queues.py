"""Checks the queues: their settings, their backlog, and their dead letters."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from s3_manifest.manifest.jobs import MalformedJob, SweepAll, decode_job
from s3_manifest.manifest.model import timestamp
from s3_manifest.reconcile.events import MalformedEvent, decode_body
from s3_manifest_cli.client.doctor.findings import Finding, error, ok, or_ok, shorten, warning
from s3_manifest_cli.client.doctor.stack import Stack

CHECK, DEAD_LETTERS = "queues", "dead letters"

_RECEIVES = 5
_RETENTION = timedelta(days=14)
_MAX_AGES = {"ChangeQueue": 300.0, "SweepQueue": 21600.0}
"""The thresholds of the template's alarms, in seconds."""


def check(
    stack: Stack, queue: str, attributes: Mapping[str, str], function_timeout: float, oldest: float | None
) -> list[Finding]:
    """Checks a queue's settings and its backlog. ``oldest``: the age of a message in seconds; None: unknown."""
    name, dead_letters_arn = f"{stack.name} {queue}", stack.queue_arn("DeadLetterQueue")
    command = f"aws sqs set-queue-attributes --queue-url {stack.resources[queue]} --attributes"
    redrive: Mapping[str, Any] = json.loads(attributes.get("RedrivePolicy") or "{}")
    waiting, in_flight = (int(attributes[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible"))
    visibility, needed = int(attributes["VisibilityTimeout"]), 6 * function_timeout
    findings = []
    if redrive.get("deadLetterTargetArn") != dead_letters_arn or int(redrive["maxReceiveCount"]) < _RECEIVES:
        text = f"its redrive policy is {json.dumps(redrive)}: failed messages are lost, or retried without end"
        policy = json.dumps({"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": _RECEIVES})
        findings.append(error(CHECK, name, text, f"{command} '{json.dumps({'RedrivePolicy': policy})}'"))
    if visibility < needed:
        text = f"its visibility timeout of {visibility} s is less than six times its function's timeout of"
        text += f" {function_timeout:g} s: messages may be processed twice at a time"
        findings.append(warning(CHECK, name, text, f"{command} VisibilityTimeout={needed:g}"))
    counts = f"{waiting} messages wait, {in_flight} are in flight"
    if oldest is not None and oldest > _MAX_AGES[queue]:
        remedy = "follow the remedies of the other findings and read the function's log; a burst needs nothing but time"
        findings.append(warning(CHECK, name, f"{counts}; the oldest is {oldest:.0f} s old", remedy))
    return or_ok(findings, CHECK, name, counts)


def check_dead_letters(stack: Stack, waiting: int, letters: Sequence[tuple[datetime, str]]) -> Finding:
    """Checks the dead-letter queue. ``letters``: when each received message was first sent, and what it asks for."""
    name = f"{stack.name} DeadLetterQueue"
    if not waiting and not letters:
        return ok(DEAD_LETTERS, name, "it is empty")
    text = f"messages failed {_RECEIVES} times, {max(waiting, len(letters))} in all: "
    text += shorten([content for _, content in letters]) or "another consumer is reading them now"
    if letters:
        oldest, _ = min(letters)
        text += f"; the oldest was sent at {timestamp(oldest)} and expires on {timestamp(oldest + _RETENTION)[:10]}"
    logs = (stack.resources[log] for log in ("ReconcileLogs", "SweepLogs"))
    commands = [f"aws logs filter-log-events --filter-pattern failed --log-group-name {log}" for log in logs]
    retry = f"aws sqs start-message-move-task --source-arn {stack.queue_arn('DeadLetterQueue')}"
    remedy = f"read the reason: {'; '.join(commands)}; remove it, then retry the messages: {retry}"
    return error(DEAD_LETTERS, name, text, remedy)


def describe(body: str) -> str:
    """Describes what a message of either queue asks for."""
    with suppress(MalformedJob):
        job = decode_job(body)
        return "a sweep of all" if isinstance(job, SweepAll) else f"a sweep of {job.kind}/{job.id}"
    try:
        changes = decode_body(body)
    except MalformedEvent as reason:
        return f"malformed ({reason})"
    return shorten([f"{change.key} ({change.name})" for change in changes]) or "a test message of S3"
