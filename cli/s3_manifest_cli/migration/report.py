"""The plan and the result, for people and as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.migration.legacy import Problem
from s3_manifest_cli.migration.plan import CollectionPlan, ImagePlan, Status
from s3_manifest_cli.migration.remove import Removed
from s3_manifest_cli.migration.run import MigrationPlan
from s3_manifest_cli.migration.verify import Verification

_MAX_LINES = 20

DONE, DIFFERENCES, ERRORS = 0, 1, 3
"""Exit codes: all is migrated; differences are left; something could not be read, stored or verified."""


class Result(NamedTuple):
    """What came of a run: what failed, what each manifest was seen to say, and what was removed."""

    failed: tuple[Problem, ...]
    checked: Mapping[Collection, Verification]
    removed: Removed | None


def exit_code(planned: MigrationPlan, result: Result | None) -> int:
    """The worst that there is to say. Of a plan alone, what is to be done is a difference."""
    if planned.problems or (result and result.failed):
        return ERRORS
    left = any(item.is_left for part in planned.parts for item in part.items)
    left = left or any(part.conflicts for part in planned.parts)
    if result is None:
        return DIFFERENCES if left or not planned.is_done else DONE
    unverified = any(not one.is_verified for one in result.checked.values())
    return DIFFERENCES if left or unverified else DONE


def counts(planned: MigrationPlan) -> dict[str, int]:
    """How many images there are of each status."""
    counted = Counter(item.status for part in planned.parts for item in part.items)
    return {status.value: counted[status] for status in Status}


def as_json(planned: MigrationPlan, result: Result | None) -> dict[str, Any]:
    """All of it. ``result`` is None for a plan."""
    said: dict[str, Any] = {
        "counts": counts(planned),
        "uploads": len(planned.uploads),
        "edits": len(planned.edits),
        "collections": [_part_json(part, result) for part in planned.parts],
        "problems": [one.model_dump() for one in planned.problems],
    }
    if result:
        said["failed"] = [one.model_dump() for one in result.failed]
        said["verified"] = sum(one.is_verified for one in result.checked.values())
        if result.removed:
            said["removed"] = list(result.removed.paths)
            said["kept"] = [one.model_dump() for one in result.removed.kept]
    return said | {"exit_code": exit_code(planned, result)}


def _part_json(part: CollectionPlan, result: Result | None) -> dict[str, Any]:
    checked = result.checked.get(part.collection) if result else None
    return {
        "kind": part.collection.kind,
        "id": part.collection.id,
        "prefix": part.collection.prefix,
        "images": [
            {
                "filename": item.filename,
                "path": item.path,
                "status": item.status.value,
                "action": "upload" if item.upload else None,
                "md5": item.md5,
                "local_md5": item.local_md5,
                "note": item.note,
            }
            for item in part.items
        ],
        "words": {
            "files": {name: dict(fields) for name, fields in part.words.files.items()},
            "title": part.words.title,
            "generations": [one.model_dump(mode="json") for one in part.words.generations],
        },
        "conflicts": list(part.conflicts),
        "unverified": {"files": dict(checked.files), "rest": list(checked.rest)} if checked else None,
    }


def plan_lines(planned: MigrationPlan) -> Iterator[str]:
    """The plan, as people read it."""
    total = sum(counts(planned).values())
    yield f"{len(planned.parts):,} collections, {total:,} images:"
    for status, count in counts(planned).items():
        yield f"  {status:<12} {count:>7,}  {_MEANING[Status(status)]}"
    yield from _some("differences", _left(planned))
    yield from _some("errors", (f"{one.path}: {one.problem}" for one in planned.problems))
    if planned.is_done:
        yield "Nothing to do."
    else:
        yield f"To do: {len(planned.uploads):,} uploads, and words of {len(planned.edits):,} collections into sidecars."


def result_lines(planned: MigrationPlan, result: Result) -> Iterator[str]:
    """The result, as people read it."""
    yield from _some("failed", (f"{one.path}: {one.problem}" for one in result.failed))
    yield from _some("not verified", _unverified(result))
    files = sum(len(part.expected.md5s) for part in planned.parts)
    files -= sum(len(one.files) for one in result.checked.values())
    verified = sum(one.is_verified for one in result.checked.values())
    yield f"Verified: {verified:,} of {len(planned.parts):,} manifests, {files:,} files."
    if result.removed:
        yield f"Removed: {len(result.removed.paths):,} legacy files."
        yield from _some("kept", (f"{one.path}: {one.problem}" for one in result.removed.kept))


_MEANING = {
    Status.SYNCED: "on disk and in S3, the same bytes",
    Status.LOCAL_ONLY: "on disk only",
    Status.S3_ONLY: "in S3 only",
    Status.OUT_OF_SYNC: "on disk and in S3, other bytes",
    Status.ORPHANED: "on disk, and in no legacy file",
    Status.MISSING: "in a legacy manifest only",
}


def _left(planned: MigrationPlan) -> Iterator[str]:
    for part in planned.parts:
        for item in part.items:
            if item.is_left:
                yield f"{item.status} {part.collection.prefix}{item.filename}" + _more(item)
        for conflict in part.conflicts:
            yield f"{part.collection.prefix}: its sidecar says otherwise, and stands: {conflict}"


def _more(item: ImagePlan) -> str:
    said = [f"on disk {item.path}"] if item.path else []
    said += [item.note] if item.note else []
    return f" ({'; '.join(said)})" if said else ""


def _unverified(result: Result) -> Iterator[str]:
    for collection, one in result.checked.items():
        yield from (f"{collection.prefix}: {rest}" for rest in one.rest)
        yield from (f"{collection.prefix}{name}: {wrong}" for name, wrong in one.files.items())


def _some(what: str, lines: Iterator[str]) -> Iterator[str]:
    """The first lines of each kind; a terminal holds no thousand, and ``--json`` has them all."""
    told = list(lines)
    if told:
        yield f"{len(told):,} {what}:"
        yield from (f"  {_printable(line)}" for line in told[:_MAX_LINES])
        if len(told) > _MAX_LINES:
            yield f"  … and {len(told) - _MAX_LINES:,} more (--json has them all)"


def _printable(line: str) -> str:
    """A line that no name out of a legacy file can make into something else on a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)
