"""``rclone serve s3`` over a local folder: the fastest real S3 server on PyPI.

It computes the MD5 of a file at the first request and caches it. It ignores the conditions of PUTs, so there must be
only one writer of a manifest.
"""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.yardsticks import ACCESS_KEY, SECRET_KEY, environment
from s3_manifest_cli.local_stack.platform import free_port

_START_SECONDS = 30
_QUIET, _REMEMBERING = ("--log-level", "CRITICAL"), ("--dir-cache-time", "24h")


class Server(NamedTuple):
    """The endpoint and the process of the server."""

    endpoint: str
    process: psutil.Process

    def cpu(self) -> float:
        """CPU time of the server so far, in seconds."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def serving(rclone: Path, folder: Path) -> Iterator[Server]:
    """Serves a folder, whose subfolders are buckets, during the block."""
    port = free_port("127.0.0.1")
    endpoint = f"http://127.0.0.1:{port}"
    keys = ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    command = [rclone, "serve", "s3", folder, "--addr", f"127.0.0.1:{port}", *keys, *_QUIET, *_REMEMBERING]
    with subprocess.Popen(command, env=environment("")) as process:
        try:
            _wait_until_up(endpoint)
            yield Server(endpoint, psutil.Process(process.pid))
        finally:
            process.terminate()


def _wait_until_up(endpoint: str) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(endpoint, timeout=1)
        except urllib.error.HTTPError:
            return  # it answers and requires a signature
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return
