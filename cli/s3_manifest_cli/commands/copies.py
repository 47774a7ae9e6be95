"""``s3-manifest pull``, ``push``, ``sync`` and ``restore``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from s3_manifest.manifest.collections import Collection
from s3_manifest.storage.upload_headers import UploadMetadata
from s3_manifest_cli.client.local.filters import EVERYTHING
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import MAX_DELETE, SyncOptions
from s3_manifest_cli.client.sync.plan import Verb
from s3_manifest_cli.client.sync.restore import prepare_restore
from s3_manifest_cli.client.sync.sync import PreparedPlan, prepare
from s3_manifest_cli.terminal.bulk_output import BulkCommand, Request, run_many
from s3_manifest_cli.terminal.options import (
    FOLDER,
    TIME,
    Function,
    Many,
    common_options,
    filter_options,
    many_options,
    missing,
    option_group,
    parse_collection,
    revision_options,
    with_options,
)
from s3_manifest_cli.terminal.output import Printer
from s3_manifest_cli.terminal.plan_output import PlanOptions, plan_counts, run_plan

_portable = click.option("--portable", is_flag=True, help="Skip files whose names some other system does not allow.")
_wait = click.option(
    "--wait",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Wait up to this long until the manifest shows the changes in S3.",
)
_upload_options = option_group(
    "upload_metadata",
    UploadMetadata,
    generation_id=click.option("--generation-id", metavar="ID", help="Record this generation for the uploaded files."),
    generation_type=click.option(
        "--generation-type", metavar="TYPE", help="Record its type, such as replicate_flux_kontext."
    ),
    generated_at=click.option(
        "--generated-at", type=TIME, metavar="TIME", help="Record when the files were generated."
    ),
)


def _plan_options(delete_help: str) -> Callable[[Function], Function]:
    return lambda command: with_options(
        command,
        click.option("--delete", is_flag=True, help=delete_help),
        click.option(
            "--max-delete",
            type=click.IntRange(0),
            default=MAX_DELETE,
            metavar="N",
            help="Refuse to start if more files than this would be deleted.",
        ),
        click.option("--dry-run", "-n", is_flag=True, help="Print what would be done, and change nothing."),
        click.option(
            "--plan",
            "plan_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write the plan to this file as JSON lines, and change nothing.",
        ),
        click.option(
            "--apply",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Execute the plan in this file; what changed since is skipped.",
        ),
    )


@click.command()
@click.argument("collection", metavar="COLLECTION", required=False)
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@_plan_options("Delete local files that are not in S3.")
@_portable
@many_options
@filter_options
@common_options
def pull(**arguments: Any) -> None:  # noqa: ANN401  # those of _copy
    """Download COLLECTION into LOCAL, transferring only what differs.

    Each file is verified and then put in place atomically. Files that are only in
    LOCAL stay, unless --delete is given; even then, S3 is asked first. Run an
    interrupted pull again to finish it. Objects whose keys cannot be file names are
    listed and skipped.

    \b
    Examples:
      s3-manifest pull style/16 pictures
      s3-manifest pull style/16 pictures --delete --dry-run
      s3-manifest pull 'style/*' 'data/styles/{id}'
    """
    _copy("pull", **arguments)


@click.command()
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@click.argument("collection", metavar="COLLECTION", required=False)
@_plan_options("Delete objects in S3 that are not in LOCAL.")
@_upload_options
@_wait
@many_options
@filter_options
@common_options
def push(**arguments: Any) -> None:  # noqa: ANN401  # those of _copy
    """Upload LOCAL to COLLECTION, transferring only what differs.

    Files are uploaded with their MD5, their local path, and as prompt the caption
    beside them. S3 verifies the bytes, and a newer object is never overwritten.
    Objects that are only in S3 stay, unless --delete is given.

    \b
    Examples:
      s3-manifest push pictures style/16
      s3-manifest push pictures style/16 --generation-type flux --wait 20
      s3-manifest push 'data/styles/{id}' 'style/*'
    """
    _copy("push", **arguments)


@click.command()
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@click.argument("collection", metavar="COLLECTION", required=False)
@click.option("--prefer", type=click.Choice(["local", "s3", "newer"]), help="Which side wins when both changed a file.")
@_plan_options("Delete on one side what was deleted on the other.")
@_portable
@_upload_options
@_wait
@many_options
@filter_options
@common_options
def sync(**arguments: Any) -> None:  # noqa: ANN401  # those of _copy
    """Copy changes between LOCAL and COLLECTION in both directions.

    What changed on one side since the last pull, push or sync is copied to the
    other. A file that changed on both sides is a conflict and stays as it is,
    unless --prefer names the side that wins. A file that was deleted on one side is
    copied back, or with --delete deleted on both.

    \b
    Examples:
      s3-manifest sync pictures style/16
      s3-manifest sync pictures style/16 --prefer newer
      s3-manifest sync 'data/{kind}/{id}' --all
    """
    _copy("sync", **arguments)


@click.command()
@click.argument("collection", metavar="COLLECTION", required=False)
@click.argument("folder", metavar="[LOCAL]", type=FOLDER, required=False)
@click.option("--in-s3", is_flag=True, help="Restore the objects in S3 instead of a local folder.")
@revision_options
@_plan_options("Also delete files that did not exist in that revision.")
@_portable
@_wait
@many_options
@filter_options
@common_options
def restore(
    collection: str | None,
    folder: Path | None,
    in_s3: bool,
    apply: Path | None,
    many: Many,
    **arguments: Any,  # noqa: ANN401  # those of _copy
) -> None:
    """Restore COLLECTION, or an earlier revision of it, to LOCAL or in S3.

    Replaced and deleted files can be restored if the bucket is versioned. With
    --in-s3, the old version is copied over the current one; nothing is lost.

    \b
    Examples:
      s3-manifest restore style/16 pictures --revision 1 --include fox.png
      s3-manifest restore style/16 --in-s3 --at 2026-11-21T10:00:00Z
      s3-manifest restore 'style/*' --in-s3 --at 2026-11-21T10:00:00Z
    """
    if apply and in_s3:
        raise _too_many_for_apply()
    collection, folder = many.arguments(collection, folder)
    if not apply and (collection or many.is_given) and folder is None and not in_s3:
        raise missing("LOCAL (or --in-s3)")
    if not apply and folder is not None and in_s3:
        raise click.UsageError("Pass either LOCAL or --in-s3, not both.")
    _copy("restore", collection=collection, folder=folder, apply=apply, many=many, **arguments)


def _copy(
    verb: Verb,
    *,
    collection: str | None,
    folder: Path | None,
    many: Many,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # PlanOptions
) -> None:
    choices = PlanOptions.of(**options)
    if verb != "restore":
        collection, folder = many.arguments(collection, folder)
    if many.are_selected(collection, folder):
        if folder is None and verb != "restore":
            raise missing("LOCAL")
        run_many(_bulk(verb, choices), deployment, many.names(collection), folder, printer, choices.sync)
    required = {"COLLECTION": collection} if verb == "restore" else {"COLLECTION": collection, "LOCAL": folder}
    absent = [name for name, value in required.items() if value is None]
    if choices.apply is None and absent:
        raise missing(*absent)
    if choices.apply and (collection or folder or choices.filters != EVERYTHING or choices.is_past):
        raise _too_many_for_apply()

    def prepare_plan(sync_options: SyncOptions) -> PreparedPlan:
        arguments = "{collection} {local}" if verb in {"pull", "restore"} else "{local} {collection}"
        named = parse_collection(deployment, collection or "", folder, f"{verb} {arguments}")
        return _prepare(verb, deployment, named, folder, choices._replace(sync=sync_options))

    run_plan(verb, deployment, prepare_plan, choices, printer)


def _prepare(
    verb: Verb, deployment: Deployment, collection: Collection, folder: Path | None, choices: PlanOptions
) -> PreparedPlan:
    if verb == "restore":
        return prepare_restore(deployment, collection, folder, choices.filters, choices.sync)
    return prepare(deployment, verb, folder or Path(), collection, choices.filters, choices.sync)


def _bulk(verb: Verb, choices: PlanOptions) -> BulkCommand:
    """The command for many collections."""
    if choices.plan_file or choices.apply:
        raise click.UsageError("--plan and --apply are for one collection.")

    def run(request: Request) -> None:
        own = choices._replace(sync=request.options)

        def prepare_plan(options: SyncOptions) -> PreparedPlan:
            collection, folder = request.collection, request.path
            return _prepare(verb, request.deployment, collection, folder, own._replace(sync=options))

        run_plan(verb, request.deployment, prepare_plan, own, request.printer)

    return BulkCommand(verb, run, plan_counts)


def _too_many_for_apply() -> click.UsageError:
    return click.UsageError("--apply takes everything from the plan: omit COLLECTION, LOCAL, revisions and filters.")
