"""``s3-manifest diff``."""

from typing import Any

import click

from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.diff import Diff, DiffKind, FileDifference, diff
from s3_manifest_cli.client.manifests.revision_spec import RevisionSpec, parse_revision_spec
from s3_manifest_cli.terminal.options import common_options, filter_options
from s3_manifest_cli.terminal.output import Printer, exit_with, manifest_fields, number

_SIGNS: dict[DiffKind, str] = {"added": "+", "removed": "-", "modified": "*", "described": "~"}
_COLOURS: dict[DiffKind, str] = {"added": "green", "removed": "red", "modified": "yellow", "described": "cyan"}
_MAX_VALUE_LENGTH = 60


@click.command(name="diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@filter_options
@common_options
def diff_command(before: str, after: str, filters: Filter, deployment: Deployment, printer: Printer) -> None:
    """Show the files that differ between two manifests A and B.

    Each of A and B is COLLECTION, COLLECTION@REVISION or COLLECTION@TIME (ISO 8601).
    The exit code is 1 if they differ.

    \b
    + added        only in B
    - removed      only in A
    * modified     different bytes
    ~ described    same bytes, different prompt, labels or other fields

    \b
    Examples:
      s3-manifest diff style/16@1 style/16
      s3-manifest diff style/16@2026-11-21 style/16
    """  # \b keeps click from reflowing the paragraph
    specs = parse_revision_spec(before), parse_revision_spec(after)
    result = diff(deployment, *specs, filters)
    printer.warn_of_filters(result.unmatched)
    _print(result, printer)
    sides = list(zip((result.before, result.after), map(_is_past, specs), strict=True))
    for facts, is_past in sides if sides[0] != sides[1] else sides[:1]:
        printer.warn_of_manifest(facts, is_past=is_past)
    printer.document(
        {
            "before": _side_fields(*sides[0]),
            "after": _side_fields(*sides[1]),
            "totals": result.totals,
            "files": [_file_fields(difference) for difference in result.files],
            "unproven": result.unproven,
            "unmatched_filters": result.unmatched,
        }
    )
    least_complete = result.before if not result.before.complete else result.after
    exit_with(facts=least_complete, differs=not result.is_same)


def _is_past(spec: RevisionSpec) -> bool:
    return spec.revision is not None or spec.at is not None


def _side_fields(facts: Facts, is_past: bool) -> dict[str, Any]:
    fields = facts.model_dump(include={"kind", "id", "title", "revision"})
    return fields | manifest_fields(facts, is_past=is_past)


def _file_fields(difference: FileDifference) -> dict[str, Any]:
    return {
        "filename": difference.filename,
        "sort": difference.kind,
        "by": difference.by,
        "is_proven": difference.is_proven,
        "words": difference.fields,
        "before": difference.before and difference.before.model_dump(),
        "after": difference.after and difference.after.model_dump(),
    }


def _print(result: Diff, printer: Printer) -> None:
    for facts, sign in ((result.before, "---"), (result.after, "+++")):
        printer.write(f"{sign} {facts.kind}/{facts.id} at revision {facts.revision}, {facts.last_synced}")
    if result.before.title != result.after.title:
        printer.write(f"~ title: {result.before.title!r} -> {result.after.title!r}", _COLOURS["described"])
    for difference in result.files:
        unproven = "" if difference.is_proven else "  (not proven: only ETag and size differ)"
        printer.write(f"{_SIGNS[difference.kind]} {difference.filename}{unproven}", _COLOURS[difference.kind])
        for field in difference.fields:
            printer.write(f"    {field}: {_value(difference.before, field)} -> {_value(difference.after, field)}")
    counts = ", ".join(f"{count:,} {sort}" for sort, count in result.totals.items() if count)
    printer.write(f"{counts}." if counts else "The files are the same.")
    if result.unproven:
        files = number(len(result.unproven), "file")
        printer.write(f"Not proven for {files}: ETag and size are the same, but there is no MD5 or checksum.")


def _value(entry: object, field: str) -> str:
    text = repr(getattr(entry, field))
    return text if len(text) <= _MAX_VALUE_LENGTH else text[: _MAX_VALUE_LENGTH - 1] + "…"
