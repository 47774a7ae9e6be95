"""Compares a folder with a collection's manifest. Lists nothing in S3 and changes nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Facts
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.hashes import (
    DigestCache,
    LocalScan,
    MatchResult,
    Scanner,
    md5_of,
    scan_folder,
)
from s3_manifest_cli.client.local.reading import ReadFailure, ReadProgress, denied_files, no_progress, read_files
from s3_manifest_cli.client.local.scan import LocalFile, Problem, check_folder
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.verify.compare import (
    Comparison,
    compare,
    match_cached,
    same_size_pairs,
)

File = TypeVar("File")


@dataclass(frozen=True, kw_only=True)
class Status(Comparison):
    """How a folder and a manifest compare. ``problems`` are parts of the folder that were skipped or not readable.

    ``facts`` has the manifest's revision, whether it is complete, and when it was last compared with S3.
    """

    folder: Path
    facts: Facts
    problems: list[Problem]

    @property
    def is_in_sync(self) -> bool:
        """Whether all files are the same on both sides and no part of the folder was skipped."""
        return not self.problems and not self.differences


class LocalCopy(NamedTuple):
    """A folder, the collection that it is a copy of, and the filters that select the compared files."""

    deployment: Deployment
    folder: Path
    collection: Collection
    filters: Filter = EVERYTHING

    def status(
        self, *, read_all: bool = False, scanner: Scanner = scan_folder, progress: ReadProgress = no_progress
    ) -> Status:
        """As the function ``status``; ``scanner`` lists the folder."""
        check_folder(self.folder, must_exist=True)
        index = self.deployment.current_index(self.collection)
        local = scanner(self.folder, self.deployment.cache)
        comparison = self.compare(local, list(index.files()), read_all=read_all, progress=progress)
        problems = self.filters.select_problems((*local.problems, *comparison.unreadable))
        return Status(**vars(comparison), folder=self.folder, facts=index.facts, problems=problems)

    def compare(
        self,
        local: LocalScan,
        remote: Sequence[RemoteFile],
        *,
        read_all: bool = False,
        progress: ReadProgress = no_progress,
    ) -> Comparison:
        """Compares a scan of the folder with files of a manifest. Raises as ``Filter.unmatched``."""
        selects = self.filters.predicate()
        unmatched: tuple[str, ...] = ()
        scanned = self.own_files({file[0]: file for file in local.files})
        if self.filters != EVERYTHING:
            names = {file[0] for file in local.files} | {problem.path for problem in local.problems}
            unmatched = self.filters.unmatched(names | {file.filename for file in remote})
            scanned = {name: file for name, file in scanned.items() if selects(name)}
            remote = [file for file in remote if selects(file.filename)]
        if read_all:
            scanned = {name: (*file[:-1], None) for name, file in scanned.items()}
        matches, remote = match_cached(scanned, remote)
        files = {name: LocalFile._make(file[:-1]) for name, file in scanned.items()}
        results: dict[str, MatchResult] = {}
        unreadable: list[Problem] = []
        if pairs := same_size_pairs(files, remote):
            md5s = {name: file[-1] for name, file in scanned.items()}
            with DigestCache(self.deployment.cache, self.folder) as digests:
                results = _Matcher(self.folder, digests, unreadable, progress, read_all).match(pairs, md5s)
        return Comparison(matches, compare(files, remote, results, selects), unreadable, unmatched)

    def own_files(self, files: dict[str, File]) -> dict[str, File]:
        """These files without sidecars and without files of nested collections."""
        for name in SIDECARS:
            files.pop(name, None)
        collections = self.deployment.collections
        if not collections.is_nested(self.collection):
            return files
        prefix = self.collection.prefix
        return {name: file for name, file in files.items() if collections.contains(self.collection, prefix + name)}


def status(
    deployment: Deployment,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    *,
    read_all: bool = False,
    progress: ReadProgress = no_progress,
) -> Status:
    """Compares the folder with the collection's current manifest.

    The manifest is fetched only if it differs from the cached one. A file is read only if its size is the manifest's
    and it changed since it was last read; ``read_all`` reads all files of that size. Where the manifest has no MD5, the
    object's checksums, or those of its parts, are compared (``proofs``). Captions are compared like files, sidecars are
    not. ``progress`` gets the files and bytes read so far. Raises ``Invalid`` where there is no such folder,
    ``NotFound`` where there is no manifest, ``Unavailable``.
    """
    return LocalCopy(deployment, folder, collection, filters).status(read_all=read_all, progress=progress)


class _Matcher(NamedTuple):
    """Decides whether local bytes are those of the objects; reads the files that the cache does not know.

    Files that the disk refuses to read are added to ``unreadable``. With ``read_all`` the cache is written only.
    """

    folder: Path
    digests: DigestCache
    unreadable: list[Problem]
    progress: ReadProgress
    read_all: bool

    def match(
        self, pairs: Sequence[tuple[LocalFile, RemoteFile]], md5s: Mapping[str, str | None]
    ) -> dict[str, MatchResult]:
        """The match result of each pair, by filename; ``md5s`` are the known MD5s of local files."""
        results: dict[str, MatchResult] = {}
        unread: dict[LocalFile, str] = {}
        for file, remote in pairs:
            if remote.md5 and (md5 := md5s.get(file.filename)):
                results[file.filename] = md5 == remote.md5
            elif remote.md5:
                unread[file] = remote.md5
        results |= self._match_md5s(unread)
        # Without an MD5, the checksums or parts that S3 has decide; also where a declared one differs: it may be wrong.
        to_prove = {
            file: remote
            for file, remote in pairs
            if not remote.md5 or (remote.declared and results[file.filename] is False)
        }
        if to_prove:
            files_read, bytes_read = len(unread), sum(file.size for file in unread)
            results |= self._match_proofs(
                to_prove, lambda files, size_bytes: self.progress(files_read + files, bytes_read + size_bytes)
            )
        return results

    def _match_md5s(self, md5s: Mapping[LocalFile, str]) -> dict[str, MatchResult]:
        start_ns = time_ns()
        found = dict(read_files(self.folder, list(md5s), lambda _, file: md5_of(file), self.progress))
        self.digests.store_md5s({file: md5 for file, md5 in found.items() if isinstance(md5, str)}, start_ns)
        self.unreadable.extend(denied_files(found))
        return {
            file.filename: md5.reason if isinstance(md5, ReadFailure) else md5 == md5s[file]
            for file, md5 in found.items()
        }

    def _match_proofs(
        self, pairs: Mapping[LocalFile, RemoteFile], progress: Callable[[int, int], None]
    ) -> dict[str, MatchResult]:
        # It loads a library of checksums that few runs need.
        from s3_manifest_cli.client.verify.proofs import CheckResult, check_files, verification_key  # noqa: PLC0415

        cached = {} if self.read_all else self.digests.match_results()
        keys = {file: (file, verification_key(remote)) for file, remote in pairs.items()}
        results = {file.filename: cached[key] for file, key in keys.items() if key in cached}
        unread = [(file, remote) for file, remote in pairs.items() if keys[file] not in cached]
        start_ns = time_ns()
        checks = dict(check_files(self.folder, unread, progress))
        learned = {keys[file]: check.match_result for file, check in checks.items() if isinstance(check, CheckResult)}
        self.digests.store_matches(learned, start_ns)
        self.unreadable.extend(denied_files(checks))
        return results | {file.filename: check.match_result for file, check in checks.items()}
