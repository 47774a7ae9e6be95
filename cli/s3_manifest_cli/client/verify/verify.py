"""A folder verified: every file read anew, and each by what proves it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.reading import ReadSoFar, Unread, nobody
from s3_manifest_cli.client.local.scan import Problem, check_folder
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.verify.compare import FileState, compare, totals, undecided
from s3_manifest_cli.client.verify.proofs import Verdict
from s3_manifest_cli.client.verify.proving import prove_each
from s3_manifest_cli.client.verify.status import meant, own_files


class Verified(NamedTuple):
    """One file. ``by`` is what proves its state (see ``proofs.Verdict``); of one that is on one side only, nothing."""

    filename: str
    state: FileState
    by: tuple[str, ...] = ()
    why: str | None = None


class Verification(NamedTuple):
    """What came of it, by filename; ``problems`` are what in the folder is no file, or could not be looked at.

    ``unmatched`` are filters that match nothing on either side, as options.
    """

    folder: Path
    facts: Facts
    files: list[Verified]
    problems: list[Problem]
    unmatched: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[FileState, int]:
        """How many files are in each state."""
        return totals(self.files)

    @property
    def proofs(self) -> Mapping[str, int]:
        """By what so many files are proven right, each counted for the first of its proofs."""
        return Counter(one.by[0] for one in self.files if one.state == "synced")

    def is_right(self, *, allow_extra: bool = False) -> bool:
        """Whether every file of the manifest is here and proven right, and no other (unless that is allowed)."""
        allowed = {"synced", "local_only"} if allow_extra else {"synced"}
        return not self.problems and all(one.state in allowed for one in self.files)


def verify(
    deployment: Deployment,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    *,
    told: ReadSoFar = nobody,
) -> Verification:
    """Every file of the folder against the manifest, which is fetched, and the files read, whatever is kept of them.

    What cannot be proven is ``unverifiable``, and never ``synced``. ``told`` is called while files are read, with how
    many files and bytes were by then. Raises ``Invalid`` where there is no such folder, ``NotFound``,
    ``Refused``, ``Unavailable``.
    """
    check_folder(folder, must_exist=True)
    index = deployment.manifests.index(collection, None)
    is_meant = filters.compiled()
    problems: list[Problem] = []
    local = own_files(deployment, folder, collection, problems)
    remote = list(index.files())
    unmatched = filters.unmatched({*local, *(one.filename for one in remote), *(one.path for one in problems)})
    todo = [(here, there) for here, there in undecided(local, remote) if is_meant(here.filename)]
    verdicts: dict[str, Verdict | Unread] = {}
    for here, verdict in prove_each(folder, todo, told):
        verdicts[here.filename] = verdict
        if isinstance(verdict, Unread) and verdict.is_denied:
            problems.append(Problem(here.filename, verdict.why))
    files = []
    for one in compare(local, remote, {name: _told(verdict) for name, verdict in verdicts.items()}, is_meant):
        found = verdicts.get(one.filename)
        if isinstance(found, Verdict):
            files.append(Verified(one.filename, one.state, found.by, found.why))
        elif one.state == "out_of_sync" and one.local and one.remote:
            why = f"it has {one.local.size} bytes, and the manifest says {one.remote.size}"
            files.append(Verified(one.filename, one.state, ("size",), why))
        else:
            files.append(Verified(one.filename, one.state, (), one.why))
    return Verification(folder, index.facts, files, meant(problems, filters), unmatched)


def _told(verdict: Verdict | Unread) -> bool | str:
    if isinstance(verdict, Unread) or verdict.status == "unverifiable":
        return verdict.why
    return verdict.status == "right"
