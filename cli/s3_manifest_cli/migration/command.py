"""``s3-manifest migrate``."""

import json
import sys
from functools import partial
from pathlib import Path

import click

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.s3 import S3Store
from s3_manifest_cli.client.local import state_files
from s3_manifest_cli.client.manifests.deployment import connect
from s3_manifest_cli.client.transfer.cancellation import Cancellation
from s3_manifest_cli.client.transfer.resumable_uploads import UnfinishedUploads
from s3_manifest_cli.client.transfer.sharing import SharedObjects
from s3_manifest_cli.migration.legacy import walk
from s3_manifest_cli.migration.plan import MigrationOptions
from s3_manifest_cli.migration.remote import upload_image
from s3_manifest_cli.migration.remove import remove
from s3_manifest_cli.migration.report import Result, as_json, exit_code, plan_lines, result_lines
from s3_manifest_cli.migration.run import execute, make_plan
from s3_manifest_cli.migration.verify import verify


# A Click command: its parameters are its options.
@click.command()
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--bucket", help="Import into this bucket, and into those that --collections names.")
@click.option("--stack", help="Import into the buckets of this CloudFormation stack.")
@click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL", help="Send S3 requests to this server.")
@click.option("--collections", help="Use these collections, as in the stack's parameter Collections.")
@click.option("--manifest-root", help="Use this root, as in the stack's parameter ManifestRoot.")
@click.option("--plan", "plan_only", is_flag=True, help="Print what would be done, and change nothing.")
@click.option(
    "--prefer",
    type=click.Choice(["s3", "local"]),
    default="s3",
    help="Which side wins when S3 and the legacy files differ.",
)
@click.option(
    "--orphans",
    type=click.Choice(["report", "upload"]),
    default="report",
    help="Report or upload local images that no legacy file names.",
)
@click.option(
    "--wait", default=300.0, metavar="SECONDS", help="Wait up to this long until the manifests show the imported data."
)
@click.option("--remove-legacy", is_flag=True, help="Delete the legacy files whose data was completely verified.")
@click.option("--json", "is_json", is_flag=True, help="Print the plan or the result as JSON.")
def migrate(
    root: Path,
    bucket: str | None,
    stack: str | None,
    endpoint_url: str | None,
    collections: str | None,
    manifest_root: str | None,
    plan_only: bool,
    prefer: str,
    orphans: str,
    wait: float,
    remove_legacy: bool,
    is_json: bool,
) -> None:
    """Import the legacy manifests and images below ROOT into S3.

    Each kind of collection goes into its own bucket: that of its pattern in
    --collections or in the stack's parameter Collections, else --bucket or the
    stack's own.

    Reads data/s3_manifests, data/actors, data/actor_manifests and every
    response.json below ROOT; uploads images that are only local; writes prompts,
    generations, titles and good or bad marks to sidecars; and waits until the
    manifests show all of it. It can be interrupted and run again.

    \b
    Exit codes:
      0    everything is imported
      1    differences remain (with --plan: there is something to do)
      2    wrong usage
      3    something could not be read, stored or written
      130  interrupted

    \b
    Examples:
      s3-manifest migrate /srv/images --bucket storyboard-user-files --plan
      s3-manifest migrate /srv/images --bucket storyboard-user-files
      s3-manifest migrate /srv/images --stack s3-manifest
    """  # \b keeps click from reflowing the paragraph
    if not (root / "data").is_dir():
        raise click.UsageError(f"{root} has no folder 'data'. ROOT is the folder that contains data/actors.")
    if not (bucket or stack):
        raise click.UsageError("Missing option --bucket or --stack: pass the bucket to import into, or its stack.")
    if bucket and stack:
        raise click.UsageError("Pass either --bucket or --stack, not both: a stack names its buckets.")
    if plan_only and remove_legacy:
        raise click.UsageError("Pass either --plan or --remove-legacy, not both.")
    deployment = connect(
        bucket=bucket, stack=stack, collections=collections, manifest_root=manifest_root, endpoint_url=endpoint_url
    )
    kinds, session, endpoint = deployment.collections, deployment.session, deployment.endpoint
    reads, writes = s3_client(endpoint, session=session), s3_client(endpoint, retries=False, session=session)
    stores = {name: S3Store(name, reads, writes) for name in kinds.buckets}
    options = MigrationOptions(prefer_local=prefer == "local", upload_orphans=orphans == "upload")
    plan = make_plan(walk(root), kinds, stores, options)
    if not is_json:
        click.echo("\n".join(plan_lines(plan)))
    result = None
    if not plan_only:
        unfinished = UnfinishedUploads(state_files.state_folder() / "uploads")
        with SharedObjects(session, endpoint, Cancellation()) as shared:
            uploads = {
                name: partial(upload_image, shared.of(name), unfinished)
                for name in {collection.bucket for collection, _, _ in plan.uploads}
            }
            failed = execute(plan, stores, uploads)
        verifications = verify(stores, plan.collections, wait)
        removal = remove(plan, verifications, stores) if remove_legacy else None
        result = Result(tuple(failed), verifications, removal)
    if is_json:
        click.echo(json.dumps(as_json(plan, result), indent=1))
    elif result:
        click.echo("\n".join(result_lines(plan, result)))
    sys.exit(exit_code(plan, result))
