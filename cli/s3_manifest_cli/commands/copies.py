"""``s3-manifest pull``, ``push`` and ``sync``."""

from functools import wraps
from pathlib import Path
from typing import Any

import click

from s3_manifest.manifest.model import Timestamp
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import SyncOptions
from s3_manifest_cli.client.sync.plan import Verb
from s3_manifest_cli.client.sync.sync import PreparedPlan, prepare
from s3_manifest_cli.client.transfer.upload_metadata import UploadMetadata
from s3_manifest_cli.terminal.named import missing, named_collection
from s3_manifest_cli.terminal.options import FOLDER, TIME, Function, deployment_options, filter_options, output_options
from s3_manifest_cli.terminal.output import Printer
from s3_manifest_cli.terminal.plan_output import PORTABLE, WAIT, Choices, planning, run


def _uploads(command: Function) -> Function:
    """What is said of files that are uploaded; the command gets it as ``upload_metadata``."""

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

    options = (
        click.option("--generation-id", metavar="ID", help="The generation that the uploaded files are from."),
        click.option("--generation-type", metavar="TYPE", help="Its type, such as replicate_flux_kontext."),
        click.option("--generated-at", type=TIME, metavar="TIME", help="When they were generated."),
    )
    decorated: Function = generated
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


@click.command()
@click.argument("collection", metavar="COLLECTION", required=False)
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@planning("Delete local files that are not in S3.")
@PORTABLE
@filter_options
@deployment_options
@output_options
def pull(
    collection: str | None,
    folder: Path | None,
    filters: Filter,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # as Choices
) -> None:
    """Make the folder LOCAL what the manifest of COLLECTION says.

    Files that are missing or differ are downloaded, each proven and then put in place in one step. What only LOCAL
    has stays, unless --delete is given; and then a file goes only if S3 says that there is none. An interrupted pull
    is finished by a second one. Objects whose keys cannot be file names are listed and skipped.
    """
    _copy("pull", deployment, collection, folder, filters, Choices(**options), printer)


@click.command()
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@click.argument("collection", metavar="COLLECTION", required=False)
@planning("Delete objects in S3 that are not in LOCAL.")
@_uploads
@WAIT
@filter_options
@deployment_options
@output_options
def push(
    folder: Path | None,
    collection: str | None,
    filters: Filter,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # as Choices
) -> None:
    """Make COLLECTION what the folder LOCAL has.

    Files that are new or differ are uploaded with their MD5, the prompt that a caption beside them has, and their
    path here. S3 refuses other bytes, and whatever came in between: no newer object is replaced. What only S3 has
    stays, unless --delete is given.
    """
    _copy("push", deployment, collection, folder, filters, Choices(**options), printer)


@click.command()
@click.argument("folder", metavar="LOCAL", type=FOLDER, required=False)
@click.argument("collection", metavar="COLLECTION", required=False)
@click.option("--prefer", type=click.Choice(["local", "s3", "newer"]), help="Which side wins when both changed a file.")
@planning("Delete on one side what was deleted on the other.")
@PORTABLE
@_uploads
@WAIT
@filter_options
@deployment_options
@output_options
def sync(
    folder: Path | None,
    collection: str | None,
    filters: Filter,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # as Choices
) -> None:
    """Make the folder LOCAL and COLLECTION the same, both ways.

    What changed on one side since the last pull, push or sync goes to the other. A file that changed on both is a
    conflict, and left as it is, unless --prefer says which side stands. With --delete what was deleted on one side
    is deleted on the other; without it, it comes back.
    """
    _copy("sync", deployment, collection, folder, filters, Choices(**options), printer)


def _copy(
    verb: Verb,
    deployment: Deployment,
    named: str | None,
    folder: Path | None,
    filters: Filter,
    choices: Choices,
    printer: Printer,
) -> None:
    if choices.apply is None and (named is None or folder is None):
        raise missing(*(name for name, given in (("COLLECTION", named), ("LOCAL", folder)) if given is None))
    if choices.apply and (named or folder or filters != EVERYTHING):
        raise click.UsageError(
            "--apply says what is done, and where: leave out COLLECTION, LOCAL, --include and --exclude"
        )

    def prepared(options: SyncOptions) -> PreparedPlan:
        order = "pull {collection} {local}" if verb == "pull" else f"{verb} {{local}} {{collection}}"
        collection = named_collection(deployment, named or "", folder, order)
        return prepare(deployment, verb, folder or Path(), collection, filters, options)

    run(verb, deployment, prepared, choices, printer)
