"""How far a step of the migration is, on stderr and only on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for so many of them; what is yielded is told of so many more that are done, by any thread."""
    if not total or not sys.stderr.isatty():
        yield lambda _: None
        return
    # Only a terminal needs it, and it takes a while to be imported.
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda count: bar.advance(task, count)
