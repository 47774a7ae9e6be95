"""Runs a program and measures its time, CPU and memory."""

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


class ProcessResult(NamedTuple):
    """``cpu`` is the user and system time of the program and of its awaited children, in seconds; ``rss`` its peak
    memory in bytes, up to some milliseconds before its end (0 without /proc)."""

    wall: float
    cpu: float
    rss: int
    code: int
    output: str
    errors: str


def run(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path | None = None) -> ProcessResult:
    """Runs ``command`` to its end, whatever its exit code."""
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
        return ProcessResult(
            wall,
            usage.ru_utime + usage.ru_stime,
            max(peak),
            process.returncode,
            output.read().decode(errors="surrogateescape"),
            errors.read().decode(errors="replace"),
        )


@contextmanager
def _peak(pid: int) -> Iterator[list[int]]:
    """Samples of a process's peak memory, from /proc.

    ``wait4`` reports a peak too, but includes the memory of this process, from which the other one was forked.
    """
    samples, done = [0], threading.Event()

    def watch() -> None:
        status = Path(f"/proc/{pid}/status")
        while not done.wait(_WATCH_SECONDS):
            with suppress(OSError):
                lines = status.read_text().splitlines()
                samples.extend(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def best(runs: Sequence[ProcessResult]) -> ProcessResult:
    """The minimum of each figure; the output is that of the last run."""
    least = {name: min(getattr(result, name) for result in runs) for name in ("wall", "cpu", "rss")}
    return runs[-1]._replace(**least)
