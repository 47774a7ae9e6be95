"""What every command says of a manifest that cannot be relied on, and of parts of a folder that were skipped."""

from collections.abc import Iterable
from typing import Any

from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.scan import Problem
from s3_manifest_cli.client.manifests.manifest_warnings import is_stale, manifest_warnings
from s3_manifest_cli.terminal.endings import DIFFERENCES, FAILED
from s3_manifest_cli.terminal.output import Printer


def warn_of_doubts(facts: Facts | None, printer: Printer, *, is_past: bool = False) -> None:
    """Says on stderr that a manifest is incomplete or stale."""
    for doubt in manifest_warnings(facts, is_past=is_past) if facts else ():
        printer.warn(doubt.message)


def doubts_json(facts: Facts | None, *, is_past: bool = False) -> dict[str, Any]:
    """The same as fields of a document; null where there is no manifest, or it is one of the past."""
    return {
        "complete": facts.complete if facts else None,
        "last_verified_at": facts.last_verified_at if facts else None,
        "stale": is_stale(facts) if facts and not is_past else None,
    }


def problems_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """The parts of the folder that were skipped."""
    return [problem._asdict() for problem in problems]


def exit_code(*, facts: Facts | None, failed: bool, differs: bool) -> int:
    """What a command exits with: a failure or an incomplete manifest is worse than differences."""
    if failed or (facts is not None and not facts.complete):
        return FAILED
    return DIFFERENCES if differs else 0


def is_unreadable(problems: Iterable[Problem]) -> bool:
    """Whether a part of the folder could not be read."""
    return any(problem.kind == "unreadable" for problem in problems)
