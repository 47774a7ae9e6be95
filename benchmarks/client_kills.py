"""``python -m benchmarks.client_kills``: ``s3-manifest pull`` and ``push``, killed at random points on the local stack.

Each round starts from an empty target: the program is killed one or more times and then run to its end. The points are
seeded shares of the duration of a whole run. After each kill, every file or object under its own name must be complete.
In the end both sides must be equal byte by byte, ``status`` must agree, and no multipart upload may be left. Most kills
are SIGKILL, some SIGTERM and SIGINT.
"""

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import client_tree, yardsticks
from benchmarks.soak import wait_until_idle
from benchmarks.table import Aim, Section, report, table
from s3_manifest_cli.local_stack.stack import Stack, local_stack

KILLS, FILES, LARGE, LARGE_MB = 50, 200, 4, 40
_SIGNALS = (*[signal.SIGKILL] * 6, signal.SIGTERM, signal.SIGINT)
_AGAIN = 0.4
"""The probability that the run after a kill is killed too."""
_WORKING = ".s3-manifest"
_LATE_SECONDS = 0.3
"""Time after a kill for requests under way to arrive."""
_MOST_RUNS = 5


@dataclass
class Outcome:
    """The kills and defects of one command."""

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    early: int = 0
    """Runs that finished before they were killed."""
    completed: list[float] = field(default_factory=list)
    """The share of files that were complete after each kill."""
    defects: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    """Temporary files and uploads that remained in the end."""


@dataclass
class Side:
    """One command, and how to inspect its target: the files present, incomplete files, and leftovers."""

    command: list[str | Path]
    present: Callable[[], Mapping[str, Any]]
    incomplete: Callable[[], list[str]]
    leftovers: Callable[[], list[str]]


def section(kills: int = KILLS, files: int = FILES, large: int = LARGE, seed: int = 16) -> Section:
    """Kills of each command, with ``files`` small files and ``large`` files of 40 MiB."""
    with tempfile.TemporaryDirectory(prefix="s3-manifest-kills-") as folder, _quiet_stack() as stack:
        bench = Kills(stack, Path(folder), files, large, random.Random(seed))
        outcomes = {"pull": bench.pull(kills), "push": bench.push(kills)}
    aims = []
    for verb, outcome in outcomes.items():
        killed = f"`{verb}`, killed {outcome.kills.total()} times"
        complete = f"{killed}: no incomplete file, and every byte in the end"
        aims.append(Aim(complete, "; ".join(outcome.defects[:3]) or "met", not outcome.defects))
        count = len(outcome.leftovers)
        leftovers = f"{count}, the first: {outcome.leftovers[0]}" if outcome.leftovers else "none"
        aims.append(Aim(f"{killed}: no leftovers", leftovers, not outcome.leftovers))
    rows = [
        (
            f"`{verb}`",
            outcome.rounds,
            *(outcome.kills[name] for name in ("SIGKILL", "SIGTERM", "SIGINT")),
            outcome.early,
            f"{min(outcome.completed, default=0):.0%} to {max(outcome.completed, default=0):.0%}",
            len(outcome.defects),
            len(outcome.leftovers),
        )
        for verb, outcome in outcomes.items()
    ]
    head = ("", "rounds", "SIGKILL", "SIGTERM", "SIGINT", "done before", "files complete then", "defects", "leftovers")
    small = f"{files:,} files of {client_tree.human_size(client_tree.SIZE)}"
    setup = f"{small} and {large} of {LARGE_MB} MiB, on the local stack."
    return Section("Client: killed", aims, f"{setup}\n\n{table(head, rows)}")


