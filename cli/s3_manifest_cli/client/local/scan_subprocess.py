"""A folder looked at by a process of its own, while this one makes itself ready and asks for the manifest.

Both take as long, and Python does not do two things at once. It imports next to nothing, so that the process begins
before anything else does.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3_manifest_cli.client.local.scan_process import Here, Look


@contextmanager
def looking_aside(folder: Path) -> Iterator["Look"]:
    """A ``Look`` at that folder that has begun; the process ends with the block.

    Whatever goes wrong with it, this process then looks by itself. It keeps what it knows where ``kept.folder`` says.
    """
    # Without -P a module in the user's folder would be taken for one of Python's.
    command = [sys.executable or "", "-P", "-m", "s3_manifest_cli.client.local.scan_process", str(folder)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        process = None

    def look(asked: Path, cache: Path) -> "Here":
        from s3_manifest_cli.client.local import scan_process  # noqa: PLC0415  # see above

        if process and process.stdout and asked == folder:
            try:
                return scan_process.read(process.stdout.read())
            except (EOFError, ValueError, TypeError):
                pass  # this one will tell what is wrong
        return scan_process.look(asked, cache)

    try:
        yield look
    finally:
        if process:
            with process:
                process.kill()
