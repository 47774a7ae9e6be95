"""Shows the progress of a command on stderr, and only on a terminal. rich is imported late, because it is slow."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from s3_manifest_cli.terminal.output import Printer, number, size


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
    with bars.Progress(*columns, console=Console(stderr=True), transient=total_bytes is not None) as bar:
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
    if printer.quiet or not sys.stderr.isatty():
        yield lambda _line: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        yield lambda line: status.update(escape(line))


@contextmanager
def read_progress(printer: Printer) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that shows how many files and bytes of a folder were read."""
    with status_line(printer) as show:
        yield lambda files, size_bytes: show(f"{number(files, 'file')} read, {size(size_bytes)}")
