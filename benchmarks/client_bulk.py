"""``python -m benchmarks.client_bulk``: ``s3-manifest status`` of many collections in one command.

It is compared with a command for each collection, in a shell loop, and with ``rclone check`` of the prefix that they
share. Nothing changed since the last run. The server is ``rclone serve s3`` on loopback, once directly and once behind
a relay that delays each response as S3 does (``traffic.LATENCY``). Connecting is not delayed, and there is no TLS. The
package's own sweep makes the manifests. Times are the minimum of several runs, except that of the loop: some of its
commands run once, and their time is extrapolated to all.

In the end one file is replaced by one of the same size and time, and every program must find it.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import client_tree, yardsticks
from benchmarks.process import ProcessResult, best, run
from benchmarks.relay import Counted, relay
from benchmarks.s3_server import serving
from benchmarks.sweep_bucket import BUCKET, COLLECTIONS, sweep_collections
from benchmarks.table import Aim, Section, report, table
from benchmarks.traffic import LATENCY
from benchmarks.yardsticks import Missing
from s3_manifest.manifest.collections import Collection

COUNT, FILES, REPETITIONS = 289, 6, 3
_LOOP = 10
"""The commands of the shell loop that run."""
_CHANGES = 60
"""The changes of each collection in its history, if it has a long one."""
_DATA = "data"
_EACH = 'for id in "$@"; do "$0" status "data/$id" "actor/$id" --json; done'


class Program(NamedTuple):
    """A command in the folder of the data. ``share`` is the part of the collections that it compares.

    A shell loop takes long, so it runs once; it exits as its last command does.
    """

    title: str
    command: list[str | Path]
    share: float = 1.0
    is_loop: bool = False


class Measurement(NamedTuple):
    """A program directly at the server, behind the delaying relay, and its requests there."""

    program: Program
    near: ProcessResult
    far: ProcessResult
    counted: Counted


class Bench(NamedTuple):
    """The folder with the data and its collections, and how often a program runs."""

    work: Path
    collections: Sequence[Collection]
    repetitions: int

    def run(self, program: Program, endpoint: str, code: int = 0) -> ProcessResult:
        """One run, which must exit with ``code``."""
        own = {"S3_MANIFEST_BUCKET": BUCKET, "S3_MANIFEST_CACHE": str(self.work / "cache")}
        result = run(program.command, yardsticks.environment(endpoint, **own), self.work)
        assert result.code == code, f"{program.title}: {result.code}: {result.errors[-2000:]}"
        return result

    def measure(self, programs: Sequence[Program], server: str) -> list[Measurement]:
        """Runs the programs directly at the server and behind a relay that delays its responses.

        Before that the first one runs once at both, so that ``s3-manifest`` knows the manifests and MD5s.
        """
        counted, measured = Counted(), []
        with relay(server, counted, LATENCY) as far:
            for endpoint in (server, far):
                self.run(programs[0], endpoint)
            for program in programs:
                print(f"  {program.title} …", file=sys.stderr, flush=True)
                repetitions = 1 if program.is_loop else self.repetitions
                near_runs = [self.run(program, server) for _ in range(repetitions)]
                far_runs = []
                for _ in range(repetitions):
                    counted.take()
                    far_runs.append(self.run(program, far))
                measured.append(Measurement(program, best(near_runs), best(far_runs), counted.take()))
        return measured


def section(count: int = COUNT, files: int = FILES, repetitions: int = REPETITIONS) -> Section:
    """``count`` collections of ``files`` images."""
    title = "Client: many collections"
    rclone = yardsticks.program("rclone")
    if isinstance(rclone, Missing):
        return Section(title, [Aim("compared with others", rclone.reason, met=False)], rclone.reason)
    with tempfile.TemporaryDirectory(prefix="s3-manifest-bulk-") as folder:
        work, served = Path(folder), Path(folder) / "served"
        bench = Bench(work, _write(work / _DATA, count, files), repetitions)
        prefix = os.path.commonpath([collection.prefix for collection in bench.collections])
        shutil.copytree(work / _DATA, served / BUCKET / prefix)
        ours, *others = _programs(rclone, bench.collections, f"{BUCKET}/{prefix}")
        with serving(rclone, served) as server:
            sweep_collections(server.endpoint, bench.collections)
            measured = bench.measure([ours, *others], server.endpoint)
            for line in map(json.loads, bench.run(ours, server.endpoint).output.splitlines()):
                assert _synced(line) == (count * files if "total" in line else files), line
        for collection in bench.collections:
            _write_history(served / BUCKET / collection.folder)
        with serving(rclone, served) as server:  # it remembers folders, so files beneath a running one stay unseen
            (long,) = bench.measure([ours._replace(title=f"{ours.title}, {_CHANGES} changes of each")], server.endpoint)
            found = _find_change(bench, [ours, *others], server.endpoint)
    measurements = [measured[0], long, *measured[1:]]
    milliseconds = ", ".join(f"{kind} {1000 * seconds:.0f} ms" for kind, seconds in LATENCY.items())
    setup = (
        f"{count:,} collections of {files} images of {client_tree.human_size(client_tree.SIZE)}, the same in S3, and "
        f"nothing changed. The server is `rclone serve s3` on loopback; “as far as S3” delays each response "
        f"({milliseconds}). Times are the minimum of {repetitions} runs, and of the loop those of "
        f"{_looped(count)} commands, extrapolated. Requests are of one run."
    )
    return Section(title, list(_aims(measurements, count, found)), f"{setup}\n\n{_table(measurements)}")


def _write(data: Path, count: int, files: int) -> list[Collection]:
    """Writes the local folders, and names their collections."""
    collections = []
    tree = data / "all"
    client_tree.write(tree, count * files)
    images = sorted(path for path in tree.rglob("*") if path.is_file())
    for number in range(count):
        collection = COLLECTIONS.lookup("actor", f"{number + 1:04d}_european_{20 + number % 50}_female")
        assert collection
        (data / collection.id).mkdir()
        for image in images[number * files : (number + 1) * files]:
            image.rename(data / collection.id / image.name)
        collections.append(collection)
    shutil.rmtree(tree)
    return collections


def _write_history(folder: Path) -> None:
    """Adds what changes leave beside a manifest: a comparison never reads it, but listings contain it."""
    for number in range(_CHANGES):
        path = folder / "changes" / f"{number:012d}-{number:032x}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")


def _looped(count: int) -> int:
    return min(_LOOP, count)


def _programs(rclone: Path, collections: Sequence[Collection], remote: str) -> list[Program]:
    """Our program first."""
    looped = [collection.id for collection in collections[: _looped(len(collections))]]
    check: list[str | Path] = [rclone, "check", _DATA, f"bench:{remote}", "--quiet"]
    return [
        Program("s3-manifest status", [yardsticks.ours(), "status", f"{_DATA}/{{id}}", "actor/*", "--json"]),
        Program(
            title="a shell loop",
            command=["sh", "-c", _EACH, yardsticks.ours(), *looped],
            share=len(looped) / len(collections),
            is_loop=True,
        ),
        Program("rclone check", check),
        Program("rclone check --fast-list", [*check, "--fast-list"]),
    ]


def _synced(line: dict[str, Any]) -> int:
    totals: dict[str, int] = line["total"]["counts"] if "total" in line else line["totals"]
    assert not any(count for state, count in totals.items() if state != "synced"), line
    return totals["synced"]


def _find_change(bench: Bench, programs: Sequence[Program], endpoint: str) -> list[str]:
    """The programs that find a file whose bytes alone differ."""
    path = min((bench.work / _DATA / bench.collections[0].id).iterdir())
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    found = []
    for program in programs:
        is_last = bench.collections[: _looped(len(bench.collections))] == bench.collections[:1]
        result = bench.run(program, endpoint, 0 if program.is_loop and not is_last else 1)
        if path.name in f"{result.output}{result.errors}":
            found.append(program.title)
    return found


def _table(measurements: Sequence[Measurement]) -> str:
    ours = measurements[0]

    def row(measurement: Measurement) -> tuple[object, ...]:
        share = measurement.program.share
        near, far = measurement.near.wall / share, measurement.far.wall / share
        counted = measurement.counted
        requests = {kind: round(number / share) for kind, number in counted.requests.most_common()}
        return (
            measurement.program.title,
            f"{near:.2f}",
            f"{near / ours.near.wall:.2f}",
            f"{far:.2f}",
            f"{far / ours.far.wall:.2f}",
            f"{measurement.far.cpu / share / ours.far.cpu:.2f}",
            ", ".join(f"{number:,} {kind}" for kind, number in requests.items()),
            f"{counted.conditional / share:,.0f}",
            f"{1000 * counted.dollars / share:.3f}",
        )

    head = (
        *("", "s on loopback", "of ours", "s as far as S3", "of ours", "CPU of ours"),
        *("requests", "of them conditional", "$ for 1,000 runs"),
    )
    return table(head, map(row, measurements))


def _aims(measurements: Sequence[Measurement], count: int, found: Sequence[str]) -> Iterator[Aim]:
    ours, long, *others = measurements
    requests = [measurement.counted.requests for measurement in (ours, long)]
    gets = max(requested["GET"] for requested in requests)
    is_conditional = all(
        measurement.counted.conditional == measurement.counted.requests["GET"] for measurement in (ours, long)
    )
    only_reads = all(requested.keys() <= {"GET", "LIST"} for requested in requests)
    yield Aim(
        f"{count:,} collections, nothing changed: at most {count:,} conditional GETs, else only listings",
        f"{ours.counted.summary()}; with long histories {long.counted.summary()}",
        gets <= count and is_conditional and only_reads,
    )
    for other in others:
        share = other.program.share
        near = other.near.wall / share / ours.near.wall
        far = [other.far.wall / share / measurement.far.wall for measurement in (ours, long)]
        yield Aim(
            f"faster than {_code(other.program.title)}, as far as S3",
            f"{far[0]:.2f} times, {far[1]:.2f} with long histories ({near:.2f} on loopback)",
            min(far) > 1,
        )
    programs = [measurement.program.title for measurement in (ours, *others)]
    missed = [title for title in programs if title not in found]
    yield Aim(
        "a file whose bytes alone differ is found", f"not by {', '.join(missed)}" if missed else "by all", not missed
    )


def _code(title: str) -> str:
    return title if title.startswith("a ") else f"`{title}`"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.client_bulk", description=__doc__)
    parser.add_argument("--collections", type=int, default=COUNT)
    parser.add_argument("--files", type=int, default=FILES, help="images in each collection")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="runs of each program; the minimum counts")
    arguments = parser.parse_args()
    print(report([section(arguments.collections, arguments.files, arguments.repetitions)]))


if __name__ == "__main__":
    main()
