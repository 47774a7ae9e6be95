"""The options that commands share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

import s3_manifest_cli
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.terminal.output import Printer

Function = Callable[..., Any]

FOLDER = click.Path(file_okay=False, path_type=Path)
"""A folder on this machine; it need not be there."""


class _Time(click.ParamType[str]):
    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from s3_manifest_cli.client.manifests.revision_spec import parse_time  # noqa: PLC0415  # few commands need it

        try:
            return parse_time(value)
        except ValueError:
            return self.fail(f"{value!r} is not a time: write it as 2026-11-21 or 2026-11-21T10:00:00Z", param, ctx)


TIME = _Time()
"""A time in ISO 8601, which becomes a ``Timestamp``."""

_DEPLOYMENT = {
    "bucket": "The bucket; manifests are read straight from S3.  [env: S3_MANIFEST_BUCKET]",
    "stack": "The stack's name, to learn the bucket and the rest from.  [env: S3_MANIFEST_STACK]",
    "api_url": "The stack's output ApiUrl; manifests are read over HTTP.  [env: S3_MANIFEST_API_URL]",
    "sweep_queue_url": "The stack's output SweepQueueUrl.  [env: S3_MANIFEST_SWEEP_QUEUE_URL]",
    "collections": "As the stack's parameter Collections.  [env: S3_MANIFEST_COLLECTIONS]",
    "manifest_root": "As the stack's parameter ManifestRoot.  [env: S3_MANIFEST_ROOT]",
    "endpoint_url": "Where AWS answers, if it is another server.  [env: AWS_ENDPOINT_URL]",
    "profile": "The AWS profile.  [env: AWS_PROFILE]",
    "region": "The AWS region.  [env: AWS_DEFAULT_REGION]",
}


def deployment_options(command: Function) -> Function:
    """Options that name a deployment; the command gets it as ``deployment``."""

    @wraps(command)
    def connected(**options: Any) -> Any:  # noqa: ANN401  # whatever the command returns
        named = {name: options.pop(name) for name in _DEPLOYMENT}
        return command(deployment=s3_manifest_cli.connect(**named), **options)

    return _with_options(connected, [(f"--{name.replace('_', '-')}", help_) for name, help_ in _DEPLOYMENT.items()])


def revision_options(command: Function) -> Function:
    """``--revision`` and ``--at``, of which one may be given."""

    @wraps(command)
    def dated(*, revision: int | None, at: str | None, **options: Any) -> Any:  # noqa: ANN401  # whatever the command returns
        if revision is not None and at is not None:
            raise click.UsageError("--revision and --at are two ways to name one revision: give one of them")
        return command(revision=revision, at=at, **options)

    at = click.option("--at", type=TIME, metavar="TIME", help="As it was then, in ISO 8601; UTC, if not said.")
    return click.option("--revision", type=click.IntRange(1), help="As it was at that revision.")(at(dated))


def output_options(command: Function) -> Function:
    """``--json`` and ``--quiet``; the command gets a ``Printer`` as ``printer``."""

    @wraps(command)
    def told(*, as_json: bool, quiet: bool, **options: Any) -> Any:  # noqa: ANN401  # whatever the command returns
        return command(printer=Printer(as_json, quiet), **options)

    quiet = click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
    return click.option("--json", "as_json", is_flag=True, help="The result as one JSON document.")(quiet(told))


def filter_options(command: Function) -> Function:
    """``--include`` and ``--exclude``; the command gets a ``Filter`` as ``filters``."""

    @wraps(command)
    def filtered(*, include: tuple[str, ...], exclude: tuple[str, ...], **options: Any) -> Any:  # noqa: ANN401  # whatever the command returns
        return command(filters=Filter(include, exclude), **options)

    include = click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Include only matching files (repeatable), by the rules of .gitignore: '*.png' matches at any depth,"
        " 'sub/' a folder and all below it, '/a.png' only at the top; '*' does not match '/'.",
    )
    return include(
        click.option(
            "--exclude",
            multiple=True,
            metavar="PATTERN",
            help="Leave out matching files (repeatable), by the same rules. They are not deleted either.",
        )(filtered)
    )


def _with_options(command: Function, options: list[tuple[str, str]]) -> Function:
    for name, help_ in reversed(options):
        command = click.option(name, help=help_)(command)
    return command
