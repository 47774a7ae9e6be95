"""``s3-manifest history``."""

import sys

import click
from pydantic_core import to_json

from s3_manifest.manifest.changes import ChangeType
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.history import DEFAULT_LIMIT, ExpiredRevisions, follow, history
from s3_manifest_cli.client.manifests.manifests import Change
from s3_manifest_cli.terminal.failures import INTERRUPTED
from s3_manifest_cli.terminal.options import common_options
from s3_manifest_cli.terminal.output import Printer, number, size

_SIGNS: dict[ChangeType, str] = {"added": "+", "modified": "*", "removed": "-"}
_COLOURS: dict[ChangeType, str] = {"added": "green", "modified": "yellow", "removed": "red"}


# A Click command: its parameters are its options.
@click.command(name="history")
@click.argument("collection")
@click.option(
    "--since", type=click.IntRange(0), metavar="REVISION", help="Show revisions after this one, instead of the latest."
)
@click.option("--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, help="Show at most this many revisions.")
@click.option("--files", is_flag=True, help="List the files of each revision, and what triggered each change.")
@click.option(
    "--follow", "is_followed", is_flag=True, help="Wait for new revisions until Ctrl-C. With --json: one per line."
)
@common_options
def history_command(
    collection: str,
    since: int | None,
    limit: int,
    files: bool,
    is_followed: bool,
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
    """  # \b keeps click from reflowing the paragraph
    result = history(deployment.manifests, deployment.collection(collection), since=since, limit=limit)
    changes: list[Change | ExpiredRevisions] = sorted((*result.expired, *result.changes), key=_revision)
    for change in changes:
        _print(change, printer, files=files, is_followed=is_followed)
    if is_followed:
        try:
            for change in follow(deployment.manifests, result.collection, result.last_revision):
                _print(change, printer, files=files, is_followed=True)
        except KeyboardInterrupt:  # the usual way to end it, so no failure is reported
            sys.exit(INTERRUPTED)
    if result.last_revision < result.revision:
        command = f"s3-manifest history {collection} --since {result.last_revision}"
        printer.write(f"More revisions follow, up to {result.revision}: {command}")
    elif not changes:
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
