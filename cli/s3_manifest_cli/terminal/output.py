"""How a command tells its result: as text, coloured on a terminal alone, as one JSON document, and by its exit code."""

import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

import click

from s3_manifest_cli.terminal.endings import printable


class Printer(NamedTuple):
    """What ``--json`` and ``--quiet`` ask for. Results go to stdout; errors and progress to stderr."""

    as_json: bool
    quiet: bool

    def write(self, line: str, colour: str | None = None) -> None:
        """A line of text; nothing with ``--json`` or ``--quiet``."""
        if not self.as_json and not self.quiet:
            click.echo(_coloured(line, colour))

    def write_all(self, lines: Iterable[tuple[str, str | None]]) -> None:
        """Many lines, each with its colour, in one go: click flushes what it is given."""
        if not self.as_json and not self.quiet:
            click.echo("".join(f"{_coloured(line, colour)}\n" for line, colour in lines), nl=False)

    def document(self, result: object) -> None:
        """The whole result, with ``--json``."""
        if self.as_json:
            from pydantic_core import to_json  # noqa: PLC0415  # no command is to wait for it before it begins

            click.echo(to_json(result, indent=2))

    def error(self, line: str) -> None:
        """What went wrong with one thing, while the rest goes on."""
        click.echo(_coloured(line, "red", sys.stderr.isatty()), err=True)

    def warn(self, line: str) -> None:
        """What the user has to know whatever was asked for."""
        click.echo(_coloured(f"Warning: {line}", "yellow", sys.stderr.isatty()), err=True)

    def unmatched(self, filters: Iterable[str]) -> None:
        """Filters that match nothing: most often the pattern is not what the user meant."""
        for option in filters:
            self.warn(f"{option} matches no file")


def files(count: int) -> str:
    """A number of files for people."""
    return "1 file" if count == 1 else f"{count:,} files"


def size(count: int) -> str:
    """A number of bytes for people, in units of 1024."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            return f"{count:,} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError


def _coloured(line: str, colour: str | None, terminal: bool | None = None) -> str:
    line = printable(line)
    is_terminal = sys.stdout.isatty() if terminal is None else terminal
    # https://no-color.org
    return click.style(line, fg=colour) if colour and is_terminal and not os.environ.get("NO_COLOR") else line
