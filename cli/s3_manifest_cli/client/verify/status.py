"""A folder compared with a collection's manifest. Nothing is listed in S3, and nothing changed anywhere."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Facts
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.hashes import Digests, Known, Verdict, now_ns
from s3_manifest_cli.client.local.md5s import md5_of
from s3_manifest_cli.client.local.reading import ReadSoFar, Unread, nobody, read_each
from s3_manifest_cli.client.local.scan import Local, Problem, check_folder, scan
from s3_manifest_cli.client.local.scan_process import Here, Look, look
from s3_manifest_cli.client.manifests import cache
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.verify.compare import Compared, Comparison, FileState, compare, same, undecided

File = TypeVar("File")


class Status(NamedTuple):
    """How a folder and a manifest compare, file by file in order of their names, and what was not looked at.

    ``facts`` tell the manifest's revision, whether it is complete, and when it was last compared with S3.
    ``unmatched`` are filters that match nothing on either side, as options.
    """

    folder: Path
    facts: Facts
    comparison: Comparison
    problems: list[Problem]
    unmatched: tuple[str, ...] = ()

    @property
    def files(self) -> list[Compared]:
        """All files; made anew each time, which takes as long as comparing them."""
        return self.comparison.files

    @property
    def totals(self) -> dict[FileState, int]:
        """How many files are in each state."""
        return self.comparison.totals

    @property
    def differences(self) -> list[Compared]:
        """Those that are not ``synced``."""
        return self.comparison.differences

    @property
    def is_in_sync(self) -> bool:
        """Whether all files are the same on both sides, as far as both were looked at."""
        return not self.problems and not self.differences


def status(
    deployment: Deployment,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    *,
    read_all: bool = False,
    look: Look = look,
    progress: ReadSoFar = nobody,
) -> Status:
    """How the folder and the collection compare now.

    The manifest is fetched only where the one that is kept here is another, and a file is read only where it has the
    size that the manifest says and was changed since it was last read; with ``read_all`` all of those are. Of what the
    manifest has no MD5, the bytes are compared by its checksums, or by those of its parts (``proofs``). Captions are
    compared as files are; sidecars are not. With ``look`` the folder may have been looked at already. ``progress``
    hears of what is read. Raises ``Invalid`` where there is no such folder, ``NotFound`` where there is no manifest,
    ``Unavailable``.
    """
    check_folder(folder, must_exist=True)
    index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
    here = look(folder, deployment.cache)
    remote = list(index.files())
    unmatched = unmatched_filters(filters, here, remote)
    problems = list(here.problems)
    comparison = compare_with(
        deployment, folder, here, collection, remote, filters, problems, read_all=read_all, progress=progress
    )
    return Status(folder, index.facts, comparison, meant(problems, filters), unmatched)


def compare_with(
    deployment: Deployment,
    folder: Path,
    here: Here,
    collection: Collection,
    remote: Sequence[RemoteFile],
    filters: Filter = EVERYTHING,
    problems: list[Problem] | None = None,
    *,
    read_all: bool = False,
    progress: ReadSoFar = nobody,
) -> Comparison:
    """As ``status``, with what the folder holds and what a manifest says.

    A file that could not be read is added to ``problems``.
    """
    is_meant = filters.compiled()
    local = own({one[0]: one for one in here.files}, deployment, collection)
    if filters != EVERYTHING:
        local = {name: one for name, one in local.items() if is_meant(name)}
        remote = [one for one in remote if is_meant(one.filename)]
    known: list[tuple[Known, RemoteFile]] = []
    if not read_all:
        known, remote = same(local, remote)
    rest = {name: Local._make(one[:-1]) for name, one in local.items()}
    md5s = {name: one[-1] for name, one in local.items()}
    verdicts: dict[str, Verdict] = {}
    if todo := undecided(rest, remote):
        with Digests(deployment.cache, folder) as digests:
            unread: dict[str, Unread] = {}
            verdicts = _verdicts(folder, todo, {} if read_all else md5s, digests, unread, progress, read_all=read_all)
            if problems is not None:
                problems += (Problem(name, one.why) for name, one in unread.items() if one.is_denied)
    return Comparison(known, compare(rest, remote, verdicts, is_meant))


def meant(problems: Iterable[Problem], filters: Filter) -> list[Problem]:
    """The problems of what the filters may select. Files below a folder may be, whatever its own name."""
    may_select = filters.may_select()
    return [problem for problem in problems if may_select(problem.path)]


def unmatched_filters(filters: Filter, here: Here, remote: Iterable[RemoteFile]) -> tuple[str, ...]:
    """The filters that match nothing in the folder and nothing in the manifest. Raises as ``Filter.unmatched``."""
    if filters == EVERYTHING:
        return ()
    there = {one[0] for one in here.files} | {problem.path for problem in here.problems}
    return filters.unmatched(there | {one.filename for one in remote})


def own_files(
    deployment: Deployment, folder: Path, collection: Collection, problems: list[Problem]
) -> dict[str, Local]:
    """The files of a folder that would be files of the collection, by name; none if it is not there.

    Raises as ``scan``.
    """
    found = scan(folder, problems) if folder.exists() else ()
    return own({one.filename: one for one in found}, deployment, collection)


def own(files: dict[str, File], deployment: Deployment, collection: Collection) -> dict[str, File]:
    """The files, by name, once those are taken from them that are none of the collection's: sidecars, nested ones."""
    for name in SIDECARS:
        files.pop(name, None)
    collections = deployment.collections
    if collections.is_nested(collection):
        return {name: one for name, one in files.items() if collections.of(collection.prefix + name) == collection}
    return files


