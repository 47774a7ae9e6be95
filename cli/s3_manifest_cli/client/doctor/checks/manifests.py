"""Checks manifests: whether they can be read, are complete, were verified recently, and equal S3."""

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Facts, timestamp
from s3_manifest_cli.client.doctor.findings import Finding, error, not_checked, notice, ok, shorten, warning
from s3_manifest_cli.client.doctor.stack import Target

CHECK = "manifests"


class CollectionState(NamedTuple):
    """A collection compared with S3. ``facts``: of its manifest; None: it has none.

    ``differing``: keys that differed in both comparisons; ``late``: the number that differed only in the first.
    ``is_recent``: all differing keys were written in the last minute. ``lost``: objects that the manifest refers to
    and S3 lacks. ``unreadable``, ``unanswered``: why there is no result; ``remedy``: for the first, instead of a
    rebuild.
    """

    collection: Collection
    facts: Facts | None = None
    differing: tuple[str, ...] = ()
    late: int = 0
    is_recent: bool = False
    lost: tuple[str, ...] = ()
    unreadable: str = ""
    unanswered: str = ""
    remedy: str = ""

    @property
    def name(self) -> str:
        """``KIND/ID``."""
        return f"{self.collection.kind}/{self.collection.id}"

    @property
    def lacks_manifest(self) -> bool:
        """Whether it has objects and no manifest."""
        return not self.facts and bool(self.differing)


def check(
    target: Target, states: Sequence[CollectionState], total: int, now: datetime, interval: timedelta | None
) -> list[Finding]:
    """Checks compared collections, ``states`` of ``total``. ``interval``: the longest time between two sweeps."""
    # A folder without objects of its own is not a collection.
    compared = [state for state in states if state.facts or state.differing or state.unreadable or state.unanswered]
    with_facts = [(state, state.facts) for state in compared if state.facts]
    findings = [finding for state in compared for finding in _check_one(target, state)]
    lacking = [state for state in compared if state.lacks_manifest and not state.is_recent]
    text = "there are objects in S3 and no manifest"
    findings += _sweep_needed(target, lacking, text, "the next change creates it, or a sweep")
    incomplete = [state for state, facts in with_facts if not facts.complete]
    text = "the manifest is incomplete until a sweep has read all objects"
    findings += _sweep_needed(target, incomplete, text, "if it stays incomplete, sweep again")
    if interval:
        due = timestamp(now - 2 * interval)
        overdue = [state for state, facts in with_facts if (facts.last_verified_at or facts.created_at) < due]
        text = "the last sweep is older than two sweep intervals"
        remedy = "check the findings about the schedule and the sweep queue, or sweep now"
        findings += _sweep_needed(target, overdue, text, remedy)
    if troubled := [state.name for state, facts in with_facts if facts.problems]:
        remedy = f"s3-manifest info {shlex.quote(troubled[0])} lists them"
        findings.append(notice(CHECK, shorten(troubled), "sidecars or captions have problems", remedy))
    if skipped := total - len(states):
        text = f"{skipped} of {total} collections were not compared: the time was up"
        findings.append(not_checked(CHECK, target.bucket, text, "compare the important ones: --collection KIND/ID"))
    if not compared and not findings:
        return [ok(CHECK, target.bucket, "there are no collections yet")]
    if correct := sum(facts.complete and not (state.differing or state.lost) for state, facts in with_facts):
        late = sum(state.late for state in compared)
        delay = f"; {late} files only after a few seconds" if late else ""
        findings.append(ok(CHECK, target.bucket, f"{correct} of {len(compared)} manifests equal S3{delay}"))
    return findings


def _sweep_needed(target: Target, affected: Sequence[CollectionState], text: str, remedy: str) -> list[Finding]:
    """Returns one warning about all affected collections."""
    if not affected:
        return []
    command = target.sweep_command(affected[0].collection if len(affected) == 1 else None)
    return [warning(CHECK, shorten([state.name for state in affected]), text, f"{remedy}: {command}")]


def _check_one(target: Target, state: CollectionState) -> Iterator[Finding]:
    rebuild = f"rebuild it from S3 (the old one is set aside): {target.sweep_command(state.collection, rebuild=True)}"
    if state.unanswered:
        yield not_checked(CHECK, state.name, state.unanswered)
    if state.unreadable:
        yield error(CHECK, state.name, f"the manifest cannot be read: {state.unreadable}", state.remedy or rebuild)
    elif state.lost:
        text = f"the manifest refers to objects that do not exist: {shorten(list(state.lost))}"
        yield error(CHECK, state.name, text, rebuild)
    if state.lacks_manifest and state.is_recent:
        text = "there is no manifest yet; its objects were written in the last minute"
        yield notice(CHECK, state.name, text, "run doctor again in a minute")
    if state.differing and state.facts:
        count = len(state.differing)
        text = f"{count} {'file differs' if count == 1 else 'files differ'} from S3: {shorten(list(state.differing))}"
        if not state.facts.complete:
            yield notice(CHECK, state.name, f"{text}; the manifest is not complete yet")
        elif state.is_recent:
            text += "; all were written in the last minute, so their events may still arrive"
            yield notice(CHECK, state.name, text, "run doctor again in a minute")
        else:
            remedy = f"if the change queue is empty, the events were lost: {target.sweep_command(state.collection)}"
            yield error(CHECK, state.name, text, remedy)
