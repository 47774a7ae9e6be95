"""How far a command is, on stderr and only on a terminal."""

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from s3_manifest_cli.client.sync.options import Progress


@contextmanager
def progress(doing: str, files: int, size_bytes: int, *, quiet: bool) -> Iterator[Progress]:
    """A bar for so many files and bytes, told by whoever moves them; any thread may."""
    if quiet or not files or not sys.stderr.isatty():
        yield Progress()
        return
    # Only a terminal needs it, and it takes a while to be imported.
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn(f"{{task.fields[files]:,}} of {files:,} files"),
        bars.DownloadColumn(binary_units=True),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=size_bytes, files=0)
        counted = itertools.count(1)
        yield Progress(
            on_bytes=lambda size: bar.advance(task, size), on_file=lambda: bar.update(task, files=next(counted))
        )