def _verdicts(
    folder: Path,
    todo: Sequence[tuple[Local, RemoteFile]],
    md5s: Mapping[str, str | None],
    digests: Digests,
    unread: dict[str, Unread],
    progress: ReadSoFar,
    *,
    read_all: bool,
) -> dict[str, Verdict]:
    """Whether the bytes of each file are those that the manifest tells of; why that cannot be said of others.

    Those that could not be read are added to ``unread``.
    """
    verdicts: dict[str, Verdict] = {}
    md5s_of: dict[Local, str] = {}
    others: dict[Local, RemoteFile] = {}
    for here, there in todo:
        if there.md5 is None:
            others[here] = there
        elif md5 := md5s.get(here.filename):
            verdicts[here.filename] = md5 == there.md5
        else:
            md5s_of[here] = there.md5
    if md5s_of:
        verdicts |= _by_md5(folder, md5s_of, digests, unread, progress)
    # What the uploader declares may be wrong: then the checksums or parts that S3 has decide.
    others |= {here: there for here, there in todo if there.declared and verdicts.get(here.filename) is False}
    if others:
        files, size = len(md5s_of), sum(here.size for here in md5s_of)

        def after(more_files: int, more_bytes: int) -> None:
            progress(files + more_files, size + more_bytes)

        verdicts |= _by_proof(folder, others, digests, unread, after, read_all=read_all)
    return verdicts


def _by_md5(
    folder: Path, md5s: Mapping[Local, str], digests: Digests, unread: dict[str, Unread], progress: ReadSoFar
) -> dict[str, Verdict]:
    began_ns = now_ns()
    read = dict(read_each(folder, list(md5s), lambda _, file: md5_of(file), progress))
    unread |= {here.filename: found for here, found in read.items() if isinstance(found, Unread)}
    digests.learn({here: md5 for here, md5 in read.items() if isinstance(md5, str)}, began_ns)
    return {
        here.filename: found.why if isinstance(found, Unread) else found == md5s[here] for here, found in read.items()
    }


def _by_proof(
    folder: Path,
    others: Mapping[Local, RemoteFile],
    digests: Digests,
    unread: dict[str, Unread],
    progress: ReadSoFar,
    *,
    read_all: bool,
) -> dict[str, Verdict]:
    # It loads a library of checksums, that few runs need.
    from s3_manifest_cli.client.verify.proving import prove_each, told_by  # noqa: PLC0415

    known = {} if read_all else digests.verdicts()
    found = {here: known.get((here, told_by(there))) for here, there in others.items()}
    began_ns = now_ns()
    read = prove_each(folder, [(here, there) for here, there in others.items() if found[here] is None], progress)
    learnt: dict[Local, Verdict] = {}
    why: dict[str, Verdict] = {}
    for here, verdict in read:
        if isinstance(verdict, Unread):
            unread[here.filename] = verdict
            why[here.filename] = verdict.why
        else:
            learnt[here] = verdict.why if verdict.status == "unverifiable" else verdict.status == "right"
    digests.judge({(here, told_by(others[here])): verdict for here, verdict in learnt.items()}, began_ns)
    told = {here.filename: verdict for here, verdict in found.items() if verdict is not None}
    return told | {here.filename: verdict for here, verdict in learnt.items()} | why
