"""The programs that ``client_status`` compares: their command lines, and how to read their output."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import yardsticks
from benchmarks.process import run
from benchmarks.sweep_bucket import BUCKET
from benchmarks.yardsticks import Missing

_DVC = "dvc-remote"


class Workspace(NamedTuple):
    """The folders: ``tree`` is compared, ``dvc`` is a DVC repository with a copy of it."""

    work: Path

    @property
    def tree(self) -> Path:
        return self.work / "tree"

    @property
    def dvc(self) -> Path:
        return self.work / "dvc"

    @property
    def cache(self) -> Path:
        return self.work / "cache"

    @property
    def warm(self) -> Path:
        """The cache after a run without changes."""
        return self.work / "warm"


class Program(NamedTuple):
    """``command`` returns the command line for an endpoint; ``names`` reads the differing files from its output.

    ``before`` restores the state before each run. ``asks``: it makes requests to S3. A ``slow`` program runs once,
    counted and timed at the same time, and only with changed files.
    """

    title: str
    command: Callable[[str], list[str | Path]]
    names: Callable[[str], set[str]]
    before: Callable[[], None] = lambda: None
    folder: Path | None = None
    asks: bool = True
    slow: bool = False


def programs(place: Workspace, rclone: Path, dvc: Path | Missing, remote: str) -> tuple[list[Program], list[str]]:
    """Our program first, with a warm cache and without; and the reasons why others are not available."""
    ours: list[str | Path] = [yardsticks.ours(), "status", place.tree, "style/16", "--json"]

    def clear_cache() -> None:
        shutil.rmtree(place.cache, ignore_errors=True)

    def warm() -> None:
        # The cache must not know the changed files from the previous run.
        clear_cache()
        shutil.copytree(place.warm, place.cache)

    kinds = ("differ", "missing-on-src", "missing-on-dst", "error")
    lists = [flag for kind in kinds for flag in (f"--{kind}", "-")]
    check: list[str | Path] = [rclone, "check", place.tree, f"bench:{remote}", *lists, "--quiet"]
    available = [
        Program("s3-manifest status", lambda _: ours, _filenames, warm),
        Program("s3-manifest status, first run", lambda _: ours, _filenames, clear_cache),
        Program("rclone check", lambda _: check, _lines),
        Program("rclone check --fast-list", lambda _: [*check, "--fast-list"], _lines),
    ]
    unavailable = []
    aws = yardsticks.program("aws")
    if isinstance(aws, Missing):
        unavailable.append(aws.reason)
    else:
        sync: list[str | Path] = [aws, "s3", "sync", "--dryrun", "--delete"]
        up, down = [place.tree, f"s3://{remote}"], [f"s3://{remote}", place.tree]
        prefix = f"s3://{remote}/"
        available += [
            Program(
                "aws s3 sync --dryrun, to S3", lambda _: [*sync, *up], lambda output: _dryrun(output, place, prefix)
            ),
            Program(
                "aws s3 sync --dryrun, from S3", lambda _: [*sync, *down], lambda output: _dryrun(output, place, prefix)
            ),
        ]
    if isinstance(dvc, Missing):
        unavailable.append(dvc.reason)
    else:
        status: list[str | Path] = [dvc, "data", "status", "--granular", "--json"]

        def asking(endpoint: str) -> list[str | Path]:
            # DVC reads the endpoint only from its configuration.
            _run([dvc, "remote", "modify", "--quiet", "bench", "endpointurl", endpoint], place.dvc)
            return [*status, "--not-in-remote"]

        available += [
            Program("dvc data status", lambda _: status, _uncommitted, folder=place.dvc, asks=False),
            Program("dvc data status --not-in-remote", asking, _uncommitted, folder=place.dvc, slow=True),
        ]
    return available, unavailable


def _filenames(output: str) -> set[str]:
    return {file["filename"] for file in json.loads(output)["files"]}


def _lines(output: str) -> set[str]:
    return set(output.splitlines())


def _dryrun(output: str, place: Workspace, prefix: str) -> set[str]:
    """The files in lines such as ``(dryrun) upload: FILE to s3://…`` and ``(dryrun) delete: s3://…``."""
    roots = (prefix, f"{os.path.relpath(place.tree)}/", f"{place.tree}/")
    names = set()
    for line in output.splitlines():
        target = line.removeprefix("(dryrun) ").partition(": ")[2].rpartition(" to ")[2]
        (root,) = (prefix for prefix in roots if target.startswith(prefix))
        names.add(target.removeprefix(root))
    return names


def _uncommitted(output: str) -> set[str]:
    """The files in DVC's JSON, which also lists the folders of differing files."""
    status = json.loads(output)
    names = [name for kind in ("added", "modified", "deleted") for name in status.get("uncommitted", {}).get(kind, ())]
    names += status.get("not_in_remote", ())
    return {name.removeprefix("tree/") for name in names if not name.endswith("/")}


def dvc_repository(place: Workspace, bucket: Path) -> Path | Missing:
    """A repository with a copy of the tree, and its objects in the remote, as ``dvc push`` would store them."""
    dvc = yardsticks.program("dvc")
    if not isinstance(dvc, Missing):
        shutil.copytree(place.tree, place.dvc / "tree")
        _run([dvc, "init", "--no-scm", "--quiet"], place.dvc)
        _run([dvc, "add", "--quiet", "tree"], place.dvc)
        _run([dvc, "remote", "add", "--quiet", "--default", "bench", f"s3://{BUCKET}/{_DVC}"], place.dvc)
        shutil.copytree(place.dvc / ".dvc" / "cache" / "files", bucket / _DVC / "files")
    return dvc


def _run(command: list[str | Path], folder: Path) -> None:
    result = run(command, yardsticks.environment(""), folder)
    assert result.code == 0, result.errors
