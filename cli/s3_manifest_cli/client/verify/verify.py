"""Verifies a folder: reads every file and proves it against the manifest."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.reading import ReadProgress, denied_files, no_progress
from s3_manifest_cli.client.local.scan import Problem, check_folder, scan
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.verify.compare import FileState, FileStatus, compare, same_size_pairs, totals
from s3_manifest_cli.client.verify.proofs import CheckResult, check_files, wrong_size
from s3_manifest_cli.client.verify.status import LocalCopy


class Verification(NamedTuple):
    """The result, by filename. ``problems`` are parts of the folder that were skipped or could not be read.

    ``unmatched`` are filter options that match no file on either side.
    """

    folder: Path
    facts: Facts
    files: list[FileStatus]
    problems: list[Problem]
    unmatched: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[FileState, int]:
        """The number of files in each state."""
        return totals(file.state for file in self.files)

    @property
    def proofs(self) -> Mapping[str, int]:
        """The number of synced files by their strongest proof."""
        return Counter(file.by[0] for file in self.files if file.state == "synced")

    def is_verified(self, *, allow_extra: bool = False) -> bool:
        """Whether every file of the manifest is in the folder and proven, and (without ``allow_extra``) no other."""
        allowed = {"synced", "local_only"} if allow_extra else {"synced"}
        return not self.problems and all(file.state in allowed for file in self.files)


def verify(
    deployment: Deployment,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    *,
    progress: ReadProgress = no_progress,
) -> Verification:
    """Checks every file of the folder against the manifest. Uses no cache: the manifest and all files are read.

    A file that cannot be proven is ``unverifiable``, never ``synced``. ``progress`` gets the files and bytes read so
    far. Raises ``Invalid`` where there is no such folder, ``NotFound``, ``Refused``, ``Unavailable``.
    """
    check_folder(folder, must_exist=True)
    index = deployment.manifests.index(collection, None)
    selects = filters.predicate()
    problems: list[Problem] = []
    scanned = {file.filename: file for file in scan(folder, problems)}
    local = LocalCopy(deployment, folder, collection).own_files(scanned)
    remote = list(index.files())
    unmatched = filters.unmatched({*local, *(file.filename for file in remote), *(entry.path for entry in problems)})
    pairs = [(file, remote_file) for file, remote_file in same_size_pairs(local, remote) if selects(file.filename)]
    checks = dict(check_files(folder, pairs, progress))
    problems += denied_files(checks)
    results = {file.filename: check.match_result for file, check in checks.items()}
    files = []
    for status in compare(local, remote, results, selects):
        check = checks.get(status.local) if status.local else None
        if status.local and status.remote and status.local.size != status.remote.size:
            check = wrong_size(status.local.size, status.remote.size)
        if isinstance(check, CheckResult):
            files.append(status._replace(by=check.proofs, why=check.reason))
        else:
            files.append(status)
    return Verification(folder, index.facts, files, filters.select_problems(problems), unmatched)
