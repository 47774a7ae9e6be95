"""The queues judged: what waits in them, whether they are set as the template has them, what died in them. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from s3_manifest.manifest.jobs import MalformedJob, SweepAll, decode_job
from s3_manifest.manifest.model import timestamp
from s3_manifest.reconcile.events import MalformedEvent, decode_body
from s3_manifest_cli.client.doctor.model import Finding, error, ok, some, warning

CHECK, DEAD = "queues", "dead letters"

_RECEIVES = 5
_KEPT = timedelta(days=14)


class Queue(NamedTuple):
    """A queue as it is, and as it should be. Times are seconds; of ``oldest`` None is not known."""

    name: str
    attributes: Mapping[str, str]
    dead_letters_arn: str
    function_timeout: float
    oldest: float | None
    too_old: float
    url: str


class Letter(NamedTuple):
    """A message of the dead-letter queue: what it is about, and when it first came into a queue."""

    about: str
    sent_at: datetime


def judge(queue: Queue) -> list[Finding]:
    """How it is set, and what waits in it."""
    set_ = f"aws sqs set-queue-attributes --queue-url {queue.url} --attributes"
    redrive: Mapping[str, Any] = json.loads(queue.attributes.get("RedrivePolicy") or "{}")
    waiting, in_work = (int(queue.attributes[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible"))
    visibility, needed = int(queue.attributes["VisibilityTimeout"]), 6 * queue.function_timeout
    findings = []
    if redrive.get("deadLetterTargetArn") != queue.dead_letters_arn or int(redrive["maxReceiveCount"]) < _RECEIVES:
        found = f"its redrive policy is {json.dumps(redrive)}: a message that fails is lost, or tried without end"
        wanted = json.dumps({"deadLetterTargetArn": queue.dead_letters_arn, "maxReceiveCount": _RECEIVES})
        findings.append(error(CHECK, queue.name, found, f"{set_} '{json.dumps({'RedrivePolicy': wanted})}'"))
    if visibility < needed:
        found = f"what is in work for {visibility} s is given to another worker; its function may take {needed / 6:g} s"
        findings.append(warning(CHECK, queue.name, found, f"{set_} VisibilityTimeout={needed:g}"))
    counts = f"{waiting} messages wait, {in_work} are in work"
    if queue.oldest is not None and queue.oldest > queue.too_old:
        found = f"{counts}, the oldest for {queue.oldest:.0f} s"
        mend = "see the other findings and the function's log; a burst that is being worked off needs nothing"
        findings.append(warning(CHECK, queue.name, found, mend))
    return findings or [ok(CHECK, queue.name, counts)]


def judge_dead(queue: str, arn: str, waiting: int, letters: Sequence[Letter], logs: Sequence[str]) -> list[Finding]:
    """What is dead; ``letters`` are those that could be looked at, ``logs`` the groups that say why they died."""
    if not waiting and not letters:
        return [ok(DEAD, queue, "it is empty")]
    what = f": {some([letter.about for letter in letters])}" if letters else ", which somebody else is looking at"
    oldest = min((letter.sent_at for letter in letters), default=None)
    until = f"; the oldest is of {timestamp(oldest)}, and gone on {timestamp(oldest + _KEPT)[:10]}" if oldest else ""
    mend = (
        f"aws logs filter-log-events --filter-pattern failed --log-group-name {' or '.join(logs)} tells why; mend that,"
        f" then aws sqs start-message-move-task --source-arn {arn}"
    )
    count = max(waiting, len(letters))
    return [error(DEAD, queue, f"messages that failed {_RECEIVES} times wait here, {count} in all{what}{until}", mend)]


def about(body: str) -> str:
    """What a message of either queue is about."""
    try:
        job = decode_job(body)
    except MalformedJob:
        pass
    else:
        return "a sweep of all" if isinstance(job, SweepAll) else f"a sweep of {job.kind}/{job.id}"
    try:
        changes = decode_body(body)
    except MalformedEvent as error_:
        return f"malformed ({error_})"
    return some([f"{change.key} ({change.event_name})" for change in changes]) or "a test message of S3's"
