"""Manifests judged: whether they can be read, are complete, were verified of late, and say what is in S3. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.doctor.model import Finding, error, not_checked, notice, ok, some, warning

CHECK = "manifests"


class Looked(NamedTuple):
    """A collection that was looked at. ``facts``: what its manifest says of it; None where there is none.

    ``differing`` keys are other in S3 than the manifest says, and still were at a second look; ``late``
    ones were not any more. ``are_young``: all that differ were written in the last minute. ``lost`` are
    objects that the manifest refers to, and that are gone. ``unreadable`` and ``unanswered`` say why
    nothing more is known.
    """

    collection: Collection
    facts: Facts | None = None
    differing: tuple[str, ...] = ()
    late: int = 0
    are_young: bool = False
    lost: tuple[str, ...] = ()
    unreadable: str = ""
    unanswered: str = ""

    @property
    def name(self) -> str:
        """``KIND/ID``."""
        return f"{self.collection.kind}/{self.collection.id}"


class Sweepable(Protocol):
    """What manifests are examined in: a stack, or a bucket alone."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        ...

    def sweep(self, collection: Collection | None = None, *, rebuild: bool = False) -> str:
        """The command that asks for the sweep of a collection, or of all."""
        ...


def judge(
    deployed: Sweepable, looked: Sequence[Looked], wanted: int, now: datetime, pause: timedelta | None
) -> list[Finding]:
    """What is wrong with the manifests of collections, of which ``wanted`` were to be looked at.

    ``pause`` is how long it is at most from one sweep to the next.
    """
    # Folders with nothing of their own in them are no collections.
    there = [one for one in looked if one.facts or one.differing or one.unreadable or one.unanswered]
    findings = [finding for one in there for finding in _of_one(deployed, one)]
    for concerned, found, mend in (
        (
            [one for one in there if _is_bare(one) and not one.are_young],
            "there are objects in S3, and no manifest of them",
            "it is made at the next change, or by a sweep",
        ),
        (
            [one for one in there if one.facts and not one.facts.complete],
            "the manifest is not complete yet: a sweep is to fill it in",
            "if it stays so, ask for another sweep",
        ),
        (
            [one for one in there if pause and _is_unverified(one, now, pause)],
            "it is more than two sweeps ago that S3 was last compared with the manifest",
            "see the schedule and the sweep queue, or ask for a sweep",
        ),
    ):
        if concerned:
            sweep = deployed.sweep(concerned[0].collection if len(concerned) == 1 else None)
            findings.append(warning(CHECK, some([one.name for one in concerned]), found, f"{mend}: {sweep}"))
    troubled = [one.name for one in there if one.facts and one.facts.problems]
    if troubled:
        found = "sidecars or captions have problems"
        findings.append(notice(CHECK, some(troubled), found, "`problems` in the manifest names each, and its mend"))
    if left := wanted - len(looked):
        found = f"time did not suffice for {left} of {wanted} collections"
        findings.append(not_checked(CHECK, deployed.bucket, found, "name those that matter: --collection KIND/ID"))
    if not there and not findings:
        return [ok(CHECK, deployed.bucket, "there are no collections yet")]
    well = sum(map(_is_well, there))
    late = sum(one.late for one in there)
    told = f"{well} of {len(there)} manifests say what is in S3" + (
        f", of {late} files a moment after they were looked at" if late else ""
    )
    return [*findings, ok(CHECK, deployed.bucket, told)] if well else findings


def _of_one(deployed: Sweepable, one: Looked) -> list[Finding]:
    rebuild = deployed.sweep(one.collection, rebuild=True)
    findings = []
    if one.unanswered:
        findings.append(not_checked(CHECK, one.name, one.unanswered))
    if one.unreadable:
        mend = f"have it set aside and made anew from S3: {rebuild}"
        findings.append(error(CHECK, one.name, f"the manifest cannot be read: {one.unreadable}", mend))
    if one.lost and not one.unreadable:
        found = f"the manifest refers to {some(list(one.lost))}, which is gone"
        findings.append(error(CHECK, one.name, found, f"have it set aside and made anew from S3: {rebuild}"))
    if _is_bare(one) and one.are_young:
        found = "there is no manifest yet; its objects were written in the last minute"
        findings.append(notice(CHECK, one.name, found, "run this again in a minute"))
    if one.differing and one.facts:
        count, found = len(one.differing), some(list(one.differing))
        found = f"{count} files are not in S3 as the manifest says: {found}"
        if not one.facts.complete:
            findings.append(notice(CHECK, one.name, f"{found}; it is not complete yet"))
        elif one.are_young:
            found += "; all of them were written in the last minute, and their events may be on the way"
            findings.append(notice(CHECK, one.name, found, "run this again in a minute"))
        else:
            mend = f"if the change queue is empty their events were lost: {deployed.sweep(one.collection)}"
            findings.append(error(CHECK, one.name, found, mend))
    return findings


def _is_bare(one: Looked) -> bool:
    return not one.facts and bool(one.differing)


def _is_well(one: Looked) -> bool:
    return bool(one.facts and one.facts.complete and not (one.differing or one.lost))


def _is_unverified(one: Looked, now: datetime, pause: timedelta) -> bool:
    if one.facts is None:
        return False
    since = one.facts.last_verified_at or one.facts.created_at
    return now - datetime.fromisoformat(since) > 2 * pause
