"""How far a long run has come: one line on stderr, written over itself, and on a terminal alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from s3_manifest_cli.terminal.output import Printer, size
from s3_manifest_cli.terminal.output import files as count_of


def read_so_far(files: int, size_bytes: int) -> str:
    """How much of a folder was read."""
    return f"{count_of(files)} read, {size(size_bytes)}"


@contextmanager
def steps(printer: Printer) -> Iterator[Callable[[str], None]]:
    """What is called with how far it has come; the line is gone when the block ends."""
    if printer.quiet or not sys.stderr.isatty():
        yield lambda _line: None
        return
    # Only a terminal needs it, and it takes a while to be imported.
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        yield lambda line: status.update(escape(line))
