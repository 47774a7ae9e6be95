"""``s3-manifest ls``."""

import sys

import click

from s3_manifest.query.catalog import UnreadableBucket
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.terminal.failures import FAILED
from s3_manifest_cli.terminal.options import common_options
from s3_manifest_cli.terminal.output import Printer, number, size


@click.command()
@click.argument("kind", required=False)
@common_options
def ls(kind: str | None, deployment: Deployment, printer: Printer) -> None:
    """List collections with file counts and sizes (only of KIND, if given).

    A collection whose manifest cannot be read, and a kind whose bucket cannot be,
    are listed with the reason, and the exit code is 3.

    \b
    Examples:
      s3-manifest ls
      s3-manifest ls style
    """
    kinds = sorted(pattern.kind for pattern in deployment.collections.patterns)
    if kind is not None and kind not in kinds:
        raise Invalid(f"There is no collection kind {kind!r}.", remedy=f"Choose one of: {', '.join(kinds)}.")
    collections = [entry for entry in deployment.manifests.collections() if kind in (None, entry.kind)]
    for entry in collections:
        if isinstance(entry, UnreadableBucket):
            printer.write(f"{entry.kind}/…  unreadable: bucket {entry.s3_bucket}: {entry.problem}", "red")
        elif isinstance(entry, UnreadableCollection):
            printer.write(f"{entry.kind}/{entry.id}  unreadable: {entry.problem}", "red")
        else:
            totals = f"{number(entry.total_files, 'file')}  {size(entry.total_size_bytes)}"
            incomplete = "" if entry.complete else "  (incomplete)"
            printer.write(f"{entry.kind}/{entry.id}  {totals}  revision {entry.revision}{incomplete}")
    readable = [entry for entry in collections if isinstance(entry, CollectionTotals)]
    unreadable = len(collections) - len(readable)
    not_read = f", {unreadable:,} unreadable" if unreadable else ""
    total_files = sum(entry.total_files for entry in readable)
    total_size = sum(entry.total_size_bytes for entry in readable)
    printer.write(
        f"{number(len(collections), 'collection')}{not_read}, {number(total_files, 'file')}, {size(total_size)}"
    )
    printer.document([entry.model_dump() for entry in collections])
    sys.exit(FAILED if unreadable else 0)
