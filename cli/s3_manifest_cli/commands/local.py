"""``s3-manifest local``."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.extras import install_command


@click.group()
def local() -> None:
    """Run the whole stack on this machine, without an AWS account.

    \b
    Examples:
      s3-manifest local demo
      s3-manifest local serve --port 4566
    """


@local.command()
def demo() -> None:
    """Change objects in S3 and watch the manifest follow within seconds.

    \b
    Example:
      s3-manifest local demo
    """
    _run("local_stack.demo", "run_demo")


@local.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=4566,
    help="Serve S3 and the other services on this port of 127.0.0.1.",
)
def serve(port: int) -> None:
    """Keep the stack running, for any S3 client.

    \b
    Example:
      s3-manifest local serve --port 4566
    """
    _run("local_stack.serve", "run_serve", port)


def _run(module: str, name: str, *arguments: Any) -> None:  # noqa: ANN401  # the function's own
    """Imports the local platform late, because the client is installed without it."""
    try:
        run: Callable[..., None] = getattr(import_module(f"s3_manifest_cli.{module}"), name)
    except ModuleNotFoundError as error:
        raise Invalid(f"{error.name} is not installed.", remedy=f"Run: {install_command('local')}") from error
    run(*arguments)
