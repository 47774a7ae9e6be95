"""The ``s3-manifest`` command."""

import click


@click.group()
@click.version_option(package_name="s3-manifest")
def main() -> None:
    """S3 Manifest on this machine."""


@main.group()
def local() -> None:
    """The whole stack on this machine, with no AWS account."""
