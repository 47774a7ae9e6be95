"""``s3-manifest ls``."""

import click

from s3_manifest.stats import CollectionTotals
from s3_manifest_cli.client.deployment import Deployment
from s3_manifest_cli.commands.options import deployment, telling
from s3_manifest_cli.commands.telling import Teller, size


@click.command()
@click.argument("kind", required=False)
@deployment
@telling
def ls(kind: str | None, deployment: Deployment, teller: Teller) -> None:
    """List the collections that have a manifest, with their totals; with KIND those of one kind."""
    found = [one for one in deployment.manifests.collections() if kind in (None, one.kind)]
    for one in found:
        teller.say(_line(one))
    files, size_bytes = sum(one.total_files for one in found), sum(one.total_size_bytes for one in found)
    teller.say(f"{len(found):,} collections, {files:,} files, {size(size_bytes)}")
    teller.document([one.model_dump() for one in found])


def _line(one: CollectionTotals) -> str:
    total = f"{one.total_files:,} files  {size(one.total_size_bytes)}"
    unfinished = "" if one.complete else "  (incomplete)"
    return f"{one.kind}/{one.id}  {total}  revision {one.revision}{unfinished}"
