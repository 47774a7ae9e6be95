"""``s3-manifest local serve``: keeps the local stack running for any S3 client."""

import shlex
import signal
import sys
from pathlib import Path

import click

from s3_manifest_cli.local_stack.artifacts import cache_folder
from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, STACK, local_stack

_STYLE, _ACTOR = "styles/16/", "system_actors/training_data/0007_asian_25_female/"


def run_serve(port: int) -> None:
    """Keeps the stack running until Ctrl-C or SIGTERM."""
    sample = cache_folder() / "sample.png"
    sample.write_bytes(png(64, (200, 80, 40)))
    click.echo("Bringing up the whole stack on this machine:")
    with local_stack(port) as stack:
        endpoint = stack.platform.endpoint
        credentials = f"AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY} AWS_DEFAULT_REGION={REGION}"
        click.secho("\nChange something in S3, with any client:", bold=True)
        for prefix in (f"{stack.bucket}/{_STYLE}", f"{ACTOR_BUCKET}/{_ACTOR}"):
            click.echo(f"  {credentials} aws s3 cp --endpoint-url {endpoint} {sample} s3://{prefix}")
        click.secho("\nRead its manifest:", bold=True)
        signing = f"--aws-sigv4 aws:amz:{REGION}:execute-api --user {ACCESS_KEY}:{SECRET_KEY}"
        for query in ("/api/s3/manifest?styleId=16", "/api/training-data/7"):
            click.echo(f"  curl {signing} '{stack.api_url}{query}'")
        click.secho("\nDownload a copy:", bold=True)
        client = f"AWS_ENDPOINT_URL={endpoint} {credentials} S3_MANIFEST_STACK={STACK}"
        program = Path(sys.argv[0]).absolute()
        click.echo(f"  {client} {program} pull style/16 pictures")
        click.secho("\nOr set this once in another shell, and use s3-manifest by its name:", bold=True)
        click.echo(f"  export PATH={shlex.quote(str(program.parent))}:$PATH {client}")
        click.echo(f"\n  stack      {STACK}")
        click.echo(f"  endpoint   {endpoint}  (access key {ACCESS_KEY}, secret key {SECRET_KEY}, region {REGION})")
        click.echo(f"  buckets    {stack.bucket} for styles, {ACTOR_BUCKET} for actors")
        click.echo(f"  HTTP API   {stack.api_url}")
        click.echo(f"  log        {stack.platform.log}")
        click.echo("\nCtrl-C stops it and deletes everything in it.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            click.echo("\nStopped.")
