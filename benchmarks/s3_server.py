"""``rclone serve s3`` over a folder of this machine: the fastest real S3 server that PyPI has.

It computes each file's MD5 when it is first asked for it, and then knows it, as S3 does. It ignores the conditions of
PUTs, so there must be one writer of a manifest here.
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
    """Where it answers, and its process."""

    endpoint: str
    process: psutil.Process

    def cpu(self) -> float:
        """Seconds of CPU that it took so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def serving(rclone: Path, folder: Path) -> Iterator[Server]:
    """Serves a folder, each folder in it a bucket, for as long as the block runs."""
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
            return  # it answers, and wants a signature
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return
