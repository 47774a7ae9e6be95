"""The plan and the result of a migration, as text and as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.migration.legacy import Problem
from s3_manifest_cli.migration.places import place_of
from s3_manifest_cli.migration.plan import CollectionPlan, ImagePlan, Status
from s3_manifest_cli.migration.remove import Removal
from s3_manifest_cli.migration.run import MigrationPlan
from s3_manifest_cli.migration.verify import Verification
from s3_manifest_cli.terminal.failures import DIFFERENCES, FAILED, printable
from s3_manifest_cli.terminal.output import number

_MAX_LINES = 20
_MEANINGS = {
    Status.SYNCED: "identical on disk and in S3",
    Status.LOCAL_ONLY: "only on disk",
    Status.S3_ONLY: "only in S3",
    Status.OUT_OF_SYNC: "on disk and in S3, with different bytes",
    Status.ORPHANED: "on disk, but in no legacy file",
    Status.MISSING: "only in a legacy manifest",
}


class Result(NamedTuple):
    """The result of a run: what failed, how each manifest differs, and what was deleted."""

    failed: tuple[Problem, ...]
    verifications: Mapping[Collection, Verification]
    removal: Removal | None


def exit_code(plan: MigrationPlan, result: Result | None) -> int:
    """The exit code; without a result, anything to do is a difference."""
    if plan.problems or (result and result.failed):
        return FAILED
    is_done = _verified(result) == len(result.verifications) if result else plan.is_done
    return 0 if is_done and not any(_differences(plan)) else DIFFERENCES


def counts(plan: MigrationPlan) -> dict[str, int]:
    """The number of images in each status."""
    counter = Counter(image.status for collection in plan.collections for image in collection.images)
    return {status.value: counter[status] for status in Status}


def as_json(plan: MigrationPlan, result: Result | None) -> dict[str, Any]:
    """The whole plan, and the result if it was executed."""
    document: dict[str, Any] = {
        "counts": counts(plan),
        "uploads": len(plan.uploads),
        "edits": len(plan.edits),
        "collections": [_collection_json(collection, result) for collection in plan.collections],
        "problems": [problem._asdict() for problem in plan.problems],
    }
    if result:
        document["failed"] = [problem._asdict() for problem in result.failed]
        document["verified"] = _verified(result)
        if result.removal:
            document["removed"] = result.removal.paths
            document["kept"] = [problem._asdict() for problem in result.removal.retained]
    return document | {"exit_code": exit_code(plan, result)}


def _collection_json(plan: CollectionPlan, result: Result | None) -> dict[str, Any]:
    verification = result.verifications.get(plan.collection) if result else None
    return {
        "kind": plan.collection.kind,
        "id": plan.collection.id,
        "bucket": plan.collection.bucket,
        "prefix": plan.collection.prefix,
        "images": [_image_json(image) for image in plan.images],
        "words": plan.edits._asdict()
        | {"generations": [generation.model_dump(mode="json") for generation in plan.edits.generations]},
        "conflicts": plan.conflicts,
        "unverified": verification and {"files": verification.files, "rest": verification.problems},
    }


def _image_json(image: ImagePlan) -> dict[str, Any]:
    fields = image._asdict()
    return {"action": "upload" if fields.pop("upload") else None, **fields}


def plan_lines(plan: MigrationPlan) -> Iterator[str]:
    """The plan as text."""
    by_status = counts(plan)
    yield f"{number(len(plan.collections), 'collection')}, {number(sum(by_status.values()), 'image')}:"
    for status, count in by_status.items():
        yield f"  {status:<12} {count:>7,}  {_MEANINGS[Status(status)]}"
    yield from _section("difference", _differences(plan))
    yield from _section("error", _problem_lines(plan.problems))
    if plan.is_done:
        yield "Nothing to do."
    else:
        uploads, edits = number(len(plan.uploads), "image"), number(len(plan.edits), "collection")
        yield f"To do: upload {uploads}; edit the sidecars of {edits}."


def result_lines(plan: MigrationPlan, result: Result) -> Iterator[str]:
    """The result as text."""
    yield from _section("failure", _problem_lines(result.failed))
    yield from _section("unverified item", _unverified(result))
    expected = sum(len(collection.md5s) for collection in plan.collections)
    unverified = sum(len(verification.files) for verification in result.verifications.values())
    manifests = f"{_verified(result):,} of {number(len(plan.collections), 'manifest')}"
    yield f"Verified {manifests}, with {number(expected - unverified, 'file')}."
    if result.removal:
        yield f"Deleted {number(len(result.removal.paths), 'legacy file')}."
        yield from _section("retained file", _problem_lines(result.removal.retained))


def _verified(result: Result) -> int:
    return sum(verification.is_verified for verification in result.verifications.values())


def _differences(plan: MigrationPlan) -> Iterator[str]:
    for collection in plan.collections:
        place = place_of(collection.collection)
        for image in collection.images:
            if image.is_unresolved:
                details = "; ".join(filter(None, (image.path and f"on disk {image.path}", image.note)))
                yield f"{image.status} {place}{image.filename}{details and f' ({details})'}"
        for conflict in collection.conflicts:
            yield f"{place}: not imported, because the sidecar has another value: {conflict}"


def _unverified(result: Result) -> Iterator[str]:
    for collection, verification in result.verifications.items():
        yield from (f"{place_of(collection)}: {problem}" for problem in verification.problems)
        yield from (f"{place_of(collection)}{name}: {problem}" for name, problem in verification.files.items())


def _problem_lines(problems: tuple[Problem, ...]) -> Iterator[str]:
    return (f"{problem.path}: {problem.problem}" for problem in problems)


def _section(noun: str, lines: Iterator[str]) -> Iterator[str]:
    """A heading and the first lines; ``--json`` prints all of them. Names in legacy files are untrusted."""
    entries = list(lines)
    if entries:
        yield f"{number(len(entries), noun)}:"
        yield from (f"  {printable(line)}" for line in entries[:_MAX_LINES])
        if len(entries) > _MAX_LINES:
            yield f"  … and {len(entries) - _MAX_LINES:,} more (see --json)"
