"""A program run to its end, and what it took."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_WATCH_SECONDS = 0.02


class Took(NamedTuple):
    """``cpu`` is user and system seconds of the program and of the children that it waited for; ``rss`` its peak in
    bytes, as of some milliseconds before its end (0 where there is no /proc)."""

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
        with _peak(process.pid) as peak:
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        return Took(
            wall,
            usage.ru_utime + usage.ru_stime,
            max(peak),
            process.returncode,
            output.read().decode(errors="surrogateescape"),
            errors.read().decode(errors="replace"),
        )


@contextmanager
def _peak(pid: int) -> Iterator[list[int]]:
    """What the kernel says of a process's peak memory, asked again and again.

    ``wait4`` tells it too, but it counts the memory of this process, that the other one was forked from.
    """
    found, done = [0], threading.Event()

    def watch() -> None:
        status = Path(f"/proc/{pid}/status")
        while not done.wait(_WATCH_SECONDS):
            with suppress(OSError):
                said = status.read_text()
                found.extend(int(line.split()[1]) * 1024 for line in said.splitlines() if line.startswith("VmHWM"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def best(runs: Sequence[Took]) -> Took:
    """The least of each figure; the rest is of the last run."""
    least = {name: min(getattr(one, name) for one in runs) for name in ("wall", "cpu", "rss")}
    return runs[-1]._replace(**least)
