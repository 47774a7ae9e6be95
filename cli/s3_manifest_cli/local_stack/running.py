"""The local stack, brought up with a word on each step, for the commands that need it."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

from s3_manifest_cli.local_stack.artifacts import layer_is_built, layer_zip
from s3_manifest_cli.local_stack.platform import running_platform
from s3_manifest_cli.local_stack.stack import Stack, deploy

STACK = "s3-manifest"
BUCKET = "storyboard-user-files"


@contextmanager
def step(doing: str) -> Iterator[None]:
    """Says what is being done and, when it is, how long it took."""
    click.echo(f"  {doing} … ", nl=False)
    started = time.monotonic()
    yield
    click.echo(f"{time.monotonic() - started:.1f} s")


@contextmanager
def local_stack(port: int = 0) -> Iterator[Stack]:
    """The template, deployed on this machine, for as long as the block runs.

    SIGTERM ends it as Ctrl-C does: with nothing left behind.
    """
    signal.signal(signal.SIGTERM, _stop)
    if not layer_is_built():
        with step("Installing what the functions need, once"):
            layer_zip()
    with running_platform(port) as platform:
        click.echo(f"  S3, SQS, Lambda and API Gateway answer at {platform.endpoint} (MiniStack)")
        with step("Deploying template.yaml through CloudFormation"):
            stack = deploy(platform, STACK, {"BucketName": BUCKET})
        yield stack


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)
