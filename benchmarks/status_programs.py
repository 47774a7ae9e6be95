"""What ``client_status`` compares: the programs, how each is asked, and how its answer is read."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import yardsticks
from benchmarks.child import run
from benchmarks.yardsticks import Missing

BUCKET = "bench"
_DVC = "dvc-remote"


class Place(NamedTuple):
    """Where all is: ``tree`` is the folder that is compared, ``dvc`` a DVC repository with a copy of it."""

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
        """The cache as a run with nothing changed leaves it."""
        return self.work / "warm"


class Program(NamedTuple):
    """``command`` makes the command line for an endpoint; ``names`` reads the files that differ off its output.

    ``before`` makes all as it has to be before each run. ``asks``: it looks at what is in S3. What is ``slow`` is run
    once, counted and timed at the same time, and only where files are changed.
    """

    title: str
    command: Callable[[str], list[str | Path]]
    names: Callable[[str], set[str]]
    before: Callable[[], None] = lambda: None
    folder: Path | None = None
    asks: bool = True
    slow: bool = False


def programs(place: Place, rclone: Path, dvc: Path | Missing, remote: str) -> tuple[list[Program], list[str]]:
    """Ours first, the warm one before the first; and what of the others had to be left out, and why."""
    ours: list[str | Path] = [yardsticks.ours(), "status", place.tree, "style/16", "--json"]

    def forgotten() -> None:
        shutil.rmtree(place.cache, ignore_errors=True)

    def warm() -> None:
        # What it learned of the changed files in the run before is taken from it again.
        forgotten()
        shutil.copytree(place.warm, place.cache)

    lists = [flag for way in ("differ", "missing-on-src", "missing-on-dst", "error") for flag in (f"--{way}", "-")]
    check: list[str | Path] = [rclone, "check", place.tree, f"bench:{remote}", *lists, "--quiet"]
    found = [
        Program("s3-manifest status", lambda _: ours, _told, warm),
        Program("s3-manifest status, first run", lambda _: ours, _told, forgotten),
        Program("rclone check", lambda _: check, _lines),
        Program("rclone check --fast-list", lambda _: [*check, "--fast-list"], _lines),
    ]
    left_out = []
    aws = yardsticks.program("aws")
    if isinstance(aws, Missing):
        left_out.append(aws.why)
    else:
        sync: list[str | Path] = [aws, "s3", "sync", "--dryrun", "--delete"]
        up, down = [place.tree, f"s3://{remote}"], [f"s3://{remote}", place.tree]
        prefix = f"s3://{remote}/"
        found += [
            Program("aws s3 sync --dryrun, to S3", lambda _: [*sync, *up], lambda said: _dryrun(said, place, prefix)),
            Program(
                "aws s3 sync --dryrun, from S3", lambda _: [*sync, *down], lambda said: _dryrun(said, place, prefix)
            ),
        ]
    if isinstance(dvc, Missing):
        left_out.append(dvc.why)
    else:
        status: list[str | Path] = [dvc, "data", "status", "--granular", "--json"]

        def asking(endpoint: str) -> list[str | Path]:
            # DVC takes the endpoint from its configuration alone.
            _done([dvc, "remote", "modify", "--quiet", "bench", "endpointurl", endpoint], place.dvc)
            return [*status, "--not-in-remote"]

        found += [
            Program("dvc data status", lambda _: status, _uncommitted, folder=place.dvc, asks=False),
            Program("dvc data status --not-in-remote", asking, _uncommitted, folder=place.dvc, slow=True),
        ]
    return found, left_out


def _told(output: str) -> set[str]:
    return {one["filename"] for one in json.loads(output)["files"]}


def _lines(output: str) -> set[str]:
    return set(output.splitlines())


def _dryrun(output: str, place: Place, prefix: str) -> set[str]:
    """Of lines such as ``(dryrun) upload: FILE to s3://…`` and ``(dryrun) delete: s3://…``."""
    roots = (prefix, f"{os.path.relpath(place.tree)}/", f"{place.tree}/")
    found = set()
    for line in output.splitlines():
        target = line.removeprefix("(dryrun) ").partition(": ")[2].rpartition(" to ")[2]
        (root,) = (one for one in roots if target.startswith(one))
        found.add(target.removeprefix(root))
    return found


def _uncommitted(output: str) -> set[str]:
    """Of what DVC tells in JSON; folders are told with those of their files that differ."""
    told = json.loads(output)
    names = [name for way in ("added", "modified", "deleted") for name in told.get("uncommitted", {}).get(way, ())]
    names += told.get("not_in_remote", ())
    return {name.removeprefix("tree/") for name in names if not name.endswith("/")}


def dvc_repository(place: Place, bucket: Path) -> Path | Missing:
    """A repository with a copy of the tree, and its objects in the remote, as ``dvc push`` would put them there."""
    dvc = yardsticks.program("dvc")
    if not isinstance(dvc, Missing):
        shutil.copytree(place.tree, place.dvc / "tree")
        _done([dvc, "init", "--no-scm", "--quiet"], place.dvc)
        _done([dvc, "add", "--quiet", "tree"], place.dvc)
        _done([dvc, "remote", "add", "--quiet", "--default", "bench", f"s3://{BUCKET}/{_DVC}"], place.dvc)
        shutil.copytree(place.dvc / ".dvc" / "cache" / "files", bucket / _DVC / "files")
    return dvc


def _done(command: list[str | Path], folder: Path) -> None:
    took = run(command, yardsticks.environment(""), folder)
    assert took.code == 0, took.errors
