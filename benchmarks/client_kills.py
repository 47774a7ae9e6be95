"""``python -m benchmarks.client_kills``: ``s3-manifest pull`` and ``push``, killed at random points on the local stack.

Each round begins with nothing: the program is killed once, or a few times, and then run until it is done. The points
are seeded shares of the time that a whole run takes. After each kill what is under a file's own name must be the whole
file, here as in S3; in the end both sides must be the same byte by byte, the manifest must say so, and no upload in
parts may be left. Most kills are SIGKILL, some SIGTERM and SIGINT.
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
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import Stack, local_stack

KILLS, FILES, LARGE, LARGE_MB = 50, 200, 4, 40
_SIGNALS = (*[signal.SIGKILL] * 6, signal.SIGTERM, signal.SIGINT)
_AGAIN = 0.4
"""How often the run after a kill is killed too."""
_WORKING = ".s3-manifest"
_LATE_SECONDS = 0.3
"""After a kill, for what had been sent to arrive."""
_MOST_RUNS = 5


@dataclass
class Outcome:
    """What happened to one of the commands; ``wrong`` says what must not be."""

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    early: int = 0
    """Runs that were done before they were killed."""
    there: list[float] = field(default_factory=list)
    """The share of the files that were in place after each kill."""
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What was left behind when all was done."""


@dataclass
class Side:
    """One command: how its target is emptied, what of it is there by name, and what is wrong in the end."""

    command: list[str | Path]
    present: Callable[[], Mapping[str, Any]]
    halves: Callable[[], list[str]]
    left: Callable[[], list[str]]


def section(kills: int = KILLS, files: int = FILES, large: int = LARGE, seed: int = 16) -> Section:
    """So many kills of each command, over so many small files and large ones of 40 MiB."""
    with tempfile.TemporaryDirectory(prefix="s3-manifest-kills-") as folder, _quiet_stack() as stack:
        bench = Kills(stack, Path(folder), files, large, random.Random(seed))
        outcomes = {"pull": bench.pull(kills), "push": bench.push(kills)}
    aims = []
    for verb, one in outcomes.items():
        killed = f"`{verb}`, killed {one.kills.total()} times"
        whole = f"{killed}: no half file, and every byte in the end"
        aims.append(Aim(whole, "; ".join(one.wrong[:3]) or "so it is", not one.wrong))
        left = f"{len(one.left)}, the first: {one.left[0]}" if one.left else "nothing"
        aims.append(Aim(f"{killed}: nothing left behind", left, not one.left))
    rows = [
        (
            f"`{verb}`",
            one.rounds,
            *(one.kills[name] for name in ("SIGKILL", "SIGTERM", "SIGINT")),
            one.early,
            f"{min(one.there, default=0):.0%} to {max(one.there, default=0):.0%}",
            len(one.wrong),
            len(one.left),
        )
        for verb, one in outcomes.items()
    ]
    head = ("", "rounds", "SIGKILL", "SIGTERM", "SIGINT", "done before", "files in place then", "wrong", "left")
    told = f"{files:,} files of {client_tree.told(client_tree.SIZE)} and {large} of {LARGE_MB} MiB, on the local stack."
    return Section("Client: killed", aims, f"{told}\n\n{table(head, rows)}")


