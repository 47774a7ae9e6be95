"""``s3-manifest restore``."""

from pathlib import Path
from typing import Any

import click

from s3_manifest.manifest.model import Timestamp
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import SyncOptions
from s3_manifest_cli.client.sync.restore import prepare_restore
from s3_manifest_cli.client.sync.sync import PreparedPlan
from s3_manifest_cli.terminal.named import missing, named_collection
from s3_manifest_cli.terminal.options import (
    FOLDER,
    deployment_options,
    filter_options,
    output_options,
    revision_options,
)
from s3_manifest_cli.terminal.output import Printer
from s3_manifest_cli.terminal.plan_output import PORTABLE, WAIT, Choices, planning, run


@click.command()
@click.argument("collection", metavar="COLLECTION", required=False)
@click.argument("folder", metavar="[LOCAL]", type=FOLDER, required=False)
@click.option("--in-s3", is_flag=True, help="Restore the objects in S3 itself, and nothing here.")
@revision_options
@planning("Delete also what was not there then.")
@PORTABLE
@WAIT
@filter_options
@deployment_options
@output_options
def restore(
    collection: str | None,
    folder: Path | None,
    in_s3: bool,
    revision: int | None,
    at: Timestamp | None,
    filters: Filter,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # as Choices
) -> None:
    """Bring back what COLLECTION was: to the folder LOCAL, or with --in-s3 in S3.

    As it is now, as it was at --revision, or --at a time; all of it, or with --include some files. Of files that were
    replaced or deleted since, S3 has the old versions if the bucket is versioned, as the stack's own is. In S3 an old
    version becomes the newest one; nothing is lost by it. With --delete also goes what was not there then.
    """
    choices = Choices(**options)
    if choices.apply is None and collection is None:
        raise missing("COLLECTION")
    if choices.apply is None and folder is None and not in_s3:
        raise missing("LOCAL (or --in-s3)")
    if choices.apply is None and folder is not None and in_s3:
        raise click.UsageError("LOCAL and --in-s3 are two places to restore to: name one of them")
    if choices.apply and (collection or folder or in_s3 or revision or at or filters != EVERYTHING):
        raise click.UsageError("--apply says what is done, and where: leave out what else names it, and the filters")

    def prepared(options: SyncOptions) -> PreparedPlan:
        return prepare_restore(
            deployment,
            named_collection(deployment, collection or "", folder, "restore {collection} {local}"),
            folder,
            filters,
            options._replace(revision=revision, at=at),
        )

    is_past = revision is not None or at is not None
    run("restore", deployment, prepared, choices, printer, is_past=is_past)
