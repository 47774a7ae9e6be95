"""``s3-manifest diff``."""

import sys
from typing import Any

import click

from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.diff import Diff, DiffKind, FileDifference, diff
from s3_manifest_cli.client.manifests.revision_spec import RevisionSpec, parse_revision_spec
from s3_manifest_cli.terminal.manifest_warnings import doubts_json, exit_code, warn_of_doubts
from s3_manifest_cli.terminal.options import deployment_options, filter_options, output_options
from s3_manifest_cli.terminal.output import Printer
from s3_manifest_cli.terminal.output import files as count_of

_SIGNS: dict[DiffKind, str] = {"added": "+", "removed": "-", "modified": "*", "described": "~"}
_COLOURS: dict[DiffKind, str] = {"added": "green", "removed": "red", "modified": "yellow", "described": "cyan"}
_LONGEST = 60


@click.command(name="diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@filter_options
@deployment_options
@output_options
def diff_command(before: str, after: str, filters: Filter, deployment: Deployment, printer: Printer) -> None:
    """Tell how the manifest B differs from A: COLLECTION, COLLECTION@REVISION or COLLECTION@TIME (ISO 8601).

    \b
    + only in B
    - only in A
    * other bytes
    ~ the same bytes, otherwise described: prompt, good, labels, generation ...

    The exit code is 1 if they differ.
    """  # click's mark for a paragraph that is not to be filled
    points = parse_revision_spec(before), parse_revision_spec(after)
    found = diff(deployment, *points, filters)
    printer.unmatched(found.unmatched)
    _tell(found, printer)
    sides = list(zip((found.before, found.after), map(_is_past, points), strict=True))
    for facts, is_past in sides if sides[0] != sides[1] else sides[:1]:
        warn_of_doubts(facts, printer, is_past=is_past)
    printer.document(
        {
            "before": _which(*sides[0]),
            "after": _which(*sides[1]),
            "totals": found.totals,
            "files": [_json(one) for one in found.files],
            "unproven": found.unproven,
            "unmatched_filters": found.unmatched,
        }
    )
    least = found.before if not found.before.complete else found.after
    sys.exit(exit_code(facts=least, failed=False, differs=not found.is_same))


def _is_past(point: RevisionSpec) -> bool:
    return point.revision is not None or point.at is not None


def _which(facts: Facts, is_past: bool) -> dict[str, Any]:
    named = {"kind": facts.kind, "id": facts.id, "title": facts.title, "revision": facts.revision}
    return named | doubts_json(facts, is_past=is_past)


def _json(one: FileDifference) -> dict[str, Any]:
    return {
        "filename": one.filename,
        "sort": one.sort,
        "by": one.by,
        "is_proven": one.is_proven,
        "words": one.fields,
        "before": one.before and one.before.model_dump(),
        "after": one.after and one.after.model_dump(),
    }


def _tell(found: Diff, printer: Printer) -> None:
    for facts, sign in ((found.before, "---"), (found.after, "+++")):
        printer.write(f"{sign} {facts.kind}/{facts.id} at revision {facts.revision}, {facts.last_synced}")
    if found.before.title != found.after.title:
        printer.write(f"~ title: {found.before.title!r} -> {found.after.title!r}", _COLOURS["described"])
    for one in found.files:
        unproven = "" if one.is_proven else "  (by ETag and size alone: not proven)"
        printer.write(f"{_SIGNS[one.sort]} {one.filename}{unproven}", _COLOURS[one.sort])
        for word in one.fields:
            printer.write(f"    {word}: {_short(one.before, word)} -> {_short(one.after, word)}")
    told = ", ".join(f"{count:,} {sort}" for sort, count in found.totals.items() if count)
    printer.write(told or "The files are the same.")
    if found.unproven:
        printer.write(
            f"The same by ETag and size alone, with no MD5 or checksum to prove it: {count_of(len(found.unproven))}"
        )


def _short(entry: object, word: str) -> str:
    text = repr(getattr(entry, word))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
