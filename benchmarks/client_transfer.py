"""``python -m benchmarks.client_transfer``: ``s3-manifest pull`` and ``push`` beside rclone, the AWS CLI and s5cmd.

10,000 small files, and 20 of 256 MB; each time into an empty folder or prefix, from files in the page cache, after
earlier writes have reached the disk; and compared byte by byte afterwards. The server is ``rclone serve s3`` over this
machine's disk; it shares the cores, and its CPU time is reported. Requests are counted in a separate run.
``s3-manifest`` starts with an empty cache, so its figures include reading the manifest. It alone proves all bytes by
their MD5s and never overwrites a newer object.
"""

import argparse
import filecmp
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import client_tree, yardsticks
from benchmarks.process import ProcessResult, best, run
from benchmarks.relay import Counted, relay
from benchmarks.s3_server import Server, serving
from benchmarks.sweep_bucket import BUCKET, COLLECTIONS, sweep_bucket
from benchmarks.table import Aim, Section, report, table
from benchmarks.transfer_programs import Program, Verb, others, ours
from benchmarks.yardsticks import Missing

SMALL, LARGE, LARGE_MB, REPETITIONS = 10_000, 20, 256, 2
_SMALL = 1 << 20


class Files(NamedTuple):
    """``count`` files of ``size`` bytes."""

    count: int
    size: int

    @property
    def description(self) -> str:
        return f"{self.count:,} files of {client_tree.human_size(self.size)}"


class Bench(NamedTuple):
    """The server, the counting relay in front of it, and the folders: the source files and the served folder."""

    server: Server
    counting: str
    counted: Counted
    files: Files
    tree: Path
    served: Path
    work: Path
    ids: Iterator[int]


class Measurement(NamedTuple):
    """One program in one direction. ``server`` is the server's CPU time in its last run, in seconds."""

    program: Program
    result: ProcessResult
    counted: Counted
    server: float
    is_right: bool


def section(small: Files, large: Files, repetitions: int = REPETITIONS) -> Section:
    """Both directions, with small files and with large ones."""
    rclone = yardsticks.program("rclone")
    if isinstance(rclone, Missing):
        return Section("Client: pull and push", [Aim("compared with others", rclone.reason, met=False)], rclone.reason)
    programs, unavailable = others()
    aims, tables = [], []
    for files in (small, large):
        with tempfile.TemporaryDirectory(prefix="s3-manifest-transfer-") as folder:
            for verb, measurements in _compare(rclone, [ours(), *programs], files, repetitions, Path(folder)):
                aims += _aims(verb, files, measurements)
                tables.append(f"`{verb}` of {files.description}:\n\n{_table(measurements)}")
    setup = (
        f"Times are the minimum of {repetitions} runs. The server is `rclone serve s3` on the same {os.cpu_count()} "
        "cores; its CPU time is that of the last run. Requests are those of one run; dollars are for a thousand runs."
    )
    return Section("Client: pull and push", aims, "\n\n".join([setup, *unavailable, *tables]))


def _compare(
    rclone: Path, programs: list[Program], files: Files, repetitions: int, work: Path
) -> Iterator[tuple[Verb, list[Measurement]]]:
    tree, served = work / "tree", work / "served"
    collection = COLLECTIONS.lookup("style", "1")
    assert collection
    client_tree.write(tree, files.count, files.size)
    shutil.copytree(tree, served / BUCKET / collection.prefix)
    counted = Counted()
    with serving(rclone, served) as server, relay(server.endpoint, counted) as counting:
        sweep_bucket(server.endpoint, collection)
        bench = Bench(server, counting, counted, files, tree, served, work, itertools.count(2))
        yield "pull", [_pull(program, bench, repetitions) for program in programs]
        yield "push", [_push(program, bench, repetitions) for program in programs]


def _pull(program: Program, bench: Bench, repetitions: int) -> Measurement:
    print(f"  pull, {program.title} …", file=sys.stderr, flush=True)
    right = []

    def once(endpoint: str) -> ProcessResult:
        folder = bench.work / f"pulled-{next(bench.ids)}"
        result = _run(program, "pull", folder, "1", endpoint, bench)
        right.append(_same(bench.tree, folder))
        # After many removals, ext4 is slow to create files for a while, at the expense of the next program. So small
        # files are removed at the very end; large ones immediately, since the disk cannot hold several copies.
        if bench.files.size > _SMALL:
            shutil.rmtree(folder)
        return result

    return _measure(program, bench, repetitions, once, right)


