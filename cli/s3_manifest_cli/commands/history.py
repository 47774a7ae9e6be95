"""``s3-manifest history``."""

import sys
from collections.abc import Mapping
from typing import Any

import click
from pydantic_core import to_json

from s3_manifest.manifest.changes import ChangeType
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.history import DEFAULT_LIMIT, ExpiredRevisions, History, follow, history
from s3_manifest_cli.client.manifests.manifests import Change
from s3_manifest_cli.terminal.bulk_output import BulkCommand, Request, run_many
from s3_manifest_cli.terminal.failures import INTERRUPTED
from s3_manifest_cli.terminal.options import Many, common_options, many_options
from s3_manifest_cli.terminal.output import Printer, number, size

_SIGNS: dict[ChangeType, str] = {"added": "+", "modified": "*", "removed": "-"}
_COLOURS: dict[ChangeType, str] = {"added": "green", "modified": "yellow", "removed": "red"}


# A Click command: its parameters are its options.
@click.command(name="history")
@click.argument("collection", metavar="COLLECTION", required=False)
@click.option(
    "--since", type=click.IntRange(0), metavar="REVISION", help="Show revisions after this one, instead of the latest."
)
@click.option("--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, help="Show at most this many revisions.")
@click.option("--files", is_flag=True, help="List the files of each revision, and what triggered each change.")
@click.option(
    "--follow", "is_followed", is_flag=True, help="Wait for new revisions until Ctrl-C. With --json: one per line."
)
@many_options
@common_options
def history_command(
    collection: str | None,
    since: int | None,
    limit: int,
    files: bool,
    is_followed: bool,
    many: Many,
    deployment: Deployment,
    printer: Printer,
) -> None:
    """Show the revision history of COLLECTION, oldest first.

    \b
    + added   * modified   - removed (or hidden)

    \b
    Examples:
      s3-manifest history style/16
      s3-manifest history style/16 --files --limit 5
      s3-manifest history 'style/*' --limit 1
    """  # \b keeps click from reflowing the paragraph
    name = many.name(collection)

    def run(request: Request) -> None:
        result = history(request.deployment.manifests, request.collection, since=since, limit=limit)
        changes: list[Change | ExpiredRevisions] = sorted((*result.expired, *result.changes), key=_revision)
        for change in changes:
            _print(change, request.printer, files=files, is_followed=is_followed)
        if is_followed:
            try:
                for change in follow(deployment.manifests, result.collection, result.last_revision):
                    _print(change, printer, files=files, is_followed=True)
            except KeyboardInterrupt:  # the usual way to end it, so no failure is reported
                sys.exit(INTERRUPTED)
        _report(result, request.name, request.printer)

    if many.are_selected(name, None):
        if is_followed or files:
            raise click.UsageError("--follow and --files are for one collection. Use --json.")
        command = BulkCommand("history", run, lambda document: {"revisions": len(document["changes"])}, _latest)
        run_many(command, deployment, many.names(name), None, printer)
    run(Request(deployment, deployment.collection(name), name, None, printer))


def _report(result: History, collection: str, printer: Printer) -> None:
    if result.last_revision < result.revision:
        command = f"s3-manifest history {collection} --since {result.last_revision}"
        printer.write(f"More revisions follow, up to {result.revision}: {command}")
    elif not result.changes and not result.expired:
        printer.write(f"Nothing changed since revision {result.revision}.")
    printer.document(
        {
            "kind": result.collection.kind,
            "id": result.collection.id,
            "revision": result.revision,
            "reached": result.last_revision,
            "changes": [change.model_dump() for change in result.changes],
            "untold": [change._asdict() for change in result.expired],
        }
    )


def _latest(document: Mapping[str, Any]) -> str:
    """One of many collections: its last revision."""
    changes = document["changes"]
    if not changes:
        return f"revision {document['revision']}"
    total = f"{number(changes[-1]['total_files'], 'file')}, {size(changes[-1]['total_size_bytes'])}"
    return f"revision {document['revision']}  {changes[-1]['committed_at']}  -> {total}"


def _revision(change: Change | ExpiredRevisions) -> int:
    return change.first if isinstance(change, ExpiredRevisions) else change.revision


def _print(change: Change | ExpiredRevisions, printer: Printer, *, files: bool, is_followed: bool) -> None:
    if is_followed and printer.as_json:
        fields = {"untold": change._asdict()} if isinstance(change, ExpiredRevisions) else change.model_dump()
        click.echo(to_json(fields))
    if isinstance(change, ExpiredRevisions):
        first, last = change.first, change.last
        revisions = f"revision {first}" if first == last else f"revisions {first} to {last}"
        printer.write(f"{revisions}: not available, {change.why}", "magenta")
        return
    lists = (change.added, change.modified, change.removed)
    counts = "  ".join(f"{_SIGNS[entries[0].change_type]}{len(entries):,}" for entries in lists if entries)
    if None in lists:
        counts = f"too many files to list; see {change.s3_key}"
    total = f"{number(change.total_files, 'file')}, {size(change.total_size_bytes)}"
    printer.write(f"revision {change.revision}  {change.committed_at}  {counts or '(no file)'}  -> {total}")
    for entry in (entry for entries in lists for entry in entries or ()) if files else ():
        printer.write(f"  {_SIGNS[entry.change_type]} {entry.filename}  ({entry.cause})", _COLOURS[entry.change_type])
