"""``s3-manifest history``."""

import sys
from collections.abc import Mapping
from typing import Any

import click
from pydantic_core import to_json

from s3_manifest.manifest.changes import FileChange, Sort
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.history import DEFAULT_LIMIT, ExpiredRevisions, History, follow, history
from s3_manifest_cli.client.manifests.manifests import Change
from s3_manifest_cli.terminal.endings import INTERRUPTED
from s3_manifest_cli.terminal.options import deployment_options, output_options
from s3_manifest_cli.terminal.output import Printer, size
from s3_manifest_cli.terminal.output import files as counted

_SIGNS: dict[Sort, str] = {"added": "+", "modified": "*", "removed": "-"}
_COLOURS: dict[Sort, str] = {"added": "green", "modified": "yellow", "removed": "red"}


@click.command(name="history")
@click.argument("collection")
@click.option("--since", type=click.IntRange(0), metavar="REVISION", help="After that revision; else the last ones.")
@click.option(
    "--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, show_default=True, help="So many revisions at most."
)
@click.option("--files", is_flag=True, help="Each file too, and what made the stack look at it.")
@click.option("--follow", "follows", is_flag=True, help="Go on until Ctrl-C. With --json: a line for each.")
@deployment_options
@output_options
def history_command(
    collection: str, since: int | None, limit: int, files: bool, follows: bool, deployment: Deployment, printer: Printer
) -> None:
    """Show the revision history of COLLECTION, oldest first.

    \b
    + added   * modified   - removed (or hidden)
    """  # click's mark for a paragraph that is not to be filled
    found = history(deployment.manifests, deployment.collection(collection), since=since, limit=limit)
    told: list[Change | ExpiredRevisions] = sorted((*found.expired, *found.changes), key=_revision)
    for one in told:
        _tell(one, printer, files=files)
    if follows:
        _follow(found, told, deployment, printer, files=files)
    if found.last_revision < found.revision:
        rest = f"s3-manifest history {collection} --since {found.last_revision}"
        printer.write(f"There are more, up to revision {found.revision}: {rest}")
    elif not told:
        printer.write(f"Nothing changed since revision {found.revision}.")
    printer.document(
        {
            "kind": found.collection.kind,
            "id": found.collection.id,
            "revision": found.revision,
            "reached": found.last_revision,
            "changes": [change.model_dump() for change in found.changes],
            "untold": [one._asdict() for one in found.expired],
        }
    )


def _follow(
    found: History, told: list[Change | ExpiredRevisions], deployment: Deployment, printer: Printer, *, files: bool
) -> None:
    """Until Ctrl-C, which here is the usual end and no failure to report."""
    for one in told:
        _line(one, printer)
    try:
        for one in follow(deployment.manifests, found.collection, found.last_revision):
            _tell(one, printer, files=files)
            _line(one, printer)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _line(one: Change | ExpiredRevisions, printer: Printer) -> None:
    if printer.as_json:
        fields: dict[str, Any] = {"untold": one._asdict()} if isinstance(one, ExpiredRevisions) else one.model_dump()
        click.echo(to_json(fields))


def _revision(one: Change | ExpiredRevisions) -> int:
    return one.first if isinstance(one, ExpiredRevisions) else one.revision


def _tell(one: Change | ExpiredRevisions, printer: Printer, *, files: bool) -> None:
    if isinstance(one, ExpiredRevisions):
        which = f"revision {one.first}" if one.first == one.last else f"revisions {one.first} to {one.last}"
        printer.write(f"{which}: not told, {one.why}", "magenta")
        return
    lists: Mapping[Sort, tuple[FileChange, ...] | None] = {
        "added": one.added,
        "modified": one.modified,
        "removed": one.removed,
    }
    counts = "  ".join(f"{_SIGNS[sort]}{len(told):,}" for sort, told in lists.items() if told)
    if None in lists.values():
        counts = f"too many files for an answer: they are in {one.s3_key}"
    total = f"{counted(one.total_files)}, {size(one.total_size_bytes)}"
    printer.write(f"revision {one.revision}  {one.committed_at}  {counts or '(no file)'}  -> {total}")
    for alteration in (*(one.added or ()), *(one.modified or ()), *(one.removed or ())) if files else ():
        sign = _SIGNS[alteration.sort]
        printer.write(f"  {sign} {alteration.filename}  ({alteration.cause})", _COLOURS[alteration.sort])
