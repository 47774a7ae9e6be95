"""Scans a folder in a separate process while this one starts up and fetches the manifest.

Both take as long, and Python threads would run one after the other. The module imports the scanner only in functions,
so that the process starts before the slow imports of this one. Run as a program it scans the given folder.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3_manifest_cli.client.local.hashes import LocalScan, Scanner


@contextmanager
def scan_in_background(folder: Path) -> Iterator["Scanner"]:
    """A ``Scanner`` whose scan of that folder already runs; the process ends with the block.

    If the process fails, this one scans the folder. The process uses the cache in ``state_files.state_folder``.
    """
    # With -P, a module in the user's folder cannot replace one of Python's.
    command = [sys.executable or "", "-P", "-m", "s3_manifest_cli.client.local.scan_process", str(folder)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        process = None

    def scan(requested: Path, cache: Path) -> "LocalScan":
        from s3_manifest_cli.client.local import hashes  # noqa: PLC0415  # see above

        if process and process.stdout and requested == folder:
            try:
                return decode(process.stdout.read())
            except (EOFError, ValueError, TypeError):
                pass  # the scan below raises the error
        return hashes.scan_folder(requested, cache)

    try:
        yield scan
    finally:
        if process:
            with process:
                process.kill()


def encode(result: "LocalScan") -> bytes:
    """The scan as the process writes it to its output."""
    import marshal  # noqa: PLC0415  # see above

    # Newer versions of the format search for repeated objects, which takes longer than writing them.
    return marshal.dumps((result.files, list(map(tuple, result.problems))), 2)


def decode(output: bytes) -> "LocalScan":
    """The scan that the process wrote. Raises ``EOFError``, ``ValueError`` or ``TypeError`` for a truncated output."""
    import marshal  # noqa: PLC0415  # see above

    from s3_manifest_cli.client.local.hashes import LocalScan  # noqa: PLC0415  # see above
    from s3_manifest_cli.client.local.scan import Problem  # noqa: PLC0415  # see above

    files, problems = marshal.loads(output)  # noqa: S302  # the same program and the same Python wrote it
    return LocalScan(files, list(map(Problem._make, problems)))


if __name__ == "__main__":
    import gc

    from s3_manifest_cli.client.local import hashes, state_files

    gc.disable()  # everything is needed until the end
    sys.stdout.buffer.write(encode(hashes.scan_folder(Path(sys.argv[1]), state_files.state_folder())))
    sys.stdout.close()  # the parent need not wait for the interpreter to shut down