class Kills:
    """The files, the stack, and rounds of either command."""

    def __init__(self, stack: Stack, work: Path, files: int, large: int, chance: random.Random) -> None:
        self._stack, self._work, self._chance = stack, work, chance
        self._s3 = stack.platform.client("s3")
        self._tree = work / "tree"
        client_tree.write(self._tree, files)
        client_tree.write(self._tree / "large", large, LARGE_MB << 20)
        self._names = sorted(str(path.relative_to(self._tree)) for path in self._tree.rglob("*") if path.is_file())
        self._environment = yardsticks.environment(
            stack.platform.endpoint,
            AWS_ACCESS_KEY_ID=ACCESS_KEY,
            AWS_SECRET_ACCESS_KEY=SECRET_KEY,
            AWS_DEFAULT_REGION=REGION,
            S3_MANIFEST_BUCKET=stack.bucket,
        )

    def pull(self, kills: int) -> Outcome:
        """Of one collection, each round into a new folder."""
        for name in self._names:
            self._s3.upload_file(str(self._tree / name), self._stack.bucket, f"styles/1/{name}")
        wait_until_idle(self._stack)

        def side(number: int) -> Side:
            folder = self._work / f"pulled-{number}"
            return Side(
                ["pull", "style/1", folder],
                lambda: _files(folder),
                lambda: [name for name, path in _files(folder).items() if not self._is_whole(name, path.read_bytes())],
                lambda: _left(folder),
            )

        return self._rounds(kills, side, lambda number: shutil.rmtree(self._work / f"pulled-{number}"))

    def push(self, kills: int) -> Outcome:
        """Of the folder, each round to a collection of its own."""

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
                lambda: [f"an upload in parts of {one['Key']}" for one in self._uploads(prefix)],
            )

        def remove(number: int) -> None:
            # Only what takes the server's memory.
            for name in self._names:
                if name.startswith("large/"):
                    self._s3.delete_object(Bucket=self._stack.bucket, Key=f"styles/{number + 100}/{name}")

        return self._rounds(kills, side, remove)

    def _rounds(self, kills: int, side_of: Callable[[int], Side], remove: Callable[[int], None]) -> Outcome:
        outcome = Outcome()
        took = self._whole_run(side_of(0), outcome, 0)
        remove(0)
        while outcome.kills.total() < kills and len(outcome.wrong) < 10:
            outcome.rounds += 1
            side = side_of(outcome.rounds)
            while self._killed(side, took, outcome) and self._chance.random() < _AGAIN:
                pass
            self._whole_run(side, outcome, outcome.rounds)
            remove(outcome.rounds)
            print(f"  {side.command[0]}: {outcome.kills.total()} of {kills} kills", file=sys.stderr, flush=True)
        return outcome

    def _killed(self, side: Side, took: float, outcome: Outcome) -> bool:
        """Begins a run and kills it; whether it was killed before it was done."""
        how, after = self._chance.choice(_SIGNALS), self._chance.random() * took
        process = self._begun(side)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        if process.poll() is not None:
            outcome.early += 1
            self._check(process, outcome)
            return False
        process.send_signal(how)
        process.wait()
        time.sleep(_LATE_SECONDS)
        outcome.kills[how.name] += 1
        outcome.there.append(len(side.present()) / len(self._names))
        outcome.wrong += [f"half of {name} after {how.name} at {after:.2f} s" for name in side.halves()]
        return True

    def _whole_run(self, side: Side, outcome: Outcome, number: int) -> float:
        """Runs it until it is done, and compares everything; the seconds that the last run took."""
        for _ in range(_MOST_RUNS):
            began = time.monotonic()
            process = self._begun(side)
            process.wait()
            took = time.monotonic() - began
            if process.returncode == 0:
                break
        self._check(process, outcome)
        wrong = [f"half of {name} in the end" for name in side.halves()]
        wrong += [f"{name} is missing" for name in self._names if name not in side.present()]
        outcome.left += side.left()
        wait_until_idle(self._stack)
        collection, folder = side.command[1:] if side.command[0] == "pull" else reversed(side.command[1:])
        status = self._begun(Side(["status", folder, collection], *_NOTHING))
        if status.wait():
            wrong.append(f"the manifest does not say so: {self._output()}")
        outcome.wrong += [f"round {number}: {one}" for one in wrong]
        return took

    def _begun(self, side: Side) -> "subprocess.Popen[bytes]":
        cache = {"S3_MANIFEST_CACHE": str(self._work / "cache")}
        with (self._work / "output").open("wb") as output:
            command = [yardsticks.ours(), *side.command]
            environment = {**self._environment, **cache}
            return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def _check(self, process: "subprocess.Popen[bytes]", outcome: Outcome) -> None:
        if process.returncode:
            outcome.wrong.append(f"exit code {process.returncode}: {self._output()}")

    def _output(self) -> str:
        return (self._work / "output").read_text(errors="replace")[-1000:]

    def _is_whole(self, name: str, body: bytes) -> bool:
        return (self._tree / name).read_bytes() == body

    def _listed(self, prefix: str) -> dict[str, int]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._stack.bucket, Prefix=prefix)
        return {one["Key"].removeprefix(prefix): one["Size"] for page in pages for one in page.get("Contents", ())}

    def _body(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._stack.bucket, Key=key)["Body"].read()
        return body

    def _uploads(self, prefix: str) -> list[dict[str, Any]]:
        answer = self._s3.list_multipart_uploads(Bucket=self._stack.bucket, Prefix=prefix)
        return [one for one in answer.get("Uploads", ()) if one["Key"].startswith(prefix)]


_NOTHING: Any = (dict, list, list)


def _files(folder: Path) -> dict[str, Path]:
    """What is under its own name, by that."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if not name.startswith(_WORKING)}


def _left(folder: Path) -> list[str]:
    return [f"{_WORKING} is left"] if (folder / _WORKING).exists() else []


@contextlib.contextmanager
def _quiet_stack() -> Iterator[Stack]:
    """The local stack, whose words go to stderr."""
    with contextlib.redirect_stdout(sys.stderr), local_stack() as stack:
        yield stack


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.client_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="of each command")
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--large", type=int, default=LARGE, help=f"files of {LARGE_MB} MiB")
    parser.add_argument("--seed", type=int, default=16)
    given = parser.parse_args()
    done = section(given.kills, given.files, given.large, given.seed)
    print(report([done]))
    sys.exit(0 if all(aim.met for aim in done.aims) else 1)


if __name__ == "__main__":
    main()
