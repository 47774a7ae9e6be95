"""Checks the queues: their settings, their backlog, and their dead letters."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from s3_manifest.manifest.jobs import MalformedJob, SweepAll, decode_job
from s3_manifest.manifest.model import timestamp
from s3_manifest.reconcile.events import MalformedEvent, decode_body
from s3_manifest_cli.client.doctor.findings import Finding, error, ok, or_ok, shorten, warning

CHECK, DEAD_LETTERS = "queues", "dead letters"

_RECEIVES = 5
_RETENTION = timedelta(days=14)


class Queue(NamedTuple):
    """A queue and what its settings should be. Times are seconds; ``oldest`` None: unknown."""

    name: str
    attributes: Mapping[str, str]
    dead_letters_arn: str
    function_timeout: float
    oldest: float | None
    max_age: float
    url: str


class DeadLetter(NamedTuple):
    """A message of the dead-letter queue: what it asks for, and when it was first sent."""

    content: str
    sent_at: datetime


def check(queue: Queue) -> list[Finding]:
    """Checks a queue's settings and its backlog."""
    command = f"aws sqs set-queue-attributes --queue-url {queue.url} --attributes"
    redrive: Mapping[str, Any] = json.loads(queue.attributes.get("RedrivePolicy") or "{}")
    waiting, in_flight = (int(queue.attributes[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible"))
    visibility, needed = int(queue.attributes["VisibilityTimeout"]), 6 * queue.function_timeout
    findings = []
    if redrive.get("deadLetterTargetArn") != queue.dead_letters_arn or int(redrive["maxReceiveCount"]) < _RECEIVES:
        text = f"its redrive policy is {json.dumps(redrive)}: failed messages are lost, or retried without end"
        policy = json.dumps({"deadLetterTargetArn": queue.dead_letters_arn, "maxReceiveCount": _RECEIVES})
        findings.append(error(CHECK, queue.name, text, f"{command} '{json.dumps({'RedrivePolicy': policy})}'"))
    if visibility < needed:
        text = f"its visibility timeout of {visibility} s is less than six times its function's timeout of"
        remedy = f"{command} VisibilityTimeout={needed:g}"
        findings.append(
            warning(CHECK, queue.name, f"{text} {needed / 6:g} s: messages may be processed twice at a time", remedy)
        )
    counts = f"{waiting} messages wait, {in_flight} are in flight"
    if queue.oldest is not None and queue.oldest > queue.max_age:
        remedy = "follow the remedies of the other findings and read the function's log; a burst needs nothing but time"
        findings.append(warning(CHECK, queue.name, f"{counts}; the oldest is {queue.oldest:.0f} s old", remedy))
    return or_ok(findings, CHECK, queue.name, counts)


def check_dead_letters(
    name: str, arn: str, waiting: int, letters: Sequence[DeadLetter], logs: Sequence[str]
) -> list[Finding]:
    """Checks the dead-letter queue. ``letters``: those that could be received; ``logs``: groups with the reasons."""
    if not waiting and not letters:
        return [ok(DEAD_LETTERS, name, "it is empty")]
    count = max(waiting, len(letters))
    text = f"messages failed {_RECEIVES} times, {count} in all: "
    text += shorten([letter.content for letter in letters]) or "another consumer is reading them now"
    if letters:
        oldest = min(letter.sent_at for letter in letters)
        text += f"; the oldest was sent at {timestamp(oldest)} and expires on {timestamp(oldest + _RETENTION)[:10]}"
    commands = [f"aws logs filter-log-events --filter-pattern failed --log-group-name {log}" for log in logs]
    remedy = (
        f"read the reason: {'; '.join(commands)}; remove it,"
        f" then retry the messages: aws sqs start-message-move-task --source-arn {arn}"
    )
    return [error(DEAD_LETTERS, name, text, remedy)]


def describe(body: str) -> str:
    """Describes what a message of either queue asks for."""
    try:
        job = decode_job(body)
    except MalformedJob:
        pass
    else:
        return "a sweep of all" if isinstance(job, SweepAll) else f"a sweep of {job.kind}/{job.id}"
    try:
        changes = decode_body(body)
    except MalformedEvent as reason:
        return f"malformed ({reason})"
    return shorten([f"{change.key} ({change.name})" for change in changes]) or "a test message of S3"
