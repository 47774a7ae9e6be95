"""``s3-manifest local``: the whole stack on this machine, with no AWS account."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.extras import install_command


@click.group()
def local() -> None:
    """Run the whole stack on this machine, with no AWS account."""


@local.command()
def demo() -> None:
    """Change things in S3 and watch what the manifest says, and how soon."""
    _run("local_stack.demo", "run_demo")


@local.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=4566,
    show_default=True,
    help="Where S3 and all the others answer, on 127.0.0.1.",
)
def serve(port: int) -> None:
    """Keep the stack up, for any S3 client."""
    _run("local_stack.serve", "run_serve", port)


def _run(module: str, name: str, *arguments: Any) -> None:  # noqa: ANN401  # the function's own
    """Only here is imported what the platform needs: the client goes without it."""
    try:
        run: Callable[..., None] = getattr(import_module(f"s3_manifest_cli.{module}"), name)
    except ModuleNotFoundError as error:
        raise Invalid(f"{error.name} is not installed. Install it with: {install_command('local')}") from error
    run(*arguments)
