"""Compares local files with a manifest by their bytes, never by size or time alone. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal, NamedTuple, get_args

from s3_manifest_cli.client.local.hashes import MatchResult, ScannedFile
from s3_manifest_cli.client.local.scan import LocalFile, Problem
from s3_manifest_cli.client.manifests.manifests import RemoteFile

FileState = Literal["synced", "local_only", "s3_only", "out_of_sync", "unverifiable"]
"""``out_of_sync``: both sides have the file, with different bytes. ``unverifiable``: both have it, and either nothing
in the manifest proves whether the bytes are the same, or the local file could not be read."""

STATES: tuple[FileState, ...] = get_args(FileState)


class FileStatus(NamedTuple):
    """One file on both sides. ``why`` is the reason of a difference, or that its bytes could not be compared.

    ``by`` names the proofs of its state (``CheckResult.proofs``), if it was verified.
    """

    filename: str
    state: FileState
    local: LocalFile | None
    remote: RemoteFile | None
    why: str | None = None
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All compared files: ``matches`` are synced by a cached MD5, ``others`` are the remaining files by name.

    ``unreadable`` are the files that the disk refuses to read. ``unmatched`` are filter options that match no file on
    either side. Usually most files match and no caller asks for them one by one, so they are kept as they were read.
    """

    matches: list[tuple[ScannedFile, RemoteFile]]
    others: list[FileStatus]
    unreadable: Sequence[Problem] = ()
    unmatched: tuple[str, ...] = ()

    @property
    def files(self) -> list[FileStatus]:
        """Every file, by name. Built on each access, which takes as long as the comparison."""
        matches = [FileStatus(file[0], "synced", LocalFile._make(file[:-1]), remote) for file, remote in self.matches]
        return sorted(matches + self.others, key=itemgetter(0))

    @property
    def differences(self) -> list[FileStatus]:
        """The files that are not ``synced``, by name."""
        return [file for file in self.others if file.state != "synced"]

    @property
    def totals(self) -> dict[FileState, int]:
        """The number of files in each state."""
        counts = totals(file.state for file in self.others)
        return counts | {"synced": counts["synced"] + len(self.matches)}


def match_cached(
    local: MutableMapping[str, ScannedFile], remote: Iterable[RemoteFile]
) -> tuple[list[tuple[ScannedFile, RemoteFile]], list[RemoteFile]]:
    """The files whose cached MD5 is the manifest's, removed from ``local``; and the remaining remote files."""
    matches: list[tuple[ScannedFile, RemoteFile]] = []
    remaining: list[RemoteFile] = []
    for remote_file in remote:
        file = local.get(remote_file.filename)
        if file is not None and file[1] == remote_file.size and file[5] == remote_file.md5 is not None:
            matches.append((file, remote_file))
            del local[remote_file.filename]
        else:
            remaining.append(remote_file)
    return matches, remaining


def same_size_pairs(local: Mapping[str, LocalFile], remote: Iterable[RemoteFile]) -> list[tuple[LocalFile, RemoteFile]]:
    """The files whose bytes must be compared: both sides have them, with the same size."""
    return [
        (file, remote_file)
        for remote_file in remote
        if (file := local.get(remote_file.filename)) and file.size == remote_file.size
    ]


def compare(
    local: Mapping[str, LocalFile],
    remote: Iterable[RemoteFile],
    results: Mapping[str, MatchResult],
    selects: Callable[[str], bool],
) -> list[FileStatus]:
    """The status of every file that ``selects`` accepts, by name.

    ``results`` has the match result of each of the ``same_size_pairs``. A file that the manifest hides is compared
    where it exists locally, and not missed where it does not.
    """
    files: list[FileStatus] = []
    local_only = dict(local)
    for remote_file in remote:
        name = remote_file.filename
        file = local_only.pop(name, None)
        if not selects(name):
            continue
        if file is None:
            if remote_file.role != "hidden":
                files.append(FileStatus(name, "s3_only", None, remote_file))
        elif file.size != remote_file.size:
            files.append(FileStatus(name, "out_of_sync", file, remote_file))
        elif isinstance(result := results[name], str):
            files.append(FileStatus(name, "unverifiable", file, remote_file, result))
        else:
            files.append(FileStatus(name, "synced" if result else "out_of_sync", file, remote_file))
    files += (FileStatus(name, "local_only", file, None) for name, file in local_only.items() if selects(name))
    files.sort(key=itemgetter(0))
    return files


def totals(states: Iterable[FileState]) -> dict[FileState, int]:
    """The number of files in each state, including zeros."""
    counts = Counter(states)
    return {state: counts[state] for state in STATES}
