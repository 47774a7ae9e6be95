"""``s3-manifest ls``."""

import sys

import click

from s3_manifest.query.stats import CollectionTotals, UnreadableCollection
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.terminal.endings import FAILED
from s3_manifest_cli.terminal.options import deployment_options, output_options
from s3_manifest_cli.terminal.output import Printer, size
from s3_manifest_cli.terminal.output import files as count_of


@click.command()
@click.argument("kind", required=False)
@deployment_options
@output_options
def ls(kind: str | None, deployment: Deployment, printer: Printer) -> None:
    """List collections with file counts and sizes (only of KIND, if given).

    One whose manifest cannot be read is listed with what is wrong, and the exit code is 3.
    """
    kinds = sorted(pattern.kind for pattern in deployment.collections.patterns)
    if kind is not None and kind not in kinds:
        raise Invalid(f"There is no kind {kind!r} of collections.", remedy=f"Name one of: {', '.join(kinds)}.")
    found = [one for one in deployment.manifests.collections() if kind in (None, one.kind)]
    unreadable = [one for one in found if isinstance(one, UnreadableCollection)]
    for one in found:
        if isinstance(one, CollectionTotals):
            printer.write(_line(one))
        else:
            printer.write(f"{one.kind}/{one.id}  unreadable: {one.problem}", "red")
    totals = [one for one in found if isinstance(one, CollectionTotals)]
    files, size_bytes = sum(one.total_files for one in totals), sum(one.total_size_bytes for one in totals)
    collections = "1 collection" if len(found) == 1 else f"{len(found):,} collections"
    not_read = f", {len(unreadable):,} unreadable" if unreadable else ""
    printer.write(f"{collections}{not_read}, {count_of(files)}, {size(size_bytes)}")
    printer.document([one.model_dump() for one in found])
    sys.exit(FAILED if unreadable else 0)


def _line(one: CollectionTotals) -> str:
    total = f"{count_of(one.total_files)}  {size(one.total_size_bytes)}"
    unfinished = "" if one.complete else "  (incomplete)"
    return f"{one.kind}/{one.id}  {total}  revision {one.revision}{unfinished}"
