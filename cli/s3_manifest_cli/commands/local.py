"""``s3-manifest local``: the whole stack on this machine, with no AWS account."""

import click

from s3_manifest_cli.demo import run_demo
from s3_manifest_cli.serve import run_serve


@click.group()
def local() -> None:
    """Run the whole stack on this machine, with no AWS account."""


@local.command()
def demo() -> None:
    """Change things in S3 and watch what the manifest says, and how soon."""
    run_demo()


@local.command()
@click.option("--port", default=4566, show_default=True, help="Where S3 and all the others answer, on 127.0.0.1.")
def serve(port: int) -> None:
    """Keep the stack up, for any S3 client."""
    run_serve(port)
