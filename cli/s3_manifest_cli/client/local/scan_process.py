"""What is known of a folder of this machine without a file of it being read: its files, and their MD5s.

Run as a program it looks at the folder that it is given, for ``aside``.
"""

import gc
import marshal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from s3_manifest_cli.client.local import state_files
from s3_manifest_cli.client.local.hashes import Digests, Known
from s3_manifest_cli.client.local.scan import Problem, State, walk


class Here(NamedTuple):
    """The files of a folder, in any order, and what of it is no file or could not be looked at."""

    files: list[Known]
    problems: list[Problem]


Look: TypeAlias = Callable[[Path, Path], Here]
"""As ``look``."""


def look(folder: Path, cache: Path) -> Here:
    """What is known of a folder by what ``cache`` has of it (``Digests``); of one that is not there: no files.

    Raises as ``scan``.
    """
    if not folder.exists():
        return Here([], [])
    problems: list[Problem] = []
    states: dict[str, State] = {}
    for files in walk(folder, problems):
        for state in files:
            states[state[0]] = state
    with Digests(cache, folder) as digests:
        return Here(digests.known(states), problems)


def _told(here: Here) -> bytes:
    # Newer versions of the format look for what is told twice, which takes longer than to tell it.
    return marshal.dumps((here.files, list(map(tuple, here.problems))), 2)


def read(told: bytes) -> Here:
    """What the program has told. Raises ``EOFError``, ``ValueError`` or ``TypeError`` if it did not come to its end."""
    files, problems = marshal.loads(told)  # noqa: S302  # it is of this program, and of the same Python
    return Here(files, list(map(Problem._make, problems)))


if __name__ == "__main__":
    gc.disable()  # all that is made is needed until the end
    sys.stdout.buffer.write(_told(look(Path(sys.argv[1]), state_files.folder())))
    sys.stdout.close()  # … which nobody has to wait for
