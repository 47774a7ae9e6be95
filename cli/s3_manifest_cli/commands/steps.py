"""How far a long run has come: one line on stderr, written over itself, and on a terminal alone."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from s3_manifest_cli.commands.telling import Teller

_EVERY_SECONDS = 0.1


@contextmanager
def steps(teller: Teller) -> Iterator[Callable[[str], None]]:
    """What is called with how far it has come; the line is gone when the block ends."""
    if teller.quiet or not sys.stderr.isatty():
        yield lambda _line: None
        return
    shown_at = 0.0

    def show(line: str) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= _EVERY_SECONDS:
            shown_at = time.monotonic()
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)

    try:
        yield show
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)
