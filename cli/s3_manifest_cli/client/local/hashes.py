"""MD5s of local files and the cache of them, so that an unchanged file is not read again.

The cache also holds match results: for a file whose object has no MD5 in the manifest, whether its bytes matched.

A cached row is valid while the file's size, modification time, ``st_ctime`` and inode are the same. ``st_ctime`` is
compared because programs may set ``st_mtime`` back, but not ``st_ctime``. A file that changed so shortly before it was
read that a later change could get the same timestamp is not cached.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import file_digest, md5
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from s3_manifest_cli.client.local.scan import FileStat, LocalFile, Problem, walk
from s3_manifest_cli.client.local.state_files import stable_name

_FINE_NS, _COARSE_NS = 50_000_000, 2_000_000_000
"""How far apart two changes must be to get different timestamps: on a file system with fine timestamps, and on one with
whole seconds (FAT: two seconds)."""

ScannedFile: TypeAlias = tuple[str, int, int, int, int, str | None]
"""The fields of a ``LocalFile``, and its MD5 if the cache has it."""

MatchResult: TypeAlias = bool | str
"""Whether a local file has the bytes of its object, or the reason why that is unknown."""


class LocalScan(NamedTuple):
    """The files of a folder, in any order, and the parts that were skipped."""

    files: list[ScannedFile]
    problems: list[Problem]


Scanner: TypeAlias = Callable[[Path, Path], LocalScan]
"""A function like ``scan_folder``."""


def scan_folder(folder: Path, cache: Path) -> LocalScan:
    """Lists a folder without reading its files; MD5s come from ``cache``. A missing folder has no files.

    Raises as ``scan``.
    """
    if not folder.exists():
        return LocalScan([], [])
    problems: list[Problem] = []
    stats = {stat[0]: stat for files in walk(folder, problems) for stat in files}
    with DigestCache(cache, folder) as digests:
        return LocalScan(digests.lookup(stats), problems)


def md5_of(file: BinaryIO) -> str:
    """The MD5 of the rest of the file, in hex. Raises ``OSError``."""
    return file_digest(file, partial(md5, usedforsecurity=False)).hexdigest()  # type: ignore[arg-type]  # it has readinto


class DigestCache(contextlib.AbstractContextManager["DigestCache"]):
    """MD5s and match results of the files below one folder.

    It is empty, and stores nothing, where its database cannot be opened (a read-only home).
    """

    def __init__(self, folder: Path, root: Path) -> None:
        """``folder`` holds the database; ``root`` is the folder whose files are cached."""
        self._database: sqlite3.Connection | None = None
        with contextlib.suppress(OSError, sqlite3.Error):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = _open_database(folder / f"digests-{stable_name(root.resolve())}.sqlite")

    def __exit__(self, *_: object) -> None:
        if self._database:
            self._database.close()

    def lookup(self, stats: Mapping[str, FileStat]) -> list[ScannedFile]:
        """All of these files, given by name, each with its MD5 if that is cached."""
        cached: list[ScannedFile] = []
        remaining = dict(stats)
        for row in self._rows("SELECT filename, size, mtime_ns, ctime_ns, inode, md5 FROM digests"):
            if remaining.get(row[0]) == row[:5]:
                del remaining[row[0]]
                cached.append(row)
        return cached + [(*stat, None) for stat in remaining.values()]

    def store_md5s(self, md5s: Mapping[LocalFile, str], start_ns: int) -> None:
        """Stores MD5s of files that were read from ``start_ns`` (system clock) on."""
        rows = [(*file, md5) for file, md5 in md5s.items() if _is_cacheable(file, start_ns)]
        self._write("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?)", rows)

    def match_results(self) -> dict[tuple[LocalFile, str], MatchResult]:
        """All match results, by the file as it was read and the ``verification_key`` it was compared with."""
        rows = self._rows("SELECT filename, size, mtime_ns, ctime_ns, inode, against, same, why FROM verdicts")
        return {(LocalFile._make(row[:5]), row[5]): row[7] if row[6] is None else bool(row[6]) for row in rows}

    def store_matches(self, results: Mapping[tuple[LocalFile, str], MatchResult], start_ns: int) -> None:
        """Stores match results, one for each file; otherwise as ``store_md5s``."""
        rows = [
            (*file, key, *((None, result) if isinstance(result, str) else (result, None)))
            for (file, key), result in results.items()
            if _is_cacheable(file, start_ns)
        ]
        self._write("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def forget(self, filenames: Iterable[str]) -> None:
        """Removes these files from the cache."""
        rows = [(filename,) for filename in filenames]
        self._write("DELETE FROM digests WHERE filename = ?", rows)
        self._write("DELETE FROM verdicts WHERE filename = ?", rows)

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        with contextlib.suppress(sqlite3.Error):
            yield from self._database.execute(query) if self._database else ()

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if self._database is None or not rows:
            return
        # A cache may fail: another run holds the database, the disk is full, an inode number is too large for SQLite.
        with contextlib.suppress(sqlite3.Error, OverflowError), self._database:
            self._database.executemany(statement, rows)


def _is_cacheable(file: LocalFile, start_ns: int) -> bool:
    changed = max(file.mtime_ns, file.ctime_ns)
    margin = _COARSE_NS if changed % 1_000_000_000 == 0 else _FINE_NS
    return changed < start_ns - margin


def _open_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10)
    # If a crash of the machine loses it, files are read again.
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA journal_mode = WAL")
    for table, columns in (
        ("digests", "md5 TEXT NOT NULL"),
        ("verdicts", "against TEXT NOT NULL, same INTEGER, why TEXT"),
    ):
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (filename TEXT PRIMARY KEY, size INTEGER NOT NULL,"
            f" mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, {columns}) WITHOUT ROWID"
        )
    return database
