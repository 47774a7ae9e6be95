"""Prints results: text (coloured on a terminal), one JSON document with ``--json``, warnings and errors on stderr.

Progress is shown on stderr, and only on a terminal. rich is imported late, because it is slow.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click

from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.scan import Problem
from s3_manifest_cli.client.manifests.manifest_warnings import is_stale, manifest_warnings
from s3_manifest_cli.terminal.failures import DIFFERENCES, FAILED, printable

if TYPE_CHECKING:
    from s3_manifest_cli.client.transfer.cancellation import Cancellation

Name = TypeVar("Name", bound=str)


class Record:
    """What a command would print about one of many collections: its document, and its errors and warnings."""

    def __init__(self) -> None:
        self.document: Any = None
        self.messages: list[tuple[str, str]] = []
        """Each with its colour."""


class Printer(NamedTuple):
    """Prints as ``--json`` and ``--quiet`` demand: results to stdout, warnings and errors to stderr.

    With a ``record`` it prints nothing, and keeps what ``Record`` has.
    """

    as_json: bool
    quiet: bool
    record: Record | None = None

    @property
    def is_silent(self) -> bool:
        """Whether no progress is shown."""
        return self.quiet or self.record is not None

    def write(self, line: str, colour: str | None = None) -> None:
        """Prints a line, unless ``--json`` or ``--quiet`` is given."""
        if not self.as_json and not self.is_silent:
            click.echo(_coloured(line, colour))

    def write_all(self, lines: Iterable[tuple[str, str | None]]) -> None:
        """Prints many lines with their colours in one call, because click flushes after each call."""
        if not self.as_json and not self.is_silent:
            click.echo("".join(f"{_coloured(line, colour)}\n" for line, colour in lines), nl=False)

    def write_totals(self, totals: Mapping[Name, int], meanings: Mapping[Name, str], always: str = "") -> None:
        """Prints the totals that are not zero, and always this one, with what they mean."""
        for name, count in totals.items():
            if count or name == always:
                self.write(f"  {name:<12}  {count:>7,}  {meanings[name]}")

    def document(self, result: object) -> None:
        """Prints the whole result with ``--json``."""
        if self.record:
            self.record.document = result
        elif self.as_json:
            from pydantic_core import to_json  # noqa: PLC0415  # imported late, to start sooner

            click.echo(to_json(result, indent=2))

    def error(self, line: str) -> None:
        """Prints an error about one item; the command continues."""
        self.note(line, "red")

    def warn(self, line: str) -> None:
        """Prints a warning, also with ``--json`` and ``--quiet``."""
        self.note(f"Warning: {line}", "yellow")

    def note(self, line: str, colour: str) -> None:
        """Prints a line on stderr."""
        if self.record:
            self.record.messages.append((line, colour))
        else:
            click.echo(_coloured(line, colour, sys.stderr.isatty()), err=True)

    def warn_of_manifest(self, facts: Facts | None, *, is_past: bool = False) -> None:
        """Warns of an incomplete or stale manifest."""
        for warning in manifest_warnings(facts, is_past=is_past) if facts else ():
            self.warn(warning)

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


@contextmanager
def progress_bar(
    label: str, total: int, total_bytes: int | None = None, *, quiet: bool = False
) -> Iterator[Callable[[int, int], None]]:
    """Yields a function to call, from any thread, with the number of items and of bytes done since the last call."""
    if quiet or not total or not sys.stderr.isatty():
        yield lambda _items, _size_bytes: None
        return
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = [
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn(f"{{task.fields[items]:,}} of {total:,}{' files' if total_bytes is not None else ''}"),
    ]
    if total_bytes is not None:
        columns += [bars.DownloadColumn(binary_units=True), bars.TransferSpeedColumn()]
    columns.append(bars.TimeRemainingColumn())
    lock, done = Lock(), 0
    with bars.Progress(
        *columns,
        console=Console(stderr=True),
        transient=total_bytes is not None,
        redirect_stdout=sys.stdout.isatty(),  # otherwise what the block prints would go to stderr
    ) as bar:
        task = bar.add_task(label, total=total if total_bytes is None else total_bytes, items=0)

        def advance(items: int, size_bytes: int) -> None:
            nonlocal done
            with lock:
                done += items
                bar.update(task, advance=items if total_bytes is None else size_bytes, items=done)

        yield advance


@contextmanager
def status_line(printer: Printer) -> Iterator[Callable[[str], None]]:
    """Yields a function that replaces the status line with its argument; the line disappears when the block ends."""
    if printer.is_silent or not sys.stderr.isatty():
        yield lambda _line: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        yield lambda line: status.update(escape(line))


@contextmanager
def read_progress(printer: Printer, cancellation: "Cancellation | None" = None) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that shows how many files and bytes of a folder were read, and raises ``Cancelled``."""
    with status_line(printer) as show:

        def on_read(files: int, size_bytes: int) -> None:
            if cancellation:
                cancellation.check()
            show(f"{number(files, 'file')} read, {size(size_bytes)}")

        yield on_read
