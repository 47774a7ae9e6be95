"""``s3-manifest migrate``."""

import json
import sys
from functools import partial
from pathlib import Path

import click

from s3_manifest.aws.clients import s3_client
from s3_manifest.manifest.collections import DEFAULT_COLLECTIONS, DEFAULT_ROOT, InvalidCollections, parse_collections
from s3_manifest.storage.s3 import S3Store
from s3_manifest_cli.client.access.aws_session import credentials_of, session_of
from s3_manifest_cli.client.local import state_files
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.resumable_uploads import UnfinishedUploads
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
@click.option("--bucket", required=True, help="Import into this bucket, which the stack watches.")
@click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL", help="Send S3 requests to this server.")
@click.option(
    "--collections", default=DEFAULT_COLLECTIONS, help="Use these collections, as in the stack's parameter Collections."
)
@click.option("--manifest-root", default=DEFAULT_ROOT, help="Use this root, as in the stack's parameter ManifestRoot.")
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
    bucket: str,
    endpoint_url: str | None,
    collections: str,
    manifest_root: str,
    plan_only: bool,
    prefer: str,
    orphans: str,
    wait: float,
    remove_legacy: bool,
    is_json: bool,
) -> None:
    """Import the legacy manifests and images below ROOT into S3.

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
    """  # \b keeps click from reflowing the paragraph
    if not (root / "data").is_dir():
        raise click.UsageError(f"{root} has no folder 'data'. ROOT is the folder that contains data/actors.")
    try:
        kinds = parse_collections(collections, manifest_root, bucket)
    except InvalidCollections as error:
        raise click.UsageError(str(error)) from error
    if plan_only and remove_legacy:
        raise click.UsageError("Pass either --plan or --remove-legacy, not both.")
    session = session_of(None, None)
    credentials_of(session)
    writes = s3_client(endpoint_url, retries=False, session=session)
    store = S3Store(bucket, s3_client(endpoint_url, session=session), writes)
    options = MigrationOptions(prefer_local=prefer == "local", upload_orphans=orphans == "upload")
    plan = make_plan(walk(root), kinds, store, options)
    if not is_json:
        click.echo("\n".join(plan_lines(plan)))
    result = None
    if not plan_only:
        with Objects(bucket, session, endpoint_url) as objects:
            upload = partial(upload_image, objects, UnfinishedUploads(state_files.state_folder() / "uploads"))
            failed = execute(plan, store, upload)
        verifications = verify(store, plan.collections, wait)
        removal = remove(plan, verifications, store) if remove_legacy else None
        result = Result(tuple(failed), verifications, removal)
    if is_json:
        click.echo(json.dumps(as_json(plan, result), indent=1))
    elif result:
        click.echo("\n".join(result_lines(plan, result)))
    sys.exit(exit_code(plan, result))
