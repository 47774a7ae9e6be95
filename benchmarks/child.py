"""A program run to its end, and what it took."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Took(NamedTuple):
    """``cpu`` is user and system seconds of the program and of the children that it waited for; ``rss`` its peak in
    bytes."""

    wall: float
    cpu: float
    rss: int
    code: int
    output: str
    errors: str


def run(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path | None = None) -> Took:
    """Runs it; its exit code is told, whatever it is."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        return Took(
            wall,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
            process.returncode,
            output.read().decode(errors="surrogateescape"),
            errors.read().decode(errors="replace"),
        )


def best(runs: Sequence[Took]) -> Took:
    """The least of each figure; the rest is of the last run."""
    least = {name: min(getattr(one, name) for one in runs) for name in ("wall", "cpu", "rss")}
    return runs[-1]._replace(**least)
