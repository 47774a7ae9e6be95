"""Prints results: text (coloured on a terminal), one JSON document with ``--json``, warnings and errors on stderr."""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

import click

from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.scan import Problem
from s3_manifest_cli.client.manifests.manifest_warnings import is_stale, manifest_warnings
from s3_manifest_cli.terminal.failures import DIFFERENCES, FAILED, printable

Name = TypeVar("Name", bound=str)


class Printer(NamedTuple):
    """Prints as ``--json`` and ``--quiet`` demand: results to stdout, warnings and errors to stderr."""

    as_json: bool
    quiet: bool

    def write(self, line: str, colour: str | None = None) -> None:
        """Prints a line, unless ``--json`` or ``--quiet`` is given."""
        if not self.as_json and not self.quiet:
            click.echo(_coloured(line, colour))

    def write_all(self, lines: Iterable[tuple[str, str | None]]) -> None:
        """Prints many lines with their colours in one call, because click flushes after each call."""
        if not self.as_json and not self.quiet:
            click.echo("".join(f"{_coloured(line, colour)}\n" for line, colour in lines), nl=False)

    def write_totals(self, totals: Mapping[Name, int], meanings: Mapping[Name, str], always: str = "") -> None:
        """Prints the totals that are not zero, and always this one, with what they mean."""
        for name, count in totals.items():
            if count or name == always:
                self.write(f"  {name:<12}  {count:>7,}  {meanings[name]}")

    def document(self, result: object) -> None:
        """Prints the whole result with ``--json``."""
        if self.as_json:
            from pydantic_core import to_json  # noqa: PLC0415  # imported late, to start sooner

            click.echo(to_json(result, indent=2))

    def error(self, line: str) -> None:
        """Prints an error about one item; the command continues."""
        click.echo(_coloured(line, "red", sys.stderr.isatty()), err=True)

    def warn(self, line: str) -> None:
        """Prints a warning, also with ``--json`` and ``--quiet``."""
        click.echo(_coloured(f"Warning: {line}", "yellow", sys.stderr.isatty()), err=True)

    def warn_of_manifest(self, facts: Facts | None, *, is_past: bool = False) -> None:
        """Warns of an incomplete or stale manifest."""
        for warning in manifest_warnings(facts, is_past=is_past) if facts else ():
            self.warn(warning.message)

    def warn_of_filters(self, unmatched: Iterable[str]) -> None:
        """Warns of patterns that match no file, which are usually mistakes."""
        for option in unmatched:
            self.warn(f"{option} matches no file.")


def manifest_fields(facts: Facts | None, *, is_past: bool = False) -> dict[str, Any]:
    """How reliable a manifest is, as fields of a document; null without a manifest, or ``stale`` for a past one."""
    return {
        "complete": facts.complete if facts else None,
        "last_verified_at": facts.last_verified_at if facts else None,
        "stale": is_stale(facts) if facts and not is_past else None,
    }


def exit_with(*, facts: Facts | None, failed: bool = False, differs: bool) -> NoReturn:
    """Exits with the code of the outcome: a failure or an incomplete manifest outranks differences."""
    if failed or (facts is not None and not facts.complete):
        sys.exit(FAILED)
    sys.exit(DIFFERENCES if differs else 0)


def is_unreadable(problems: Iterable[Problem]) -> bool:
    """Whether a part of the folder could not be read."""
    return any(problem.kind == "unreadable" for problem in problems)


def number(count: int, singular: str) -> str:
    """A number with its noun, such as ``1 file`` and ``2,000 files``."""
    return f"{count:,} {singular}" if count == 1 else f"{count:,} {singular}s"


def size(count: int) -> str:
    """A number of bytes for people, in units of 1024."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            return number(count, "byte") if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError


def _coloured(line: str, colour: str | None, is_terminal: bool | None = None) -> str:
    line = printable(line)
    is_terminal = sys.stdout.isatty() if is_terminal is None else is_terminal
    # https://no-color.org
    return click.style(line, fg=colour) if colour and is_terminal and not os.environ.get("NO_COLOR") else line