class Kills:
    """The files, the stack, and the rounds of either command."""

    def __init__(self, stack: Stack, work: Path, files: int, large: int, chance: random.Random) -> None:
        self._stack, self._work, self._chance = stack, work, chance
        self._s3 = stack.platform.client("s3")
        self._tree = work / "tree"
        client_tree.write(self._tree, files)
        client_tree.write(self._tree / "large", large, LARGE_MB << 20)
        self._names = sorted(str(path.relative_to(self._tree)) for path in self._tree.rglob("*") if path.is_file())
        self._environment = yardsticks.environment(
            stack.platform.endpoint,
            **stack.platform.environment,
            S3_MANIFEST_BUCKET=stack.bucket,
        )

    def pull(self, kills: int) -> Outcome:
        """Pulls one collection, in each round into a new folder."""
        for name in self._names:
            self._s3.upload_file(str(self._tree / name), self._stack.bucket, f"styles/1/{name}")
        wait_until_idle(self._stack)

        def side(number: int) -> Side:
            folder = self._work / f"pulled-{number}"
            return Side(
                ["pull", "style/1", folder],
                lambda: _files(folder),
                lambda: [name for name, path in _files(folder).items() if not self._is_whole(name, path.read_bytes())],
                lambda: _leftovers(folder),
            )

        return self._rounds(kills, side, lambda number: shutil.rmtree(self._work / f"pulled-{number}"))

    def push(self, kills: int) -> Outcome:
        """Pushes the folder, in each round to a new collection."""

        def side(number: int) -> Side:
            prefix = f"styles/{number + 100}/"
            return Side(
                ["push", self._tree, f"style/{number + 100}"],
                lambda: self._listed(prefix),
                lambda: [
                    name
                    for name, size in self._listed(prefix).items()
                    if size != (self._tree / name).stat().st_size or not self._is_whole(name, self._body(prefix + name))
                ],
                lambda: [f"a multipart upload of {upload['Key']}" for upload in self._uploads(prefix)],
            )

        def remove(number: int) -> None:
            # Only objects that occupy much of the server's memory.
            for name in self._names:
                if name.startswith("large/"):
                    self._s3.delete_object(Bucket=self._stack.bucket, Key=f"styles/{number + 100}/{name}")

        return self._rounds(kills, side, remove)

    def _rounds(self, kills: int, side_of: Callable[[int], Side], remove: Callable[[int], None]) -> Outcome:
        outcome = Outcome()
        seconds = self._whole_run(side_of(0), outcome, 0)
        remove(0)
        while outcome.kills.total() < kills and len(outcome.defects) < 10:
            outcome.rounds += 1
            side = side_of(outcome.rounds)
            while self._killed(side, seconds, outcome) and self._chance.random() < _AGAIN:
                pass
            self._whole_run(side, outcome, outcome.rounds)
            remove(outcome.rounds)
            print(f"  {side.command[0]}: {outcome.kills.total()} of {kills} kills", file=sys.stderr, flush=True)
        return outcome

    def _killed(self, side: Side, seconds: float, outcome: Outcome) -> bool:
        """Starts a run and kills it; whether it was killed before it ended."""
        signal_, after = self._chance.choice(_SIGNALS), self._chance.random() * seconds
        process = self._start(side)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        if process.poll() is not None:
            outcome.early += 1
            self._check(process, outcome)
            return False
        process.send_signal(signal_)
        process.wait()
        time.sleep(_LATE_SECONDS)
        outcome.kills[signal_.name] += 1
        outcome.completed.append(len(side.present()) / len(self._names))
        outcome.defects += [f"{name} is incomplete after {signal_.name} at {after:.2f} s" for name in side.incomplete()]
        return True

    def _whole_run(self, side: Side, outcome: Outcome, number: int) -> float:
        """Runs the command to its end and compares everything; the duration of the last run in seconds."""
        for _ in range(_MOST_RUNS):
            began = time.monotonic()
            process = self._start(side)
            process.wait()
            seconds = time.monotonic() - began
            if process.returncode == 0:
                break
        self._check(process, outcome)
        defects = [f"{name} is incomplete in the end" for name in side.incomplete()]
        defects += [f"{name} is missing" for name in self._names if name not in side.present()]
        outcome.leftovers += side.leftovers()
        wait_until_idle(self._stack)
        collection, folder = side.command[1:] if side.command[0] == "pull" else reversed(side.command[1:])
        status = self._start(Side(["status", folder, collection], *_NOTHING))
        if status.wait():
            defects.append(f"status disagrees: {self._output()}")
        outcome.defects += [f"round {number}: {defect}" for defect in defects]
        return seconds

    def _start(self, side: Side) -> "subprocess.Popen[bytes]":
        cache = {"S3_MANIFEST_CACHE": str(self._work / "cache")}
        with (self._work / "output").open("wb") as output:
            command = [yardsticks.ours(), *side.command]
            environment = {**self._environment, **cache}
            return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def _check(self, process: "subprocess.Popen[bytes]", outcome: Outcome) -> None:
        if process.returncode:
            outcome.defects.append(f"exit code {process.returncode}: {self._output()}")

    def _output(self) -> str:
        return (self._work / "output").read_text(errors="replace")[-1000:]

    def _is_whole(self, name: str, body: bytes) -> bool:
        return (self._tree / name).read_bytes() == body

    def _listed(self, prefix: str) -> dict[str, int]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._stack.bucket, Prefix=prefix)
        return {item["Key"].removeprefix(prefix): item["Size"] for page in pages for item in page.get("Contents", ())}

    def _body(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._stack.bucket, Key=key)["Body"].read()
        return body

    def _uploads(self, prefix: str) -> list[dict[str, Any]]:
        answer = self._s3.list_multipart_uploads(Bucket=self._stack.bucket, Prefix=prefix)
        return [upload for upload in answer.get("Uploads", ()) if upload["Key"].startswith(prefix)]


_NOTHING: Any = (dict, list, list)


def _files(folder: Path) -> dict[str, Path]:
    """The files under their own names, by name."""
    paths = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in paths.items() if not name.startswith(_WORKING)}


def _leftovers(folder: Path) -> list[str]:
    return [f"{_WORKING} remains"] if (folder / _WORKING).exists() else []


@contextlib.contextmanager
def _quiet_stack() -> Iterator[Stack]:
    """The local stack, with its output on stderr."""
    with contextlib.redirect_stdout(sys.stderr), local_stack() as stack:
        yield stack


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.client_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="kills of each command")
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--large", type=int, default=LARGE, help=f"files of {LARGE_MB} MiB")
    parser.add_argument("--seed", type=int, default=16)
    arguments = parser.parse_args()
    result = section(arguments.kills, arguments.files, arguments.large, arguments.seed)
    print(report([result]))
    sys.exit(0 if all(aim.met for aim in result.aims) else 1)


if __name__ == "__main__":
    main()
