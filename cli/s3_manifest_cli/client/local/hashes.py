"""What was read of files on this machine, kept so that a file that was not touched is not read again.

Mostly MD5s; of a file that no MD5 is known of in S3, whether it proved to be the object there (``Verdict``).

A file is known by its size, the times of its last change, and its inode. ``st_ctime`` is among them because anybody may
set ``st_mtime`` back, and nobody ``st_ctime``. A file that was changed so shortly before it was read that a later
change might bear the same time is not kept.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from s3_manifest_cli.client.local.scan import Local, State
from s3_manifest_cli.client.local.state_files import name_of

_FINE_NS, _COARSE_NS = 50_000_000, 2_000_000_000
"""How far apart two changes must be to have different times: where the file system tells them finely, and where to
seconds, as FAT does to two."""

Known: TypeAlias = tuple[str, int, int, int, int, str | None]
"""What a ``Local`` holds, and the MD5 if the file was read in that state."""

Verdict = bool | str
"""Whether a file has the bytes that somebody else tells of, or why that cannot be said."""


class Digests:
    """The MD5s and verdicts that are known of files below one folder.

    Without a database, as on a read-only home, none are.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        """``folder`` is where the database is; ``root`` the folder whose files it is about."""
        self._database: sqlite3.Connection | None = None
        with contextlib.suppress(OSError, sqlite3.Error):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = _opened(folder / f"digests-{name_of(root.resolve())}.sqlite")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database:
            self._database.close()

    def known(self, states: Mapping[str, State]) -> list[Known]:
        """Of all of these files, by name, what is known."""
        found: list[Known] = []
        rest = dict(states)
        if self._database:
            with contextlib.suppress(sqlite3.Error):
                rows = self._database.execute("SELECT filename, size, mtime_ns, ctime_ns, inode, md5 FROM digests")
                for row in rows:
                    if rest.get(row[0]) == row[:5]:
                        del rest[row[0]]
                        found.append(row)
        return found + [(*state, None) for state in rest.values()]

    def learn(self, read: Mapping[Local, str], began_ns: int) -> None:
        """Keeps what was read, from the time ``began_ns`` (of the system's clock) on; of others nothing is changed."""
        kept = [(*local, md5) for local, md5 in read.items() if _is_settled(local, began_ns)]
        self._write("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?)", kept)

    def verdicts(self) -> dict[tuple[Local, str], Verdict]:
        """The verdicts, by the files as they were when they were read, and what was told of them (``against``)."""
        if self._database is None:
            return {}
        try:
            rows = self._database.execute(
                "SELECT filename, size, mtime_ns, ctime_ns, inode, against, same, why FROM verdicts"
            )
            return {(Local._make(row[:5]), row[5]): row[7] if row[6] is None else bool(row[6]) for row in rows}
        except sqlite3.Error:
            return {}

    def judge(self, verdicts: Mapping[tuple[Local, str], Verdict], began_ns: int) -> None:
        """Keeps verdicts, as ``learn`` keeps MD5s: one of each file."""
        kept = [
            (*local, against, *((None, verdict) if isinstance(verdict, str) else (verdict, None)))
            for (local, against), verdict in verdicts.items()
            if _is_settled(local, began_ns)
        ]
        self._write("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", kept)

    def forget(self, filenames: Iterable[str]) -> None:
        """Keeps nothing of these any more."""
        names = [(filename,) for filename in filenames]
        self._write("DELETE FROM digests WHERE filename = ?", names)
        self._write("DELETE FROM verdicts WHERE filename = ?", names)

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if self._database is None or not rows:
            return
        # Another run may hold it, the disk be full, an inode's number be too large for it: it is a cache.
        with contextlib.suppress(sqlite3.Error, OverflowError), self._database:
            self._database.executemany(statement, rows)


def _is_settled(local: Local, began_ns: int) -> bool:
    changed = max(local.mtime_ns, local.ctime_ns)
    margin = _COARSE_NS if changed % 1_000_000_000 == 0 else _FINE_NS
    return changed < began_ns - margin


def now_ns() -> int:
    """The system's clock, that files' times are of as well."""
    return time.time_ns()


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10)
    # Losing it in a crash of the machine costs reading the files again.
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA journal_mode = WAL")
    for table, more in (
        ("digests", "md5 TEXT NOT NULL"),
        ("verdicts", "against TEXT NOT NULL, same INTEGER, why TEXT"),
    ):
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (filename TEXT PRIMARY KEY, size INTEGER NOT NULL,"
            f" mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, {more}) WITHOUT ROWID"
        )
    return database
