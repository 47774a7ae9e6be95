"""``s3-manifest pull``, ``push``, ``sync`` and ``restore``."""

from functools import wraps
from pathlib import Path
from typing import Any

import click

from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage.upload_headers import UploadMetadata
from s3_manifest_cli.client.local.filters import EVERYTHING
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import SyncOptions
from s3_manifest_cli.client.sync.plan import Verb
from s3_manifest_cli.client.sync.restore import prepare_restore
from s3_manifest_cli.client.sync.sync import PreparedPlan, prepare
from s3_manifest_cli.terminal.options import (
    FOLDER,
    TIME,
    Function,
    deployment_options,
    filter_options,
    missing,
    output_options,
    parse_collection,
    revision_options,
    with_options,
)
from s3_manifest_cli.terminal.output import Printer
from s3_manifest_cli.terminal.plan_output import PORTABLE, WAIT, PlanOptions, plan_options, run_plan


def _upload_options(command: Function) -> Function:
    """Metadata of uploaded files, passed to the command as ``upload_metadata``."""

    @wraps(command)
    def generated(
        *,
        generation_id: str | None,
        generation_type: str | None,
        generated_at: Timestamp | None,
        **options: Any,  # noqa: ANN401  # the command's own
    ) -> Any:  # noqa: ANN401  # whatever the command returns
        upload_metadata = UploadMetadata(
            generation_id=generation_id, generation_type=generation_type, generated_at=generated_at
        )
        return command(upload_metadata=upload_metadata, **options)

    return with_options(
        generated,
        click.option("--generation-id", metavar="ID", help="Record this generation for the uploaded files."),
        click.option("--generation-type", metavar="TYPE", help="Record its type, such as replicate_flux_kontext."),
        click.option("--generated-at", type=TIME, metavar="TIME", help="Record when the files were generated."),
    )


@click.command()
@click.argument("collection", metavar="COLLECTION", required=False)
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@plan_options("Delete local files that are not in S3.")
@PORTABLE
@filter_options
@deployment_options
@output_options
def pull(
    collection: str | None,
    folder: Path | None,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # PlanOptions
) -> None:
    """Download COLLECTION into LOCAL, transferring only what differs.

    Each file is verified and then put in place atomically. Files that are only in
    LOCAL stay, unless --delete is given; even then, S3 is asked first. Run an
    interrupted pull again to finish it. Objects whose keys cannot be file names are
    listed and skipped.

    \b
    Examples:
      s3-manifest pull style/16 pictures
      s3-manifest pull style/16 pictures --delete --dry-run
    """
    _copy("pull", deployment, collection, folder, PlanOptions(**options), printer)


@click.command()
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@click.argument("collection", metavar="COLLECTION", required=False)
@plan_options("Delete objects in S3 that are not in LOCAL.")
@_upload_options
@WAIT
@filter_options
@deployment_options
@output_options
def push(
    folder: Path | None,
    collection: str | None,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # PlanOptions
) -> None:
    """Upload LOCAL to COLLECTION, transferring only what differs.

    Files are uploaded with their MD5, their local path, and as prompt the caption
    beside them. S3 verifies the bytes, and a newer object is never overwritten.
    Objects that are only in S3 stay, unless --delete is given.

    \b
    Examples:
      s3-manifest push pictures style/16
      s3-manifest push pictures style/16 --generation-type flux --wait 20
    """
    _copy("push", deployment, collection, folder, PlanOptions(**options), printer)


@click.command()
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@click.argument("collection", metavar="COLLECTION", required=False)
@click.option("--prefer", type=click.Choice(["local", "s3", "newer"]), help="Which side wins when both changed a file.")
@plan_options("Delete on one side what was deleted on the other.")
@PORTABLE
@_upload_options
@WAIT
@filter_options
@deployment_options
@output_options
def sync(
    folder: Path | None,
    collection: str | None,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # PlanOptions
) -> None:
    """Copy changes between LOCAL and COLLECTION in both directions.

    What changed on one side since the last pull, push or sync is copied to the
    other. A file that changed on both sides is a conflict and stays as it is,
    unless --prefer names the side that wins. A file that was deleted on one side is
    copied back, or with --delete deleted on both.

    \b
    Examples:
      s3-manifest sync pictures style/16
      s3-manifest sync pictures style/16 --prefer newer
    """
    _copy("sync", deployment, collection, folder, PlanOptions(**options), printer)


# A Click command: its parameters are its options.
@click.command()
@click.argument("collection", metavar="COLLECTION", required=False)
@click.argument("folder", metavar="[LOCAL]", type=FOLDER, required=False)
@click.option("--in-s3", is_flag=True, help="Restore the objects in S3 instead of a local folder.")
@revision_options
@plan_options("Also delete files that did not exist in that revision.")
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
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # PlanOptions
) -> None:
    """Restore COLLECTION, or an earlier revision of it, to LOCAL or in S3.

    Replaced and deleted files can be restored if the bucket is versioned. With
    --in-s3, the old version is copied over the current one; nothing is lost.

    \b
    Examples:
      s3-manifest restore style/16 pictures --revision 1 --include fox.png
      s3-manifest restore style/16 --in-s3 --at 2026-11-21T10:00:00Z
    """
    choices = PlanOptions(**options)
    if choices.apply and (in_s3 or revision or at):
        raise _too_many_for_apply()
    if not choices.apply and collection and folder is None and not in_s3:
        raise missing("LOCAL (or --in-s3)")
    if not choices.apply and folder is not None and in_s3:
        raise click.UsageError("Pass either LOCAL or --in-s3, not both.")
    _check_arguments({"COLLECTION": collection}, folder, choices)

    def prepare_plan(options: SyncOptions) -> PreparedPlan:
        return prepare_restore(
            deployment,
            parse_collection(deployment, collection or "", folder, "restore {collection} {local}"),
            folder,
            choices.filters,
            options._replace(revision=revision, at=at),
        )

    run_plan("restore", deployment, prepare_plan, choices, printer, is_past=revision is not None or at is not None)


def _copy(
    verb: Verb,
    deployment: Deployment,
    name: str | None,
    folder: Path | None,
    options: PlanOptions,
    printer: Printer,
) -> None:
    _check_arguments({"COLLECTION": name, "LOCAL": folder}, folder, options)

    def prepare_plan(sync_options: SyncOptions) -> PreparedPlan:
        usage = "pull {collection} {local}" if verb == "pull" else f"{verb} {{local}} {{collection}}"
        collection = parse_collection(deployment, name or "", folder, usage)
        return prepare(deployment, verb, folder or Path(), collection, options.filters, sync_options)

    run_plan(verb, deployment, prepare_plan, options, printer)


def _check_arguments(required: dict[str, object], folder: Path | None, options: PlanOptions) -> None:
    """Raises ``UsageError`` if an argument is missing, or given beside ``--apply``."""
    absent = [name for name, value in required.items() if value is None]
    if options.apply is None and absent:
        raise missing(*absent)
    if options.apply and (folder or len(absent) < len(required) or options.filters != EVERYTHING):
        raise _too_many_for_apply()


def _too_many_for_apply() -> click.UsageError:
    return click.UsageError("--apply takes everything from the plan: omit COLLECTION, LOCAL, revisions and filters.")