def _push(program: Program, bench: Bench, repetitions: int) -> Measurement:
    print(f"  push, {program.title} …", file=sys.stderr, flush=True)
    right = []

    def once(endpoint: str) -> ProcessResult:
        # A new one each time: the server caches the contents of a folder for a while.
        style = str(next(bench.ids))
        result = _run(program, "push", bench.tree, style, endpoint, bench)
        folder = bench.served / BUCKET / "styles" / style
        right.append(_same(bench.tree, folder))
        shutil.rmtree(folder)
        return result

    return _measure(program, bench, repetitions, once, right)


def _measure(
    program: Program, bench: Bench, repetitions: int, once: Callable[[str], ProcessResult], right: list[bool]
) -> Measurement:
    results = []
    for _ in range(repetitions):
        before = bench.server.cpu()
        results.append(once(bench.server.endpoint))
        server = bench.server.cpu() - before
    bench.counted.take()
    once(bench.counting)
    return Measurement(program, best(results), bench.counted.take(), server, all(right))


def _run(program: Program, verb: Verb, folder: Path, style: str, endpoint: str, bench: Bench) -> ProcessResult:
    cache = bench.work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    os.sync()
    mine = {"S3_MANIFEST_BUCKET": BUCKET, "S3_MANIFEST_CACHE": str(cache)}
    result = run(program.command(verb, folder, style), yardsticks.environment(endpoint, **mine))
    assert result.code == 0, f"{program.title}: {result.errors[-2000:]}"
    return result


def _same(first: Path, second: Path) -> bool:
    """Whether both folders have the same files, byte by byte."""
    filecmp.clear_cache()
    names = [sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file()) for root in (first, second)]
    return names[0] == names[1] and all(filecmp.cmp(first / name, second / name, shallow=False) for name in names[0])


def _table(measurements: list[Measurement]) -> str:
    fastest = min(measurement.result.wall for measurement in measurements)

    def row(measurement: Measurement) -> tuple[object, ...]:
        return (
            f"`{measurement.program.title}`",
            f"{measurement.result.wall:.1f}",
            f"{measurement.result.wall / fastest:.2f}",
            f"{measurement.result.cpu:.1f}",
            f"{measurement.server:.1f}",
            f"{measurement.result.rss / 1e6:.0f}",
            measurement.counted.summary(),
            f"{1000 * measurement.counted.dollars:.2f}",
            "all" if measurement.is_right else "**not all**",
        )

    head = ("", "s", "of the fastest", "CPU s", "server's", "MB at most", "requests", "$ for 1,000", "bytes the same")
    return table(head, map(row, measurements))


def _aims(verb: Verb, files: Files, measurements: list[Measurement]) -> Iterator[Aim]:
    mine, *others_ = measurements
    if others_:
        fastest = min(others_, key=lambda measurement: measurement.result.wall)
        times = mine.result.wall / fastest.result.wall
        text = f"{times:.2f} times as long as `{fastest.program.title}`"
        yield Aim(f"`{verb}` of {files.description}: not slower than the fastest", text, times <= 1)
    yield Aim(
        f"`{verb}` of {files.description}: every byte", "the same" if mine.is_right else "NOT the same", mine.is_right
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.client_transfer", description=__doc__)
    parser.add_argument("--small", type=int, default=SMALL, help=f"files of {client_tree.SIZE:,} bytes")
    parser.add_argument("--large", type=int, default=LARGE, help="number of large files")
    parser.add_argument("--large-mb", type=int, default=LARGE_MB, help="size of large files in MiB")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="runs of each program; the minimum counts")
    arguments = parser.parse_args()
    large = Files(arguments.large, arguments.large_mb << 20)
    print(report([section(Files(arguments.small, client_tree.SIZE), large, arguments.repetitions)]))


if __name__ == "__main__":
    main()
